"""Does a strategy help? On turns like the one where it was learned, and on whole dialogues."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fulcrum.chat import Completion
from fulcrum.evaluation.solver import Turn
from fulcrum.evaluation.statistics import mcnemar_exact, paired_difference
from fulcrum.strategies.dialogue import Check, Compared, Job, State, play
from fulcrum.strategies.records import Advice, Effect
from fulcrum.strategies.retrieval import WordIndex
from fulcrum.strategies.solver import Student
from fulcrum.strategies.wording import Wording
from fulcrum.task import Task

REACH = 4
"""At how many turns a reply with a strategy is looked at, for each at which the dialogue may be finished."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy on trial.

    Attributes:
        id: in the library.
        advice: what it says.
        origins: turns at which it was suggested.
        neighbours: other turns to try it on.
    """

    id: str
    advice: Advice
    origins: tuple[State, ...] = ()
    neighbours: tuple[State, ...] = ()

    @property
    def states(self) -> tuple[State, ...]:
        """All turns to try it on."""
        return (*self.origins, *self.neighbours)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a strategy did on some turns.

    Attributes:
        looked: turns at which the reply with it was compared with the reply without it.
        effect: the mean difference in the worth of the dialogue, over the turns at which they differ.
        p_value: of the exact sign test: are better and worse equally likely?
        helped: turns that it made better.
        hurt: turns that it made worse.
        neighbours: how many of the turns that count are not among its origins.
        helped_near: how many of these it made better.
        hurt_near: how many of these it made worse.
    """

    looked: int
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
        """Return the trial with what an earlier one, of other turns, had shown: the effects and signs of both."""
        both = together(effect, self.effect)
        return replace(self, effect=both, p_value=mcnemar_exact(both.worse, both.better))

    @property
    def mixed(self) -> bool:
        """True if it both helps and hurts, so that it may be too broad rather than wrong."""
        return len(self.helped) >= 2 and len(self.hurt) >= 2

    def summary(self) -> str:
        """Return the result in a few words."""
        if not self.effect.n:
            return f"it changes no reply, at {self.looked} turns"
        near = f"{self.helped_near} of {self.neighbours} neighbours better, {self.hurt_near} worse"
        return (
            f"{self.effect.better} of {self.effect.n} turns better with it, {self.effect.worse} worse, "
            f"sign test p = {self.p_value:.3f}" + (f"; {near}" if self.neighbours else "")
        )


class Trials:
    """Tries strategies on one student.

    Args:
        task: the dialogue task.
        student: who is to be helped, with whatever it is given already.
        turns: most dialogues to finish for one strategy.
        check: stops the run if its budget is spent.
    """

    def __init__(self, task: Task, student: Student, turns: int, check: Check) -> None:
        self._task = task
        self._student = student
        self._turns = turns
        self._check = check

    def run(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """Finish each candidate's dialogues with its line in every prompt from its turn on, and without it.

        Only those in which the line changes the reply: most turns are none of its concern, and tell nothing about it.
        """
        looks = self._look(candidates)
        touched = [look.chosen(self._turns) for look in looks]
        without = list({state.key: state for one in touched for state in one.states}.values())
        jobs = [Job(state) for state in without]
        jobs += [Job(state, extra=(one.advice.guidance,)) for one in touched for state in one.states]
        scores = [score.value for score in play(self._task, jobs, self._student, self._check)]
        before = {state.key: score for state, score in zip(without, scores, strict=False)}
        rest = iter(scores[len(without) :])
        return [
            _trial(look.looked, [(state, before[state.key], next(rest)) for state in one.states], len(one.origins))
            for look, one in zip(looks, touched, strict=True)
        ]

    def _look(self, candidates: Sequence[Candidate]) -> list["_Look"]:
        """Compare replies with each line and without it, turn by turn, until enough of them differ."""
        looks = [_Look(one) for one in candidates]
        plain: dict[tuple[str, int, tuple[str, ...]], Completion] = {}
        step = max(1, self._turns // 2)
        for start in range(0, max((len(one.states) for one in candidates), default=0), step):
            asked = [(look, state) for look in looks for state in look.next(start, step, self._turns)]
            new = list({state.key: state for _, state in asked if state.key not in plain}.values())
            plain |= zip((state.key for state in new), self._replies([(state, ()) for state in new]), strict=True)
            replies = self._replies([(state, (look.candidate.advice.guidance,)) for look, state in asked])
            for (look, state), reply in zip(asked, replies, strict=True):
                look.see(Compared(state, plain[state.key], reply))
        return looks

    def _replies(self, asked: Sequence[tuple[State, tuple[str, ...]]]) -> list[Completion]:
        turns = [Turn(state.question, state.messages) for state, _ in asked]
        answers = self._student.answer(turns, [lines for _, lines in asked])
        self._check()
        return [answer.completion for answer in answers]


@dataclass(slots=True)
class _Look:
    """Where a candidate's line changes the student's reply, as far as was looked.

    Attributes:
        candidate: the strategy.
        looked: turns at which replies were compared.
        origins: those of its origins at which they differ; a failed call leaves a turn out.
        neighbours: those of its neighbours.
    """

    candidate: Candidate
    looked: int = 0
    origins: list[State] = field(default_factory=list[State])
    neighbours: list[State] = field(default_factory=list[State])

    def next(self, start: int, step: int, turns: int) -> tuple[State, ...]:
        """Return `step` more origins and neighbours; none if what they show could not change what is `chosen`."""
        origins, neighbours = (
            some[start : start + step] for some in (self.candidate.origins, self.candidate.neighbours)
        )
        half = turns // 2
        settled = (len(self.origins) >= half or not origins) and (
            len(self.neighbours) >= turns - half or not neighbours
        )
        enough = len(self.origins) + len(self.neighbours) >= turns
        return () if settled and enough else (*origins, *neighbours)

    def see(self, compared: Compared) -> None:
        """Take in the replies without the line and with it at one turn."""
        self.looked += 1
        if compared.differ:
            near = any(state.key == compared.state.key for state in self.candidate.origins)
            (self.origins if near else self.neighbours).append(compared.state)

    def chosen(self, turns: int) -> Candidate:
        """Return the candidate with the first of its turns at which the reply changes, half of them origins."""
        kept = self.origins[: max(turns // 2, turns - len(self.neighbours))]
        return replace(self.candidate, origins=tuple(kept), neighbours=tuple(self.neighbours[: turns - len(kept)]))


def _trial(looked: int, outcomes: Sequence[tuple[State, float | None, float | None]], origins: int) -> Trial:
    """Return what came of the turns, the first of which are the origins."""
    near = {state.key for state, _, _ in outcomes[origins:]}
    scored = [(state, old, new) for state, old, new in outcomes if old is not None and new is not None]
    helped = tuple(state for state, old, new in scored if new > old)
    hurt = tuple(state for state, old, new in scored if new < old)
    effect = measured("state", [old for _, old, _ in scored], [new for _, _, new in scored])
    neighbours, helped_near, hurt_near = (
        sum(state.key in near for state in some) for some in ([state for state, _, _ in scored], helped, hurt)
    )
    return Trial(
        looked, effect, mcnemar_exact(len(hurt), len(helped)), helped, hurt, neighbours, helped_near, hurt_near
    )


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
    """Return the effect over the turns of two trials, which have none in common."""
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
    """The turns of a round, by likeness.

    Args:
        states: all of them.
        wording: makes words of them.
    """

    def __init__(self, states: Sequence[State], wording: Wording) -> None:
        self._states = states
        self._wording = wording
        self._index = WordIndex([wording.situation(state.messages).words for state in states])

    def of(self, origins: Sequence[State], count: int) -> tuple[tuple[State, ...], tuple[State, ...]]:
        """Return at most `count` turns: of the origins at most half, and those that are most like these."""
        chosen = {state.key: state for state in origins[: max(1, count // 2)]}
        situations = [self._wording.situation(state.messages) for state in chosen.values()]
        half = len(chosen)
        likeness = np.max([self._index.scores(situation) for situation in situations], axis=0)
        for number in sorted(range(len(self._states)), key=lambda number: -likeness[number]):
            if len(chosen) >= count:
                break
            chosen.setdefault(self._states[number].key, self._states[number])
        turns = tuple(chosen.values())
        return turns[:half], turns[half:]
