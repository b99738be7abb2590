"""The evaluation on a terminal: a table, and one sentence for each thing it shows."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table

from fulcrum.evaluation.compare import RunDifference
from fulcrum.evaluation.diagnosis import no_control
from fulcrum.evaluation.figures import table_of
from fulcrum.evaluation.table import EvaluationRow, baseline_of, rivals_of, strongest

_ORDER = ("baseline", "method", "control", "ceiling")
_STYLES = {"baseline": "", "method": "bold", "control": "dim", "ceiling": "italic"}


def evaluation_table(rows: Sequence[EvaluationRow]) -> Group:
    """Return two tables that fit 80 columns: what each solver achieves, and what that took.

    Baselines come first, then methods, controls and ceilings; scores and differences are in points of 100.
    """
    ordered = sorted(rows, key=lambda row: _ORDER.index(row.role_of_solver))
    title = f"{ordered[0].task} · {ordered[0].split}" if ordered else None
    achieved = table_of(("solver", "role"), ("mean", "difference", "harm", "rescue"), title)
    achieved.caption = "95 % intervals over examples; difference paired with the baseline"
    took = table_of(("solver",), ("n", "paired", "failures", "calls", "tokens", "seconds", "cost"), "what it took")
    for row in ordered:
        style = _STYLES[row.role_of_solver]
        achieved.add_row(
            row.solver,
            row.role_of_solver,
            interval_text(row.mean, row.low, row.high, sign=""),
            interval_text(row.difference, row.difference_low, row.difference_high, sign="+"),
            percent_text(row.harm),
            percent_text(row.rescue),
            style=style,
        )
        took.add_row(
            row.solver,
            f"{row.n:,}",
            "-" if row.paired is None else f"{row.paired:,}",
            f"{row.failures:,}",
            f"{row.calls:,}",
            f"{row.tokens:,}",
            f"{row.seconds:,.1f}",
            "unknown" if row.cost is None else f"{row.cost:,.4f}",
            style=style,
        )
    return Group(achieved, took)


def difference_table(differences: Sequence[RunDifference]) -> Table:
    """Return the differences between runs as a table, second minus first, in points of 100."""
    table = table_of(("first", "second"), ("n", "second - first", "lost", "won", "p"), "methods against each other")
    table.caption = "lost and won: examples; p: McNemar's exact test"
    for difference in differences:
        pairing = difference.pairing
        gap = pairing.difference
        table.add_row(
            difference.first,
            difference.second,
            f"{pairing.n:,}",
            interval_text(gap.estimate, gap.low, gap.high, sign="+"),
            f"{pairing.broken:,}",
            f"{pairing.rescued:,}",
            f"{pairing.p_value:.3g}",
        )
    return table


def conclusions(rows: Sequence[EvaluationRow]) -> list[str]:
    """Say which method is better than the baseline, with what harm, and what the strongest control reaches."""
    baseline = baseline_of(rows)
    if baseline is None:
        return ["There is no baseline, so nothing can be said about a gain."]
    said = [_conclusion(row, baseline) for row in rows if row.role_of_solver == "method"]
    if (rival := strongest(rivals_of(rows))) is not None:
        said.append(f"Strongest control: {rival.solver}, {_difference(rival)}.")
    elif said and (missing := no_control(rows)):
        said.append(missing)
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
    harm = "" if row.harm is None else f" It breaks {percent_text(row.harm)} of what {baseline.solver} solved."
    rescue = "" if row.rescue is None else f" It solves {percent_text(row.rescue)} of the rest."
    return f"{text}.{harm}{rescue}"


def _difference(row: EvaluationRow) -> str:
    return f"{interval_text(row.difference, row.difference_low, row.difference_high, sign='+')} points"


def interval_text(estimate: float | None, low: float | None, high: float | None, sign: str) -> str:
    """Return an estimate with its interval in points of 100, or a dash; `sign` as in format specifications."""
    if estimate is None or low is None or high is None:
        return "-"
    # Adding zero turns a rounded -0.0 into 0.0.
    shown = [f"{round(100 * number, 1) + 0.0:{sign}.1f}" for number in (estimate, low, high)]
    return f"{shown[0]} [{shown[1].removeprefix('+')}, {shown[2].removeprefix('+')}]"


def percent_text(share: float | None) -> str:
    """Return a share in percent, or a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def points_text(change: float | None) -> str:
    """Return a change in points of 100 with its sign, or a dash."""
    return "-" if change is None else f"{round(100 * change, 1) + 0.0:+.1f}"
