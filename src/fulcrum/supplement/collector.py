"""Fills a pool: the generator writes, and the actor tries what was written, or the most promising part of it."""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from fulcrum.hashing import seed_from
from fulcrum.supplement.bench import Bench, Wish
from fulcrum.supplement.forms import CONCAT, NONE, NOTHING, Supplement, concatenate
from fulcrum.supplement.labels import Alone, Rule
from fulcrum.supplement.promise import Promise, Tried
from fulcrum.supplement.schedule import Pool, allowance, questions_to_try
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.trials import Trial, Written, asked_about
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
            return self.bench.play(self._wishes(pool, queries, 0), self.writer)
        trials: list[Trial] = []
        for lot in range(PATIENCE):
            if self._room(pool, trials) > 0:
                written = self.bench.write(self._wishes(pool, self._lacks(pool, queries, trials), lot), self.writer)
                free = {wish for wish in written if self._is_free(wish)}
                trials += self.bench.play([wish for wish in written if wish in free], self.writer)
                trials = self._most_promising(pool, [wish for wish in written if wish not in free], trials)
        return trials

    def _wishes(self, pool: Pool, queries: Collection[str], lot: int) -> list[Wish]:
        places = [(query, place) for place in range(lot * pool.size, (lot + 1) * pool.size) for query in queries]
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
        """Return whether the actor need not be asked: nothing was written, or the same words for an earlier pool."""
        if isinstance(wish.given, Supplement):
            return wish.given == NOTHING or (wish.query, (Written((), wish.given),)) in self._said
        return wish.given is not None

    def _room(self, pool: Pool, trials: Sequence[Trial]) -> int:
        """Return how many more drafts the actor may be asked about; those whose every call failed are not counted."""
        paid = sum((trial.query, trial.written) not in self._said for trial in asked_about(_answered(trials)))
        return allowance(pool, self.settings, len(self.alone)) // self.settings.label_samples - paid

    def _most_promising(self, pool: Pool, wishes: Sequence[Wish], trials: Sequence[Trial]) -> list[Trial]:
        """Return some trials and those of some wishes, tried in waves: what promises most of what a question lacks."""
        tried = list(trials)
        said = {(trial.query, one.supplement) for trial in tried for one in trial.written}
        different = {(wish.query, wish.given or wish.sample): wish for wish in wishes}
        waiting = [wish for place, wish in different.items() if place not in said]
        promise = self._promise(waiting, tried)
        each = max(1, math.ceil(self._room(pool, tried) / LOOKS / max(1, len({wish.query for wish in waiting}))))
        while (left := self._room(pool, tried)) > 0:
            lacks = self._lacks(pool, {wish.query for wish in waiting}, tried)
            waiting = [wish for wish in waiting if wish.query in lacks]
            if not waiting:
                break
            worth = promise.of(self._known(tried), [(wish.query, _text(wish)) for wish in waiting])
            ranked = sorted(zip(waiting, worth, strict=True), key=lambda one: -one[1] * lacks[one[0].query])
            taken: Counter[str] = Counter()
            wave: list[Wish] = []
            for wish, _ in ranked:
                taken[wish.query] += 1
                if taken[wish.query] <= each and len(wave) < left:
                    wave.append(wish)
            tried += self.bench.play(wave, self.writer)
            gone = set(wave)
            waiting = [wish for wish in waiting if wish not in gone]
        return tried

    def _promise(self, waiting: Sequence[Wish], trials: Sequence[Trial]) -> Promise:
        task = self.bench.task
        questions = {example.id: task.shown(example) for example in task.examples("train") if example.id in self.alone}
        written = (one.supplement.text for trial in (*self.before, *trials) for one in trial.written)
        return Promise(questions, [*written, *map(_text, waiting)])

    def _known(self, trials: Sequence[Trial]) -> list[Tried]:
        """Return what each note was worth, in the order in which they were tried; nothing of notes at every turn."""
        every = [*self.before, *trials] if self.bench.when == "start" else []
        helps = {
            (query, option.supplement): self.rule.helps(option)
            for (query, _), said in self.rule.options(every, self.alone).items()
            for option in said
            if option.supplement.form != NONE
        }
        tried = dict.fromkeys((trial.query, one.supplement) for trial in every for one in trial.written)
        return [Tried(query, note.text, helps[query, note]) for query, note in tried if (query, note) in helps]

    def _lacks(self, pool: Pool, queries: Iterable[str], trials: Sequence[Trial]) -> dict[str, int]:
        """Return which questions lack something: 1 for supplements that help, -1 for losers alone.

        What is imitated is kept from earlier pools, so what those had too many of counts; preferences are between
        supplements of one generator.
        """
        found, enough = self.rule.options(trials, self.alone), self.settings.enough
        lacks: dict[str, int] = {}
        for query in queries:
            options = found.get((query, ()), ())
            helping, losing = self.rule.signs(options)
            if not pool.losers_wanted:
                known = {option.supplement for option in options if self.rule.helps(option)}
                lacks[query] = int(len(known.union(self._winners.get(query, ()))) < enough * (pool.number + 1))
            elif self.rule.labels == "uplift" and self.alone[query] >= 1.0:
                lacks[query] = -int(losing < enough and len(options) <= pool.size // HARM)
            else:
                lacks[query] = 1 if helping < enough else -int(losing < enough)
        return {query: what for query, what in lacks.items() if what}

    @cached_property
    def _winners(self) -> dict[str, list[Supplement]]:
        found: dict[str, list[Supplement]] = {}
        for (query, _), said in self.rule.options(self.before, self.alone).items():
            found.setdefault(query, []).extend(option.supplement for option in said if self.rule.helps(option))
        return found

    @cached_property
    def _said(self) -> set[tuple[str, tuple[Written, ...]]]:
        return {(trial.query, trial.written) for trial in _answered(self.before)}


def _answered(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if set(trial.verdicts) != {"failed"}]


def _text(wish: Wish) -> str:
    return wish.given.text if isinstance(wish.given, Supplement) else ""
