"""What dialogues are judged by beyond one score, what learning cost, and when it has paid for itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fulcrum.errors import RunError
from fulcrum.evaluation.rollouts import Rollout, SolverRollouts
from fulcrum.evaluation.statistics import Interval, mean_interval, paired_difference
from fulcrum.runs.learn import learning_cost


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that can be said of one dialogue.

    Attributes:
        name: what it is called.
        of: reads it from the details of a score, on the scale 0..1; None if the task does not measure it.
        low: what 0 stands for.
        high: what 1 stands for.
    """

    name: str
    of: Callable[[Mapping[str, Any]], float | None]
    low: float = 0.0
    high: float = 1.0

    def show(self, value: float) -> float:
        """Return a value on its own scale."""
        return self.low + value * (self.high - self.low)


def _share(key: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda details: float(bool(details[key])) if key in details else None


METRICS = (
    Metric("success", _share("success")),
    Metric(
        "satisfaction", lambda details: (details["satisfaction"] - 1) / 4 if "satisfaction" in details else None, 1, 5
    ),
    Metric("violation", _share("violations")),
)
"""Whether the customer got what was due, how satisfied it was (1 to 5), and whether any rule was broken."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric of one solver, paired against the baseline.

    Attributes:
        solver: whose dialogues.
        metric: name of the metric.
        n: dialogues that count: scored, and not the simulator's fault in either solver.
        mean: with its interval.
        difference: minus the baseline, with its interval; None for the baseline itself.
        faults: dialogues of this solver that the simulated customer spoilt.
    """

    solver: str
    metric: str
    n: int
    mean: Interval
    difference: Interval | None
    faults: int

    def to_json(self) -> dict[str, Any]:
        """Return the row for machines."""
        return asdict(self)


def metric_rows(results: Sequence[SolverRollouts]) -> list[MetricRow]:
    """Return every metric of every solver; dialogues that the simulator spoilt are counted and left out.

    Raises:
        RunError: no solver is the baseline.
    """
    baseline = next((result for result in results if result.role == "baseline"), None)
    if baseline is None:
        raise RunError("no solver is the baseline; `fulcrum evaluate RUN` measures all of them")
    rows: list[MetricRow] = []
    for metric in METRICS:
        before = _values(baseline, metric)
        for result in results:
            after = _values(result, metric)
            shared = [key for key in before if key in after]
            if not shared:
                continue
            old, new = ([values[key] for key in shared] for values in (before, after))
            clusters = [question_id for question_id, _, _ in shared]
            mean = _shown(metric, mean_interval(new, clusters), shift=True)
            difference = None
            if result is not baseline:
                difference = _shown(metric, paired_difference(old, new, clusters=clusters), shift=False)
            rows.append(MetricRow(result.solver, metric.name, len(shared), mean, difference, _faults(result)))
    return rows


def _values(result: SolverRollouts, metric: Metric) -> dict[tuple[str, int, int], float]:
    values: dict[tuple[str, int, int], float] = {}
    for rollout in result.rollouts:
        value = None if rollout.score.value is None or _spoilt(rollout) else metric.of(rollout.score.details)
        if value is not None:
            values[rollout.question_id, rollout.seed, rollout.sample] = value
    return values


def _spoilt(rollout: Rollout) -> bool:
    return bool(rollout.score.details.get("simulator_fault"))


def _faults(result: SolverRollouts) -> int:
    return sum(map(_spoilt, result.rollouts))


def _shown(metric: Metric, interval: Interval, *, shift: bool) -> Interval:
    low = metric.low if shift else 0.0
    width = metric.high - metric.low
    return Interval(*(low + value * width for value in (interval.estimate, interval.low, interval.high)))


@dataclass(frozen=True, slots=True)
class BreakEven:
    """After how many dialogues the library has paid for itself against serving the teacher.

    Attributes:
        unit: `money`, or `seconds` of model time where prices are unknown or zero.
        learning: what learning took.
        student: what a dialogue of the student with the library takes.
        teacher: what a dialogue of the teacher takes.
        dialogues: how many; None if the student with the library is not cheaper.
    """

    unit: str
    learning: float
    student: float
    teacher: float
    dialogues: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return asdict(self)


def break_even(folder: Path, results: Sequence[SolverRollouts]) -> BreakEven:
    """Return the break-even of a run that was evaluated; a library that people wrote has cost no call to learn.

    Raises:
        RunError: method and teacher were not evaluated.
    """
    learning = learning_cost(folder)
    by_role = {result.role: result for result in results}
    if not {"method", "ceiling"} <= by_role.keys():
        raise RunError(f"{folder}: method and teacher were not evaluated; run `fulcrum evaluate {folder}`")
    student, teacher = by_role["method"], by_role["ceiling"]
    money = [taken.cost for taken in learning.values()]
    costs = [student.total.cost, teacher.total.cost]
    priced = None not in [*money, *costs] and any([*money, *costs])
    if priced:
        paid, own, other = sum(cost or 0.0 for cost in money), costs[0] or 0.0, costs[1] or 0.0
    else:
        paid = sum(taken.seconds for taken in learning.values())
        own, other = student.total.seconds, teacher.total.seconds
    own, other = own / len(student.rollouts), other / len(teacher.rollouts)
    dialogues = paid / (other - own) if other > own else None
    return BreakEven("money" if priced else "seconds", paid, own, other, dialogues)
