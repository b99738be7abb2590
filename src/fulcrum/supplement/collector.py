"""Fills a pool: the generator writes, and the actor tries what was written, or the most promising part of it."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from fulcrum.chat import Failure
from fulcrum.hashing import seed_from
from fulcrum.supplement.bench import Bench, Wish
from fulcrum.supplement.forms import CONCAT, NONE, NOTHING, Supplement, concatenate
from fulcrum.supplement.labels import Alone, Option, Rule
from fulcrum.supplement.promise import Promise, Tried
from fulcrum.supplement.schedule import Pool, allowance, questions_to_try
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.trials import Trial, asked_about
from fulcrum.supplement.writer import SupplementWriter

LOOKS = 10
"""How often at most the adaptive schedule looks at what a pool has brought so far."""

HARM = 4
"""Of the drafts for a question that the actor solves alone, one in so many is tried: they can only show harm."""


@dataclass(frozen=True)
class Collector:
    """Fills the pools of a run.

    Attributes:
        bench: where supplements are tried.
        writer: the generator.
        settings: schedule and limits.
        rule: tells winners from losers.
        alone: the actor's scores without help.
        before: trials of earlier pools.
        fits: whether the generator could write a concatenation: no other may be learned from.
        seed: of the choice of questions and concatenations.
    """

    bench: Bench
    writer: SupplementWriter
    settings: SupplementSettings
    rule: Rule
    alone: Alone
    before: Sequence[Trial]
    fits: Callable[[Supplement], bool]
    seed: int

    def collect(self, pool: Pool) -> list[Trial]:
        """Try all that is written for a pool or, with the adaptive schedule, what promises most.

        Raises:
            BudgetSpent: a call was not made because the budget is used up.
            TooManyFailures: more calls failed than the budget allows.
        """
        queries = questions_to_try(self.settings, self.alone, self.seed, harm=pool.losers_wanted)
        if self.settings.schedule == "fixed":
            return self.bench.play(self._wishes(pool, queries), self.writer)
        lacking = [query for query in queries if self._lacks(pool, query, ())]
        written = self.bench.write(self._wishes(pool, lacking), self.writer)
        free = [wish for wish in written if self._is_free(wish)]
        dear = {(wish.query, wish.given or wish.sample): wish for wish in written if not self._is_free(wish)}
        return self.bench.play(free, self.writer) + self._most_promising(pool, list(dear.values()))

    def _wishes(self, pool: Pool, queries: Sequence[str]) -> list[Wish]:
        places = [(query, place) for place in range(pool.size) for query in queries]
        return [wish for query, place in places if (wish := self._wish(pool, query, place))]

    def _wish(self, pool: Pool, query: str, place: int) -> Wish | None:
        """Return what draft number `place` of a question asks for; None if there is nothing to concatenate."""
        # Each question in an order of its own, so that the first drafts of all questions hold every request.
        order = random.Random(seed_from(self.seed, "order", query)).sample(pool.asked, len(pool.asked))
        asked = order[place % len(order)]
        if asked != CONCAT:
            return Wish(query, asked, sample=place)
        rng = random.Random(seed_from(self.seed, CONCAT, query, place))
        known = self._winners.get(query, ())
        pairs = [(first, second) for first in known for second in known if first.form != second.form]
        while pairs:
            joined = concatenate(*pairs.pop(rng.randrange(len(pairs))))
            if self.fits(joined):
                return Wish(query, asked, given=joined)
        return None

    def _is_free(self, wish: Wish) -> bool:
        """Return whether the actor need not be asked: nothing was written, or the same words before."""
        failed_or_silent = isinstance(wish.given, Failure) or wish.given == NOTHING
        return failed_or_silent or (wish.query, wish.given) in self._said

    def _most_promising(self, pool: Pool, waiting: Sequence[Wish]) -> list[Trial]:
        """Try some wishes in waves: for each question those that promise most of what it still lacks."""
        room = allowance(pool, self.settings, len(self.alone)) // self.settings.label_samples
        each = max(1, math.ceil(room / LOOKS / max(1, len({wish.query for wish in waiting}))))
        promise = self._promise(waiting)
        trials: list[Trial] = []
        while waiting and (left := room - len(asked_about(trials))) > 0:
            found = self.rule.options(trials, self.alone)
            lacks = {
                query: self._lacks(pool, query, found.get((query, ()), ())) for query in {one.query for one in waiting}
            }
            waiting = [wish for wish in waiting if lacks[wish.query]]
            worth = promise.of(self._tried(trials), [(wish.query, _text(wish)) for wish in waiting])
            ranked = sorted(zip(waiting, worth, strict=True), key=lambda one: -one[1] * lacks[one[0].query])
            taken: Counter[str] = Counter()
            wave: list[Wish] = []
            for wish, _ in ranked:
                taken[wish.query] += 1
                if taken[wish.query] <= each and len(wave) < left:
                    wave.append(wish)
            trials += self.bench.play(wave, self.writer)
            gone = set(wave)
            waiting = [wish for wish in waiting if wish not in gone]
        return trials

    def _promise(self, waiting: Sequence[Wish]) -> Promise:
        task = self.bench.task
        questions = {example.id: task.shown(example) for example in task.examples("train") if example.id in self.alone}
        written = (one.supplement.text for trial in self.before for one in trial.written)
        return Promise(questions, [*written, *map(_text, waiting)])

    def _tried(self, trials: Sequence[Trial]) -> list[Tried]:
        return [
            Tried(query, option.supplement.text, self.rule.helps(option))
            for (query, since), said in self.rule.options([*self.before, *trials], self.alone).items()
            for option in said
            if not since and option.supplement.form != NONE and self.bench.when == "start"
        ]

    def _lacks(self, pool: Pool, query: str, options: Sequence[Option]) -> int:
        """Return 1 if a question lacks supplements that help, -1 if only losers, 0 if it has shown what it can.

        What is imitated is kept from earlier rounds; preferences are between supplements of one generator.
        """
        enough = self.settings.enough
        helping, losing = self.rule.signs(options)
        if not pool.losers_wanted:
            return int(helping + len(self._winners.get(query, ())) < enough)
        if self.rule.labels == "uplift" and self.alone[query] >= 1.0:
            return -int(losing < enough and len(options) <= pool.size // HARM)
        return 1 if helping < enough else -int(losing < enough)

    @cached_property
    def _winners(self) -> dict[str, list[Supplement]]:
        found: dict[str, list[Supplement]] = {}
        for (query, _), said in self.rule.options(self.before, self.alone).items():
            found.setdefault(query, []).extend(option.supplement for option in said if self.rule.helps(option))
        return found

    @cached_property
    def _said(self) -> set[tuple[str, Supplement]]:
        return {(trial.query, one.supplement) for trial in self.before for one in trial.written if not one.since}


def _text(wish: Wish) -> str:
    return wish.given.text if isinstance(wish.given, Supplement) else ""
