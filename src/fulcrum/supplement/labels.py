"""From trials to what a generator is trained on: worth, winners and losers, pairs, rows. And the rates to watch."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from statistics import fmean
from typing import Literal, TypeVar

from fulcrum.hashing import seed_from
from fulcrum.supplement.forms import NONE, NOTHING, Supplement
from fulcrum.supplement.trials import State, Trial

Item = TypeVar("Item")

Alone = Mapping[str, float]
"""Mean score of the actor alone, by question; one of which every call failed, or no answer could be judged, is not in
it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to say in one state, with what it is worth.

    Attributes:
        state: where it is said.
        supplement: what is said.
        value: mean score of all attempts in which it was said there.
        alone: mean score of the actor alone on the question.
    """

    state: State
    supplement: Supplement
    value: float
    alone: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A better and a worse thing to say in the same state."""

    winner: Option
    loser: Option

    @property
    def kind(self) -> Literal["inter", "intra"]:
        """`inter` teaches which form to take, `intra` what to say in it."""
        return "intra" if self.winner.supplement.form == self.loser.supplement.form else "inter"


@dataclass(frozen=True, slots=True)
class Rule:
    """When an option wins, and against which others.

    Attributes:
        labels: `uplift` over the actor alone, or the paper's `binary` success.
        margin: least difference that counts.
    """

    labels: Literal["uplift", "binary"] = "uplift"
    margin: float = 0.0

    def helps(self, option: Option) -> bool:
        """Return whether an option is worth learning for its own sake."""
        if self.labels == "binary":
            return option.value >= 1.0
        return option.value - option.alone > self.margin

    def wins(self, option: Option) -> bool:
        """Return whether an option may be preferred to a worse one: it helps, or says nothing and does no harm."""
        return self.helps(option) or (self.labels == "uplift" and option.supplement.form == NONE)

    def beats(self, winner: Option, loser: Option) -> bool:
        """Return whether two options of a state are a pair."""
        return self.wins(winner) and winner.value - loser.value > self.margin

    def options(self, trials: Iterable[Trial], alone: Alone) -> dict[State, list[Option]]:
        """Return what was said in each state; the same words twice are one option, failures are none.

        With uplift labels, to say nothing is one more option of each state, and costs no call.
        """
        values: dict[State, dict[Supplement, list[float]]] = {}
        for trial in trials:
            if trial.query not in alone or not trial.labels:
                continue
            for state, supplement in trial.said:
                values.setdefault(state, {}).setdefault(supplement, []).extend(trial.labels)
        if self.labels == "uplift":
            for (query, _), said in values.items():
                said[NOTHING] = [alone[query]]
        return {
            state: [Option(state, supplement, fmean(scores), alone[state[0]]) for supplement, scores in said.items()]
            for state, said in values.items()
        }

    def signs(self, options: Sequence[Option]) -> tuple[int, int]:
        """Return how many options help, and how many lose against any other."""
        helping = sum(map(self.helps, options))
        losing = sum(any(self.beats(other, option) for other in options) for option in options)
        return helping, losing


def usable_share(rule: Rule, options: Mapping[State, Sequence[Option]]) -> float:
    """Return the share of states with something to prefer to something else."""
    return sum(rule.signs(said)[1] > 0 for said in options.values()) / max(1, len(options))


def preference_pairs(
    rule: Rule, options: Mapping[State, Sequence[Option]], cap: int, solved_share: float, seed: int
) -> list[Pair]:
    """Return pairs of each state: at most `cap` between forms and `cap` within a form for one question.

    Args:
        rule: which option beats which.
        options: by state.
        cap: most pairs of one kind from one question.
        solved_share: most of all pairs, as a share, that come from questions which the actor solves alone.
        seed: of the choice among more pairs than the caps allow.
    """
    pairs: list[Pair] = []
    kept: Counter[tuple[str, str]] = Counter()
    for state, said in options.items():
        found = [Pair(winner, loser) for winner, loser in product(said, said) if rule.beats(winner, loser)]
        random.Random(seed_from(seed, "pairs", state[0], len(state[1]))).shuffle(found)
        for pair in found:
            kept[state[0], pair.kind] += 1
            if kept[state[0], pair.kind] <= cap:
                pairs.append(pair)
    easy = [pair for pair in pairs if pair.winner.alone >= 1.0]
    hard = [pair for pair in pairs if pair.winner.alone < 1.0]
    return hard + _drawn(easy, _beside(len(hard), solved_share) if hard else len(easy), seed)


def examples_to_imitate(
    rule: Rule,
    options: Mapping[State, Sequence[Option]],
    alone: Alone,
    states: Mapping[str, Sequence[State]],
    solved_share: float,
    seed: int,
) -> list[tuple[State, Supplement]]:
    """Return what the generator shall say: the options that help, no form more often than its even share.

    With uplift labels, questions that the actor solves alone join them with `none`, as `solved_share` of all, and no
    more often than another form: deployed, the generator says what is likeliest, and would else mostly say nothing. So
    do later turns of a dialogue at which what was said did more harm than good.

    Args:
        rule: what helps.
        options: what was said in each state.
        alone: the actor's score without help, by question.
        states: what a supplement can be written for, by question.
        solved_share: of the rows, for `none` at most.
        seed: of the choice.
    """
    by_form: dict[str, dict[str, list[Option]]] = {}
    for state, said in options.items():
        for option in said:
            if rule.helps(option):
                by_form.setdefault(option.supplement.family, {}).setdefault(state[0], []).append(option)
    total = sum(len(options) for queries in by_form.values() for options in queries.values())
    if not total:
        return []
    even = math.ceil(total / len(by_form))
    chosen: list[tuple[State, Supplement]] = []
    for form, queries in sorted(by_form.items()):
        shuffled = [
            random.Random(seed_from(seed, form, query)).sample(said, len(said)) for query, said in queries.items()
        ]
        # One option of each question, then a second of each: no question dominates either.
        in_turn = (option for layer in zip_longest(*shuffled) for option in layer if option is not None)
        chosen += [(option.state, option.supplement) for option, _ in zip(in_turn, range(even), strict=False)]
    if rule.labels == "uplift":
        quiet = [state for query, value in alone.items() if value >= 1.0 for state in states[query]]
        quiet += [state for state, said in options.items() if state[1] and _did_harm(said)]
        chosen += [(state, NOTHING) for state in _drawn(quiet, min(even, _beside(len(chosen), solved_share)), seed)]
    return chosen


def _did_harm(options: Sequence[Option]) -> bool:
    """Return whether what was said in a state did more harm than good."""
    return fmean(option.value - option.alone for option in options) < 0


def _beside(others: int, share: float) -> int:
    """Return how many must join `others` to make up a share of all."""
    return round(others * share / (1 - share))


def _drawn(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    return random.Random(seed_from(seed, "solved alone")).sample(list(items), min(count, len(items)))


def form_entropy(forms: Iterable[str]) -> float:
    """Return the entropy of the forms in bits: 0 if all are the same, 3 if eight are equally frequent."""
    counts = Counter(forms)
    total = counts.total()
    return math.fsum(count / total * math.log2(total / count) for count in counts.values())


def flip_rate(trials: Iterable[Trial]) -> float | None:
    """Return how often two attempts with the same supplement disagree on success; None without repeated attempts."""
    rates: list[float] = []
    for trial in trials:
        n, solved = len(trial.labels), sum(value >= 1.0 for value in trial.labels)
        if n > 1:
            rates.append(2 * solved * (n - solved) / (n * (n - 1)))
    return fmean(rates) if rates else None
