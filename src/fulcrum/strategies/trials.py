"""Does a strategy help? In dialogues like those where it was learned."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fulcrum.evaluation.statistics import mcnemar_exact, paired_difference
from fulcrum.strategies.bench import without
from fulcrum.strategies.dialogue import Check, Job, State, play
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.records import Advice, Effect
from fulcrum.strategies.retrieval import Retriever, WordIndex, applies_everywhere
from fulcrum.strategies.solver import Student
from fulcrum.strategies.wording import Wording
from fulcrum.strategies.words import ALTERNATIVE
from fulcrum.task import Task


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy on trial.

    Attributes:
        id: in the library.
        advice: what it says.
        origins: where to take up dialogues in which it was suggested.
        neighbours: where to take up others.
    """

    id: str
    advice: Advice
    origins: tuple[State, ...] = ()
    neighbours: tuple[State, ...] = ()

    @property
    def states(self) -> tuple[State, ...]:
        """Where to take up all of its dialogues."""
        return (*self.origins, *self.neighbours)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a strategy did in some dialogues.

    Attributes:
        effect: the mean difference in their worth.
        p_value: of the exact sign test: are better and worse equally likely?
        helped: where those were taken up that it made better.
        hurt: where those were taken up that it made worse.
        neighbours: in how many it was not suggested.
        helped_near: how many of these it made better.
        hurt_near: how many of these it made worse.
    """

    effect: Effect
    p_value: float
    helped: tuple[State, ...]
    hurt: tuple[State, ...]
    neighbours: int
    helped_near: int
    hurt_near: int

    def accepted(self, alpha: float) -> bool:
        """Return whether it helps by more than chance, and hurts no neighbours, or fewer than it helps.

        Neighbours that it leaves as they are do not count: what is said of one situation need not touch another.
        """
        effect = self.effect
        helps = effect.estimate > 0 and effect.better > effect.worse and self.p_value <= alpha
        return helps and (not self.hurt_near or self.helped_near > self.hurt_near)

    def with_earlier(self, effect: Effect) -> "Trial":
        """Return the trial with what an earlier one, of other dialogues, had shown: the effects and signs of both."""
        both = together(effect, self.effect)
        return replace(self, effect=both, p_value=mcnemar_exact(both.worse, both.better))

    @property
    def mixed(self) -> bool:
        """True if it both helps and hurts, so that it may be too broad rather than wrong."""
        return len(self.helped) >= 2 and len(self.hurt) >= 2

    def summary(self) -> str:
        """Return the result in a few words."""
        near = f"{self.helped_near} of {self.neighbours} neighbours better, {self.hurt_near} worse"
        return (
            f"{self.effect.better} of {self.effect.n} dialogues better with it, {self.effect.worse} worse, "
            f"sign test p = {self.p_value:.3f}" + (f"; {near}" if self.neighbours else "")
        )


class Trials:
    """Tries strategies on one student.

    Args:
        task: the dialogue task.
        student: who is to be helped, with whatever it is given already.
        check: stops the run if its budget is spent.
    """

    def __init__(self, task: Task, student: Student, check: Check) -> None:
        self._task = task
        self._student = student
        self._check = check

    def run(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """Finish each candidate's dialogues with its line in every prompt from there on, and without it."""
        without = list({state.key: state for one in candidates for state in one.states}.values())
        jobs = [Job(state) for state in without]
        jobs += [Job(state, extra=(one.advice.guidance,)) for one in candidates for state in one.states]
        scores = [score.value for score in play(self._task, jobs, self._student, self._check)]
        before = {state.key: score for state, score in zip(without, scores, strict=False)}
        rest = iter(scores[len(without) :])
        return [
            _trial([(state, before[state.key], next(rest)) for state in one.states], len(one.origins))
            for one in candidates
        ]


def _trial(outcomes: Sequence[tuple[State, float | None, float | None]], origins: int) -> Trial:
    """Return what came of the dialogues, the first of which are the origins."""
    near = {state.key for state, _, _ in outcomes[origins:]}
    scored = [(state, old, new) for state, old, new in outcomes if old is not None and new is not None]
    helped = tuple(state for state, old, new in scored if new > old)
    hurt = tuple(state for state, old, new in scored if new < old)
    effect = measured("state", [old for _, old, _ in scored], [new for _, _, new in scored])
    neighbours, helped_near, hurt_near = (
        sum(state.key in near for state in some) for some in ([state for state, _, _ in scored], helped, hurt)
    )
    return Trial(effect, mcnemar_exact(len(hurt), len(helped)), helped, hurt, neighbours, helped_near, hurt_near)


def measured(measure: str, before: Sequence[float], after: Sequence[float]) -> Effect:
    """Return a paired effect with its interval; without a single pair it is zero and may be anything."""
    if not before:
        return Effect(measure=measure, estimate=0.0, low=-1.0, high=1.0, n=0)
    interval = paired_difference(before, after)
    pairs = list(zip(before, after, strict=True))
    return Effect(
        measure=measure,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        n=len(pairs),
        better=sum(new > old for old, new in pairs),
        worse=sum(new < old for old, new in pairs),
    )


def together(one: Effect, other: Effect) -> Effect:
    """Return the effect over the dialogues of two trials, which have none in common."""
    n = one.n + other.n
    if not one.n or not other.n:
        return one if one.n else other
    shares = one.n / n, other.n / n
    estimate = shares[0] * one.estimate + shares[1] * other.estimate
    half = math.hypot(shares[0] * (one.high - one.low) / 2, shares[1] * (other.high - other.low) / 2)
    return other.model_copy(
        update={
            "estimate": estimate,
            "low": max(-1.0, estimate - half),
            "high": min(1.0, estimate + half),
            "n": n,
            "better": one.better + other.better,
            "worse": one.worse + other.worse,
        }
    )


class Neighbours:
    """The dialogues of a round, by the likeness of their turns.

    Args:
        states: all turns, those of one dialogue in their order.
        wording: makes words of them.
        serving: what is served, among which a strategy on trial would stand.
    """

    def __init__(self, states: Sequence[State], wording: Wording, serving: Retriever) -> None:
        self._dialogues: dict[str, list[State]] = {}
        for state in states:
            self._dialogues.setdefault(state.question.id, []).append(state)
        self._situations = {state.key: wording.situation(state.messages) for state in states}
        self._places = {state.question.id: self._situations[state.key].place for state in states}
        self._index = WordIndex([self._situations[state.key].words for state in states])
        self._states = states
        self._serving = serving

    def of(
        self, strategy: Strategy, advice: Advice, origins: Sequence[State], count: int
    ) -> tuple[tuple[State, ...], tuple[State, ...]]:
        """Return where to take up dialogues to try a strategy, in at most `count` of them.

        At most half are dialogues in which it was suggested, the others those with the turns most like these. Each is
        taken up where the strategy would be served first, or if it would not be, at the turn that is meant. Where its
        scenario names places, neighbours elsewhere are left out: it will never be served there.

        Args:
            strategy: what is tried.
            advice: its words and scenario, which may be new.
            origins: the turns at which it was suggested.
            count: most dialogues.
        """
        own: dict[str, State] = {}
        for state in origins:
            own.setdefault(state.question.id, state)
        meant = list(own.values())[: max(1, count // 2)]
        situations = [self._situations[state.key] for state in meant]
        likeness = np.max([self._index.scores(situation) for situation in situations], axis=0)
        named = self.places(advice.scenario)
        like: dict[str, State] = {}
        for number in sorted(range(len(self._states)), key=lambda number: -likeness[number]):
            id = self._states[number].question.id
            if id not in own and (not named or self._places[id] in named):
                like.setdefault(id, self._states[number])
        fitting = self._fitting(replace(strategy, advice=advice))
        turns = (*meant, *list(like.values())[: count - len(meant)])
        first = [self._first_served(fitting, turn.question.id) or turn for turn in turns]
        return tuple(first[: len(meant)]), tuple(first[len(meant) :])

    def served(self, strategy: Strategy, but_not: Collection[str]) -> list[State]:
        """Return where a strategy would be served first in each dialogue in which it would, some dialogues left out."""
        fitting = self._fitting(strategy)
        first = (self._first_served(fitting, id) for id in self._dialogues if id not in but_not)
        return [state for state in first if state is not None]

    def _fitting(self, strategy: Strategy) -> Retriever:
        others = without(self._serving.strategies, strategy.id)
        return Retriever([strategy], self._serving.settings, beside=others)

    def _first_served(self, fitting: Retriever, dialogue: str) -> State | None:
        turns = self._dialogues[dialogue]
        return next((state for state in turns if fitting.retrieve(self._situations[state.key])), None)

    def places(self, scenario: str) -> set[str]:
        """Return the places that a scenario names; none if it applies everywhere."""
        if applies_everywhere(scenario):
            return set()
        return set(scenario.split(ALTERNATIVE)) & set(self._places.values())
