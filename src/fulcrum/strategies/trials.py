"""Does a strategy help? On turns like the one where it was learned, and on whole dialogues."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fulcrum.evaluation.statistics import mcnemar_exact, paired_difference
from fulcrum.strategies.dialogue import Check, Job, State, play
from fulcrum.strategies.records import Effect
from fulcrum.strategies.retrieval import WordIndex
from fulcrum.strategies.solver import Student
from fulcrum.strategies.wording import Wording
from fulcrum.task import Task


@dataclass(frozen=True, slots=True)
class Trial:
    """What a strategy did on some turns.

    Attributes:
        effect: the mean difference in the worth of the dialogue.
        p_value: of the exact sign test: are better and worse equally likely?
        helped: turns that it made better.
        hurt: turns that it made worse.
    """

    effect: Effect
    p_value: float
    helped: tuple[State, ...]
    hurt: tuple[State, ...]

    def accepted(self, alpha: float) -> bool:
        """Return whether it helps by more than chance."""
        return self.effect.estimate > 0 and len(self.helped) > len(self.hurt) and self.p_value <= alpha

    @property
    def mixed(self) -> bool:
        """True if it both helps and hurts, so that it may be too broad rather than wrong."""
        return len(self.helped) >= 2 and len(self.hurt) >= 2

    def summary(self) -> str:
        """Return the result in a few words."""
        return (
            f"{len(self.helped)} of {self.effect.n} turns better with it, {len(self.hurt)} worse, "
            f"sign test p = {self.p_value:.3f}"
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

    def run(self, candidates: Sequence[tuple[str, Sequence[State]]]) -> list[Trial]:
        """Finish each candidate's dialogues with its line in every prompt from its turn on, and without it.

        Args:
            candidates: lines of guidance, each with the turns to try it on.
        """
        without = list({state.key: state for _, states in candidates for state in states}.values())
        jobs = [Job(state) for state in without]
        jobs += [Job(state, extra=(line,)) for line, states in candidates for state in states]
        scores = [score.value for score in play(self._task, jobs, self._student, self._check)]
        before = {state.key: score for state, score in zip(without, scores, strict=False)}
        rest = iter(scores[len(without) :])
        return [_trial([(state, before[state.key], next(rest)) for state in states]) for _, states in candidates]


def _trial(outcomes: Sequence[tuple[State, float | None, float | None]]) -> Trial:
    scored = [(state, old, new) for state, old, new in outcomes if old is not None and new is not None]
    helped = tuple(state for state, old, new in scored if new > old)
    hurt = tuple(state for state, old, new in scored if new < old)
    effect = measured("state", [old for _, old, _ in scored], [new for _, _, new in scored])
    return Trial(effect, mcnemar_exact(len(hurt), len(helped)), helped, hurt)


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

    def of(self, origins: Sequence[State], count: int) -> list[State]:
        """Return at most `count` turns: of the origins at most half, then those that are most like them."""
        chosen = {state.key: state for state in origins[: max(1, count // 2)]}
        situations = [self._wording.situation(state.messages) for state in chosen.values()]
        likeness = np.max([self._index.scores(situation) for situation in situations], axis=0)
        for number in sorted(range(len(self._states)), key=lambda number: -likeness[number]):
            if len(chosen) >= count:
                break
            chosen.setdefault(self._states[number].key, self._states[number])
        return list(chosen.values())
