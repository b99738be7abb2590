"""Every table of the pages, as columns and cells; one template draws them all."""

from collections.abc import Sequence
from dataclasses import dataclass

from fulcrum.evaluation.compare import RunDifference
from fulcrum.evaluation.figures import count, duration, money, number, percent, points, signed, spread
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.summary import Summary
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.report.curves import Chart, Point
from fulcrum.report.source import RoleSpend
from fulcrum.runs.transfer import TransferCell

ORDER = ("baseline", "method", "control", "ceiling")


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell.

    Attributes:
        text: the figure as shown.
        value: the figure itself, which the page carries unrounded.
        beside: what belongs to it, such as its interval.
    """

    text: str
    value: float | None = None
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its heading, what that is, and the cells."""

    heading: str
    cells: list[Cell]
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what it shows, its columns with the headings' own first, its rows."""

    caption: str
    columns: list[str]
    rows: list[Row]

    @property
    def numeric(self) -> set[int]:
        """Places of the columns that hold figures, counted from the heading's 0."""
        return {place for row in self.rows for place, cell in enumerate(row.cells, 1) if cell.value is not None}


_NONE = Cell("\N{EN DASH}")


def achieved(rows: Sequence[EvaluationRow]) -> Table:
    """Return what every solver achieves, in the order baseline, method, control, ceiling."""
    ordered = sorted(rows, key=lambda row: ORDER.index(row.role_of_solver))
    first = ordered[0]
    baseline = next((row.solver for row in ordered if row.difference is None), first.solver)
    return Table(
        f"Scores in points of 100 with 95 % intervals; differences paired with {baseline} on the same examples.",
        ["Solver", "Score", "Difference", "Harm", "Rescue", "Examples", "Failures", "Calls"],
        [
            Row(
                row.solver,
                [
                    _mean(row),
                    _difference(row),
                    _harm(row),
                    _NONE if row.rescue is None else Cell(percent(row.rescue), row.rescue),
                    _examples(row),
                    Cell(count(row.failures), row.failures),
                    Cell(count(row.calls), row.calls),
                ],
                row.role_of_solver,
            )
            for row in ordered
        ],
    )


def _examples(row: EvaluationRow) -> Cell:
    beside = "" if row.paired in (None, row.n) else f"{count(row.paired)} paired"
    return Cell(count(row.n), row.n, beside)


def _with_interval(estimate: float | None, low: float | None, high: float | None, *, sign: bool) -> Cell:
    if estimate is None or low is None or high is None:
        return _NONE
    return Cell(signed(estimate) if sign else points(estimate), estimate, spread(low, high, sign=sign))


def overview(summaries: Sequence[Summary]) -> Table:
    """Return one row a run: its method against its own baseline, what that took, and the verdict on it."""
    return Table(
        "Scores in points of 100 with 95 % intervals; differences paired with the baseline on the same examples.",
        ["Method", "Task", "Before", "After", "Difference", "Control", "Harm", "Calls", "Training"],
        [
            Row(
                summary.method,
                [
                    Cell(summary.before.task, beside=summary.before.split),
                    _mean(summary.before),
                    _mean(summary.after),
                    _difference(summary.after),
                    _difference(summary.strongest),
                    _harm(summary.after),
                    Cell(count(summary.calls), summary.calls),
                    Cell(duration(60 * summary.minutes), summary.minutes),
                ],
                summary.verdict.kind,
            )
            for summary in summaries
        ],
    )


def _mean(row: EvaluationRow | None) -> Cell:
    return _NONE if row is None else _with_interval(row.mean, row.low, row.high, sign=False)


def _difference(row: EvaluationRow | None) -> Cell:
    if row is None:
        return _NONE
    return _with_interval(row.difference, row.difference_low, row.difference_high, sign=True)


def _harm(row: EvaluationRow | None) -> Cell:
    return _NONE if row is None or row.harm is None else Cell(percent(row.harm), row.harm)


def differences(found: Sequence[RunDifference]) -> Table:
    """Return methods against each other, second minus first."""
    return Table(
        "Second minus first, in points of 100, on the examples that both answered. p: McNemar's exact test.",
        ["Second", "First", "Difference", "Won", "Lost", "Examples", "p"],
        [
            Row(
                pair.second,
                [
                    Cell(pair.first),
                    _with_interval(gap.estimate, gap.low, gap.high, sign=True),
                    Cell(count(pair.pairing.rescued), pair.pairing.rescued),
                    Cell(count(pair.pairing.broken), pair.pairing.broken),
                    Cell(count(pair.pairing.n), pair.pairing.n),
                    Cell(f"{pair.pairing.p_value:.3g}", pair.pairing.p_value),
                ],
            )
            for pair in found
            for gap in [pair.pairing.difference]
        ],
    )


def transferred(cells: Sequence[TransferCell]) -> Table:
    """Return what was learned, for other models and on other tasks."""
    return Table(
        "What was learned, elsewhere: points of 100; control: gain of the strongest control measured beside.",
        ["Task", "Model", "Alone", "Helped", "Difference", "Control", "Examples"],
        [
            Row(
                cell.task,
                [
                    Cell(cell.model),
                    _NONE if cell.alone is None else Cell(points(cell.alone), cell.alone),
                    _NONE if cell.helped is None else Cell(points(cell.helped), cell.helped),
                    _with_interval(cell.difference, cell.low, cell.high, sign=True),
                    _NONE if cell.control is None else Cell(signed(cell.control), cell.control),
                    Cell(count(cell.n), cell.n),
                ],
                "trained for" if cell.trained_for else "",
            )
            for cell in cells
        ],
    )


def answers_took(results: Sequence[SolverRollouts]) -> Table:
    """Return what the answers of each solver took, by role of model, stored answers counted like new ones."""
    ordered = sorted(results, key=lambda result: ORDER.index(result.role))
    return Table(
        "What the answers took. Judges that only score and simulated customers are not in it.",
        ["Solver", "Role of model", "Calls", "Tokens in", "Tokens out", "Model time", "Cost"],
        [
            Row(
                result.solver,
                [
                    Cell(role),
                    *_took(spend.answers, spend.prompt_tokens, spend.completion_tokens, spend.seconds, spend.cost),
                ],
            )
            for result in ordered
            for role, spend in result.spend.items()
        ],
    )


def run_took(spend: Sequence[RoleSpend]) -> Table:
    """Return what the whole run took, by role: every call that was really made, training and evaluation."""
    return Table(
        "Every call that the run made, training and evaluation together. Model time is summed over parallel calls.",
        ["Role of model", "Model", "Calls", "Tokens in", "Tokens out", "Model time", "Cost"],
        [
            Row(
                paid.role,
                [
                    Cell(paid.model),
                    *_took(paid.calls, paid.prompt_tokens, paid.completion_tokens, paid.seconds, paid.cost),
                ],
            )
            for paid in spend
        ],
    )


def _took(calls: int, tokens_in: int, tokens_out: int, seconds: float, cost: float | None) -> list[Cell]:
    return [
        Cell(count(calls), calls),
        Cell(count(tokens_in), tokens_in),
        Cell(count(tokens_out), tokens_out),
        Cell(duration(seconds), round(seconds, 3)),
        Cell(money(cost), cost),
    ]


def stages(found: Sequence[tuple[str, float]]) -> Table:
    """Return how long each stage of the training took, by the clock."""
    return Table(
        "Stages of the training, by the clock.",
        ["Stage", "Time"],
        [Row(name, [Cell(duration(seconds), seconds)]) for name, seconds in found],
    )


def curve(chart: Chart) -> Table:
    """Return the points of a chart."""
    return Table(
        f"{chart.y_label} by {chart.x_label}",
        ["Series", chart.x_label, chart.y_label],
        [
            Row(
                series.name,
                [
                    Cell(number(point.x), point.x),
                    Cell(number(point.y), point.y, _ends(point)),
                ],
            )
            for series in chart.series
            for point in series.points
        ],
    )


def _ends(point: Point) -> str:
    if point.low is None or point.high is None:
        return ""
    return f"{number(point.low)} to {number(point.high)}"
