"""From attempts to examples, and from two solvers' examples to what one gains and breaks."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fulcrum.evaluation.rollouts import Rollout
from fulcrum.evaluation.statistics import Interval, mcnemar_exact, mean_interval, paired_difference, wilson
from fulcrum.task import Score


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one solver achieves on one example, over all its scored attempts.

    Attributes:
        value: mean score.
        solved: share of attempts that solve it, see `fulcrum.task.Score.solved`.
    """

    value: float
    solved: float


def outcomes(rollouts: Iterable[Rollout]) -> dict[str, Outcome]:
    """Return the outcome of every example; seeds and samples are averaged, failed attempts left out.

    An example of which every attempt failed has no outcome.
    """
    return {
        question_id: Outcome(
            value=math.fsum(score.value or 0.0 for score in scores) / len(scores),
            solved=sum(score.solved for score in scores) / len(scores),
        )
        for question_id, scores in _scored(rollouts).items()
    }


def pass_at(rollouts: Iterable[Rollout], k: int) -> dict[str, Outcome]:
    """Return, for every example, the best that `k` attempts are expected to reach: the oracle best-of-k.

    The probability that one of them solves it is the unbiased estimate of Chen et al. (2021, arXiv 2107.03374) from
    n >= k scored attempts, and the expected highest score is its like for graded scores. Examples with fewer scored
    attempts are left out. It needs the targets, so it is a ceiling for choosing among draws, not a solver.

    Raises:
        ValueError: `k` is below 1.
    """
    if k < 1:
        raise ValueError(f"pass@{k}: k must be at least 1")
    return {
        question_id: Outcome(
            value=_expected_best([score.value or 0.0 for score in scores], k),
            solved=_expected_best([float(score.solved) for score in scores], k),
        )
        for question_id, scores in _scored(rollouts).items()
        if len(scores) >= k
    }


def _expected_best(values: Sequence[float], k: int) -> float:
    """Return the highest of `k` of the values, averaged over all choices of `k`."""
    ordered = sorted(values)
    # A choice misses the step from one value up to the next if it holds none but those below the step.
    missed = (
        (upper - lower) * (math.comb(below, k) / math.comb(len(ordered), k))
        for below, (lower, upper) in enumerate(pairwise(ordered), start=1)
    )
    return ordered[-1] - math.fsum(missed)


def _scored(rollouts: Iterable[Rollout]) -> dict[str, list[Score]]:
    scores: dict[str, list[Score]] = {}
    for rollout in rollouts:
        if rollout.score.value is not None:
            scores.setdefault(rollout.question_id, []).append(rollout.score)
    return scores


def mean_of(results: Mapping[str, Outcome]) -> Interval | None:
    """Return the mean value over examples with its interval; None if there is no example."""
    return mean_interval([outcome.value for outcome in results.values()]) if results else None


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two solvers on the examples where both have an outcome.

    Attributes:
        n: examples.
        difference: mean of after minus before.
        harm: share of what `before` solved that `after` breaks; None if it solved nothing.
        rescue: share of what `before` did not solve that `after` solves; None if it solved everything.
        broken: examples that `after` solves less often than `before`.
        rescued: examples that `after` solves more often.
        p_value: McNemar's exact test on the last two; with several attempts, the sign test over examples.
    """

    n: int
    difference: Interval
    harm: Interval | None
    rescue: Interval | None
    broken: int
    rescued: int
    p_value: float


def pair(before: Mapping[str, Outcome], after: Mapping[str, Outcome]) -> Pairing | None:
    """Compare two solvers example by example; None if they share no example.

    With several attempts an example is solved in part: harm is then the probability that a random attempt of `after`
    is not right where a random attempt of `before` is.
    """
    shared = [question_id for question_id in before if question_id in after]
    if not shared:
        return None
    pairs = [(before[question_id], after[question_id]) for question_id in shared]
    broken = sum(second.solved < first.solved for first, second in pairs)
    rescued = sum(second.solved > first.solved for first, second in pairs)
    return Pairing(
        n=len(pairs),
        difference=paired_difference([first.value for first, _ in pairs], [second.value for _, second in pairs]),
        harm=_share(pairs, lambda first, second: (first.solved, 1 - second.solved)),
        rescue=_share(pairs, lambda first, second: (1 - first.solved, second.solved)),
        broken=broken,
        rescued=rescued,
        p_value=mcnemar_exact(broken, rescued),
    )


def _share(
    pairs: Sequence[tuple[Outcome, Outcome]], part: Callable[[Outcome, Outcome], tuple[float, float]]
) -> Interval | None:
    weighed = [part(first, second) for first, second in pairs]
    whole = math.fsum(weight for weight, _ in weighed)
    return wilson(math.fsum(weight * changed for weight, changed in weighed), whole) if whole else None
