"""Accuracy and diversity by iteration, and when to stop."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from fulcrum.atomic import write_json
from fulcrum.chat import Failure
from fulcrum.errors import RunError
from fulcrum.evaluation.pairing import Outcome, mean_of, outcomes, pair
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.society.arms import ARMS, Line
from fulcrum.society.debate import Transcript, rounds_from_json
from fulcrum.society.settings import SocietySettings
from fulcrum.task import Split, Task

POINTS = "iterations.json"
"""All that was measured, in the run folder; `curve.json` in the artifact holds what a report draws of it."""

CURVE = "curve.json"
_DRAWN = (
    ("disagreement", "", "first answers that differ from the vote, %", 100),
    ("answers", "", "distinct first answers, % of the agents", 100),
    ("dissimilarity", "", "distance of two first texts, 1 - cosine", 1),
    ("error_overlap", "", "errors of one of two agents that both make, %", 100),
    ("same_error", "", "errors of both that are the same wrong answer, %", 100),
    ("consensus", "", "last answers that are the vote's, %", 100),
    ("any_right", "", "questions with a right last answer, %", 100),
    ("unused", "", "questions with a right last answer that the vote misses, points", 100),
    ("nll_own", ", own answers", "surprise at answers, nats a token", 1),
    ("nll_others", ", the others'", "surprise at answers, nats a token", 1),
    ("kl", ", difference", "surprise at answers, nats a token", 1),
)
"""Measure of diversity, what its line is called beyond the arm, its chart, its unit."""

DIRECT = "direct"
"""Name of the base's greedy answer among the arms of a curve."""


@dataclass(frozen=True, slots=True)
class Point:
    """One arm after one iteration; 0 is before any training.

    Attributes:
        arm: its name, or `direct`.
        iteration: after which.
        split: on which examples.
        n: examples with a score.
        right: those that are fully right.
        mean: mean score; None if there is no example with a score.
        low: lower end of its 95 % interval, which is from 0 to 1 if there is none.
        high: upper end.
        calls: calls behind one answer.
        tokens: tokens behind one answer.
        diversity: of its participants, if there are several.
        values: score of each example, for paired comparisons.
        failed: what every answer failed of, if there is no example with a score.
    """

    arm: str
    iteration: int
    split: Split
    n: int
    right: int
    mean: float | None
    low: float
    high: float
    calls: float
    tokens: float
    diversity: Mapping[str, float] = field(default_factory=dict[str, float])
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the point as JSON."""
        return {**asdict(self), "diversity": dict(self.diversity), "values": dict(self.values)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**data)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The examples' outcomes, for `pair`."""
        return {question_id: Outcome(value, float(value >= 1)) for question_id, value in self.values.items()}


def point_of(iteration: int, result: SolverRollouts, diversity: Mapping[str, float]) -> Point:
    """Return the point that some rollouts make; after training they may all have failed by the agents' own doing.

    Raises:
        RunError: every answer ended in a failed call, before any training or by no doing of the agents.
    """
    achieved = outcomes(result.rollouts)
    mean = mean_of(achieved)
    kinds = sorted({rollout.score.details["failure"] for rollout in result.rollouts}) if mean is None else []
    failed = ", ".join(kinds)
    if kinds and not (iteration and all(Failure(kind).paid for kind in kinds)):
        raise RunError(
            f"{result.solver}: each of {len(result.rollouts)} answers on the {result.split} split failed ({failed}); "
            "if they were truncated raise settings.debate.max_tokens, else look at `fulcrum calls stats RUN`"
        )
    spend = result.total
    return Point(
        result.solver,
        iteration,
        result.split,
        len(achieved),
        sum(outcome.solved >= 1 for outcome in achieved.values()),
        mean and mean.estimate,
        mean.low if mean else 0.0,
        mean.high if mean else 1.0,
        spend.answers / len(result.rollouts),
        spend.tokens / len(result.rollouts),
        diversity,
        {question_id: outcome.value for question_id, outcome in achieved.items()},
        failed,
    )


def transcripts_of(result: SolverRollouts, task: Task) -> list[Transcript]:
    """Return the debates behind some rollouts, if several participants debated."""
    rounds = {rollout.question_id: rollout.traces[-1].get("debate", []) for rollout in result.rollouts}
    return [
        Transcript(question_id, task.open(question_id).messages, rounds_from_json(said))
        for question_id, said in rounds.items()
        if said and len(said[0]) > 1
    ]


def plateau(points: Sequence[Point], line: Line, iteration: int, settings: SocietySettings) -> str | None:
    """Return why a line should stop after an iteration, in a sentence; None if it should go on.

    It stops when every answer failed, when its agents hardly disagree any more, or when `patience` iterations together
    brought no significant gain: the paired 95 % interval of the difference reaches zero.
    """
    own = _of_line(points, line, settings)
    if iteration not in own:
        return None
    now = own[iteration]
    if now.failed:
        return f"Stopped after iteration {iteration}: every dev answer failed ({now.failed})."
    disagreement = now.diversity.get("disagreement")
    if disagreement is not None and disagreement < settings.min_disagreement:
        return (
            f"Stopped after iteration {iteration}: {disagreement:.1%} of the first answers differ from the vote, below "
            f"min_disagreement {settings.min_disagreement:.1%}; there is hardly anything left to learn from each other."
        )
    before = own.get(iteration - settings.patience) if settings.patience else None
    pairing = pair(before.outcomes, now.outcomes) if before else None
    if pairing is not None and pairing.difference.low <= 0:
        gain = pairing.difference
        return (
            f"Stopped after iteration {iteration}: the last {settings.patience} iterations brought "
            f"{gain.estimate * 100:+.1f} points [{gain.low * 100:.1f}, {gain.high * 100:.1f}] on {pairing.n} dev "
            "questions, which is no significant gain. Set patience to 0 to go on regardless."
        )
    return None


def best_iteration(points: Sequence[Point], line: Line, settings: SocietySettings, last: int) -> int | None:
    """Return the iteration that is best on dev, the earliest of equal ones; without dev questions, the last.

    All iterations were asked the same questions, and an answer that failed is worth nothing here. None if each was
    measured and every answer failed.
    """
    trained = [point for number, point in _of_line(points, line, settings).items() if number]
    if not trained:
        return last
    best = max(trained, key=lambda one: (sum(one.values.values()), -one.iteration))
    return best.iteration if best.n else None


def _of_line(points: Sequence[Point], line: Line, settings: SocietySettings) -> dict[int, Point]:
    """Return the points of a line by iteration, those of the first arm that it has."""
    arm = next((name for name, arm in ARMS.items() if arm.line == line.name and name in settings.arms), None)
    return {point.iteration: point for point in points if point.arm == arm}


def write_points(path: Path, points: Sequence[Point]) -> None:
    """Write all points with their gain over the base's greedy answer; scores of single examples are left out.

    A point of the society has in `ahead_of` by how much it is ahead of each other arm on the same examples.
    """
    rows: list[dict[str, Any]] = []
    start = next((point for point in points if point.arm == DIRECT), None)
    for point in points:
        row = point.to_json()
        del row["values"]
        pairing = pair(start.outcomes, point.outcomes) if start and point is not start else None
        if pairing:
            gain = pairing.difference
            row |= {"gain": gain.estimate, "gain_low": gain.low, "gain_high": gain.high}
        if point.arm == "society":
            row["ahead_of"] = ahead_of(point, points)
        rows.append(row)
    write_json(path, rows)


def ahead_of(society: Point, points: Sequence[Point]) -> dict[str, list[float]]:
    """Return by how much a point of the society is ahead of each other arm, as estimate and paired 95 % interval.

    An arm with a line of its own is taken after the same iteration, and left out if its line had ended before that; an
    arm of the base is always the same.
    """
    measured = {(point.arm, point.iteration): point for point in points}
    found: dict[str, list[float]] = {}
    for arm in ARMS.values():
        other = measured.get((arm.name, society.iteration if arm.line else 0))
        if other and arm.name != "society" and (pairing := pair(other.outcomes, society.outcomes)):
            gain = pairing.difference
            found[arm.name] = [gain.estimate, gain.low, gain.high]
    return found


def write_curve(folder: Path, points: Sequence[Point], iterations: int) -> None:
    """Write `curve.json` for reports: accuracy by iteration, and every measure of diversity beside it.

    Arms without training are drawn as level lines over all iterations.
    """
    drawn: list[dict[str, Any]] = []
    measured = {point.arm for point in points if point.iteration > 0}
    for point in points:
        for x in [point.iteration] if point.arm in measured else sorted({0, iterations}):
            place = {"series": point.arm, "x": x, "x_label": "iteration"}
            if point.mean is not None:
                interval = {"low": point.low * 100, "high": point.high * 100}
                drawn.append({**place, "y": point.mean * 100, **interval, "y_label": f"{point.split} score, points"})
            drawn += [
                {**place, "series": point.arm + line, "y": point.diversity[measure] * unit, "y_label": chart}
                for measure, line, chart, unit in _DRAWN
                if measure in point.diversity and point.arm in measured
            ]
    write_json(folder / CURVE, drawn)
