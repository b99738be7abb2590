"""What a log says: how requests fared, and whether help helped.

The two arms of an A/B split answer *different* requests. Nothing is paired, and requests of one conversation or user
are no independent evidence: the unit that was drawn is the unit that counts. What is compared is the arm that a unit
was drawn into, not whether help really came: to leave out the requests whose help was late would compare easy times
with all times.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from fulcrum.evaluation.statistics import Interval, mean_interval, paired_difference
from fulcrum.serving.log import LogRow


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """How one arm of a split fared.

    Attributes:
        units: conversations or users with a value.
        requests: requests of the arm.
        scored: requests with a value.
        helped: share of its requests to which help was really added.
        failed: share of its requests that got no complete answer of status 200.
        mean: mean value over units, with its interval; None without any value.
    """

    units: int
    requests: int
    scored: int
    helped: float
    failed: float
    mean: Interval | None


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """Help against none, on different units.

    Attributes:
        plain: the arm without help.
        help: the arm with help.
        difference: mean of `help` minus mean of `plain`, unpaired; None while an arm has no value.
    """

    plain: ArmSummary
    help: ArmSummary
    difference: Interval | None


def compare_arms(rows: Iterable[LogRow], value: Callable[[LogRow], float | None]) -> ArmComparison:
    """Compare the arms of a split, each unit counted once, in the arm that it was drawn into.

    Requests that clients opted out of are in neither arm, and nor are those of a shadow, to which no help was sent.

    Args:
        rows: the log.
        value: how good the answer to a request was, 0..1; None if that is not known.
    """
    by_arm: dict[str, list[LogRow]] = {"plain": [], "help": []}
    for row in rows:
        if row.outcome != "off" and not row.shadow:
            by_arm[row.arm].append(row)
    plain, help_ = (_unit_means(by_arm[arm], value) for arm in ("plain", "help"))
    return ArmComparison(
        _summary(by_arm["plain"], plain, value),
        _summary(by_arm["help"], help_, value),
        unpaired_difference(list(plain.values()), list(help_.values())) if plain and help_ else None,
    )


def compare_replayed(
    rows: Iterable[LogRow], before: Mapping[str, float], after: Mapping[str, float]
) -> Interval | None:
    """Compare two answers to the *same* logged requests, as when a shadow log is replayed without and with its help.

    Args:
        rows: the log; it tells which requests belong to one unit.
        before: value by request id, without help.
        after: the same with help.

    Returns:
        The paired difference over units; None if no request has both values.
    """
    both = [row for row in rows if row.request in before and row.request in after]
    if not both:
        return None
    return paired_difference(
        [before[row.request] for row in both],
        [after[row.request] for row in both],
        clusters=[row.unit for row in both],
    )


def unpaired_difference(before: Sequence[float], after: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the difference of two means of scores in 0..1 of different units, with a Welch interval.

    To each side a 0 and a 1 are added for the interval, not for the estimate. For right-or-wrong values that is the
    interval of Agresti and Caffo (2000): without it, five right of five against none of five would have no width.

    Raises:
        ValueError: a side is empty, or a score is outside 0..1.
    """
    if not before or not after:
        raise ValueError("a difference needs scores on both sides")
    sides = [np.array([*scores, 0.0, 1.0]) for scores in (before, after)]
    if any(((side < 0) | (side > 1)).any() for side in sides):
        raise ValueError("a score is between 0 and 1")
    errors = [float(side.var(ddof=1)) / len(side) for side in sides]
    variance = math.fsum(errors)
    freedom = variance**2 / math.fsum(error**2 / (len(side) - 1) for error, side in zip(errors, sides, strict=True))
    quantile = float(student_t.ppf(0.5 + confidence / 2, freedom))  # pyright: ignore[reportUnknownMemberType]
    half = quantile * math.sqrt(variance)
    center = float(sides[1].mean() - sides[0].mean())
    estimate = math.fsum(after) / len(after) - math.fsum(before) / len(before)
    return Interval(estimate, max(-1.0, min(estimate, center - half)), min(1.0, max(estimate, center + half)))


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What a log says without any judgement of answers.

    Attributes:
        requests: how many there are.
        outcomes: how often each thing became of the help.
        statuses: how often each status was answered.
        seconds: median and 99th percentile of `help`, `first_byte` and `total`, where known.
    """

    requests: int
    outcomes: Mapping[str, int]
    statuses: Mapping[int, int]
    seconds: Mapping[str, tuple[float, float]]


def summarise(rows: Iterable[LogRow]) -> LogSummary:
    """Count a log."""
    outcomes, statuses = Counter[str](), Counter[int]()
    seconds: dict[str, list[float]] = {}
    for row in rows:
        outcomes[row.outcome] += 1
        statuses[row.status] += 1
        for name, value in row.seconds.items():
            seconds.setdefault(name, []).append(value)
    quantiles = {name: tuple(map(float, np.quantile(values, [0.5, 0.99]))) for name, values in seconds.items()}
    return LogSummary(
        outcomes.total(), dict(outcomes), dict(statuses), {name: (low, high) for name, (low, high) in quantiles.items()}
    )


def _unit_means(rows: Iterable[LogRow], value: Callable[[LogRow], float | None]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        if (known := value(row)) is not None:
            values.setdefault(row.unit, []).append(known)
    return {unit: math.fsum(known) / len(known) for unit, known in values.items()}


def _summary(rows: Sequence[LogRow], means: Mapping[str, float], value: Callable[[LogRow], float | None]) -> ArmSummary:
    requests = len(rows)
    return ArmSummary(
        units=len(means),
        requests=requests,
        scored=sum(value(row) is not None for row in rows),
        helped=sum(row.outcome == "added" for row in rows) / max(1, requests),
        failed=sum(row.status != 200 or not row.complete for row in rows) / max(1, requests),
        mean=mean_interval(list(means.values())) if means else None,
    )
