"""Fills a pool: the generator writes, and the actor tries what was written, or the most promising part of it."""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fulcrum.hashing import seed_from
from fulcrum.supplement.bench import Bench, Wish
from fulcrum.supplement.forms import CONCAT, NONE, NOTHING, Supplement, concatenate
from fulcrum.supplement.labels import Alone, Rule
from fulcrum.supplement.promise import Promise, Tried
from fulcrum.supplement.schedule import Pool, allowance, questions_to_try
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.trials import State, Trial, Written, asked_about
from fulcrum.supplement.writer import SupplementWriter

LOOKS = 10
"""How often the adaptive schedule looks at what a pool has brought so far, if all its questions lack something."""

PATIENCE = 2
"""How many times the fixed schedule's drafts the adaptive one has written at most for a question that lacks winners."""

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
        states: what a supplement can be written for, by question: one, or every turn of the dialogue without help.
        before: trials of earlier pools.
        fits: whether the generator could write a concatenation: no other may be learned from.
        seed: of the choice of questions and concatenations.
    """

    bench: Bench
    writer: SupplementWriter
    settings: SupplementSettings
    rule: Rule
    alone: Alone
    states: Mapping[str, Sequence[State]]
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
        states = [state for query in queries for state in self.states[query]]
        if self.settings.schedule == "fixed":
            return self.bench.play(self.bench.write(self._wishes(pool, states, 0), self.writer))
        trials: list[Trial] = []
        for lot in range(PATIENCE):
            if self._room(pool, trials) > 0:
                written = self.bench.write(self._wishes(pool, self._lacks(pool, states, trials), lot), self.writer)
                free = {wish for wish in written if self._is_free(wish)}
                trials += self.bench.play([wish for wish in written if wish in free])
                trials = self._most_promising(pool, [wish for wish in written if wish not in free], trials)
        return trials

    def _wishes(self, pool: Pool, lacking: Collection[State], lot: int) -> list[Wish]:
        """Return a lot of wishes; the drafts that a question may have are shared among its states."""
        wishes: list[Wish] = []
        wanted, queries = set(lacking), list(dict.fromkeys(query for query, _ in lacking))
        for draft in range(lot * pool.size, (lot + 1) * pool.size):
            for query in queries:
                states = self.states[query]
                state, place = states[draft % len(states)], draft // len(states)
                if state in wanted and (wish := self._wish(pool, state, place)):
                    wishes.append(wish)
        return wishes

    def _wish(self, pool: Pool, state: State, place: int) -> Wish | None:
        """Return what draft number `place` of a state asks for; None if there is nothing to concatenate."""
        # Each state in an order of its own, so that the first drafts of all states hold every request.
        named = (state[0], len(state[1])) if state[1] else state[:1]
        order = random.Random(seed_from(self.seed, "order", *named)).sample(pool.asked, len(pool.asked))
        asked = order[place % len(order)]
        if asked != CONCAT:
            return Wish(state, asked, sample=place)
        rng = random.Random(seed_from(self.seed, CONCAT, *named, place))
        known = self._winners.get(state, ())
        pairs = [(first, second) for first in known for second in known if first.form != second.form]
        while pairs:
            joined = concatenate(*pairs.pop(rng.randrange(len(pairs))))
            if self.fits(joined):
                return Wish(state, asked, given=joined)
        return None

    def _is_free(self, wish: Wish) -> bool:
        """Return whether the actor need not be asked: nothing was written, or the same words for an earlier pool."""
        if isinstance(wish.given, Supplement):
            query, since = wish.state
            return wish.given == NOTHING or (query, (Written(since, wish.given),)) in self._said
        return wish.given is not None

    def _room(self, pool: Pool, trials: Sequence[Trial]) -> int:
        """Return how many more drafts the actor may be asked about; those whose every call failed are not counted."""
        paid = sum((trial.query, trial.written) not in self._said for trial in asked_about(_answered(trials)))
        return allowance(pool, self.settings, len(self.alone)) // self.settings.label_samples - paid

    def _most_promising(self, pool: Pool, wishes: Sequence[Wish], trials: Sequence[Trial]) -> list[Trial]:
        """Return some trials and those of some wishes, tried in waves: what promises most of what a question lacks."""
        tried = list(trials)
        said = {one for trial in tried for one in trial.said}
        different = {(wish.state, wish.given): wish for wish in wishes}
        waiting = [wish for place, wish in different.items() if place not in said]
        promise = self._promise(waiting, tried)
        each = max(1, math.ceil(self._room(pool, tried) / LOOKS / max(1, len({wish.state for wish in waiting}))))
        while (left := self._room(pool, tried)) > 0:
            lacks = self._lacks(pool, {wish.state for wish in waiting}, tried)
            waiting = [wish for wish in waiting if wish.state in lacks]
            if not waiting:
                break
            worth = promise.of(self._known(tried), [(wish.state, _text(wish)) for wish in waiting])
            ranked = sorted(zip(waiting, worth, strict=True), key=lambda one: -one[1] * lacks[one[0].state])
            taken: Counter[State] = Counter()
            wave: list[Wish] = []
            for wish, _ in ranked:
                taken[wish.state] += 1
                if taken[wish.state] <= each and len(wave) < left:
                    wave.append(wish)
            tried += self.bench.play(wave)
            gone = set(wave)
            waiting = [wish for wish in waiting if wish not in gone]
        return tried

    def _promise(self, waiting: Sequence[Wish], trials: Sequence[Trial]) -> Promise:
        task = self.bench.task
        shown = {example.id: task.shown(example) for example in task.examples("train")}
        states = {state: _last_words(state) or shown[query] for query in self.alone for state in self.states[query]}
        written = (one.supplement.text for trial in (*self.before, *trials) for one in trial.written)
        return Promise(states, [*written, *map(_text, waiting)])

    def _known(self, trials: Sequence[Trial]) -> list[Tried]:
        """Return what each note was worth, in the order in which they were tried."""
        every = [*self.before, *trials]
        helps = {
            (state, option.supplement): self.rule.helps(option)
            for state, said in self.rule.options(every, self.alone).items()
            for option in said
            if option.supplement.form != NONE
        }
        tried = dict.fromkeys(one for trial in every for one in trial.said)
        return [Tried(state, note.text, helps[state, note]) for state, note in tried if (state, note) in helps]

    def _lacks(self, pool: Pool, states: Iterable[State], trials: Sequence[Trial]) -> dict[State, int]:
        """Return which states lack something: 1 for supplements that help, -1 for losers alone.

        What is imitated is kept from earlier pools, so what those had too many of counts; preferences are between
        supplements of one generator.
        """
        found, enough = self.rule.options(trials, self.alone), self.settings.enough
        lacks: dict[State, int] = {}
        for state in states:
            options = found.get(state, ())
            helping, losing = self.rule.signs(options)
            if not pool.losers_wanted:
                known = {option.supplement for option in options if self.rule.helps(option)}
                lacks[state] = int(len(known.union(self._winners.get(state, ()))) < enough * (pool.number + 1))
            elif self.rule.labels == "uplift" and self.alone[state[0]] >= 1.0:
                lacks[state] = -int(losing < enough and len(options) <= pool.size // HARM)
            else:
                lacks[state] = 1 if helping < enough else -int(losing < enough)
        return {state: what for state, what in lacks.items() if what}

    @cached_property
    def _winners(self) -> dict[State, list[Supplement]]:
        return {
            state: [option.supplement for option in said if self.rule.helps(option)]
            for state, said in self.rule.options(self.before, self.alone).items()
        }

    @cached_property
    def _said(self) -> set[tuple[str, tuple[Written, ...]]]:
        return {(trial.query, trial.written) for trial in _answered(self.before)}


def _answered(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if set(trial.verdicts) != {"failed"}]


def _last_words(state: State) -> str:
    return state[1][-1].content if state[1] else ""


def _text(wish: Wish) -> str:
    return wish.given.text if isinstance(wish.given, Supplement) else ""
