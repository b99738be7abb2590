"""The evaluation on a terminal: a table, and one sentence for each thing it shows."""

from collections.abc import Sequence

from rich.table import Table

from fulcrum.evaluation.compare import RunDifference
from fulcrum.evaluation.table import EvaluationRow

_ORDER = ("baseline", "method", "control", "ceiling")
_STYLES = {"baseline": "", "method": "bold", "control": "dim", "ceiling": "italic"}


def evaluation_table(rows: Sequence[EvaluationRow]) -> Table:
    """Return rows as a table: baseline, methods, controls, ceilings; scores and differences in points of 100."""
    task, split = (rows[0].task, rows[0].split) if rows else ("", "")
    table = Table(
        title=f"{task} · {split}", caption="95 % intervals over examples; difference paired with the baseline"
    )
    table.add_column("solver")
    table.add_column("role")
    for heading in ("n", "mean", "difference", "harm", "rescue", "failures", "calls", "tokens", "seconds", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: _ORDER.index(row.role_of_solver)):
        table.add_row(
            row.solver,
            row.role_of_solver,
            f"{row.n:,}",
            _interval(row.mean, row.low, row.high, sign=""),
            _interval(row.difference, row.difference_low, row.difference_high, sign="+"),
            _percent(row.harm),
            _percent(row.rescue),
            f"{row.failures:,}",
            f"{row.calls:,}",
            f"{row.tokens:,}",
            f"{row.seconds:,.1f}",
            "unknown" if row.cost is None else f"{row.cost:,.4f}",
            style=_STYLES[row.role_of_solver],
        )
    return table


def difference_table(differences: Sequence[RunDifference]) -> Table:
    """Return the differences between runs as a table, second minus first, in points of 100."""
    table = Table(title="methods against each other")
    for heading in ("first", "second"):
        table.add_column(heading)
    for heading in ("n", "second - first", "lost", "won", "p (McNemar)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for difference in differences:
        pairing = difference.pairing
        gap = pairing.difference
        table.add_row(
            difference.first,
            difference.second,
            f"{pairing.n:,}",
            _interval(gap.estimate, gap.low, gap.high, sign="+"),
            f"{pairing.broken:,}",
            f"{pairing.rescued:,}",
            f"{pairing.p_value:.3g}",
        )
    return table


def conclusions(rows: Sequence[EvaluationRow]) -> list[str]:
    """Say which method is better than the baseline, with what harm, and what the strongest control reaches."""
    baseline = next((row for row in rows if row.role_of_solver == "baseline" and row.difference is None), None)
    if baseline is None:
        return ["There is no baseline, so nothing can be said about a gain."]
    said = [_conclusion(row, baseline) for row in rows if row.role_of_solver == "method"]
    controls = [row for row in rows if row.role_of_solver == "control" and row.difference is not None]
    if controls:
        strongest = max(controls, key=lambda row: row.difference or 0.0)
        said.append(f"Strongest control: {strongest.solver}, {_difference(strongest)}.")
    elif said:
        said.append("No control was evaluated: a gain may have another cause than the method.")
    return said


def _conclusion(row: EvaluationRow, baseline: EvaluationRow) -> str:
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return f"{row.solver} shares no scored example with {baseline.solver}: nothing can be said."
    if row.difference_low > 0:
        text = f"{row.solver} is better than {baseline.solver}: {_difference(row)}, the interval is clear of zero"
    elif row.difference_high < 0:
        text = f"{row.solver} is worse than {baseline.solver}: {_difference(row)}, the interval is clear of zero"
    else:
        text = (
            f"{row.solver} is not shown to differ from {baseline.solver}: {_difference(row)}, zero is in the interval"
        )
    harm = "" if row.harm is None else f" It breaks {_percent(row.harm)} of what {baseline.solver} solved."
    rescue = "" if row.rescue is None else f" It solves {_percent(row.rescue)} of the rest."
    return f"{text}.{harm}{rescue}"


def _difference(row: EvaluationRow) -> str:
    return f"{_interval(row.difference, row.difference_low, row.difference_high, sign='+')} points"


def _interval(estimate: float | None, low: float | None, high: float | None, sign: str) -> str:
    if estimate is None or low is None or high is None:
        return "-"
    # Adding zero turns a rounded -0.0 into 0.0.
    shown = [f"{round(100 * number, 1) + 0.0:{sign}.1f}" for number in (estimate, low, high)]
    return f"{shown[0]} [{shown[1].removeprefix('+')}, {shown[2].removeprefix('+')}]"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
