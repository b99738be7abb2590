"""What a run achieved, in one row: the figures that a person compares methods by."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from fulcrum.evaluation.render import interval_text, percent_text
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.table import EvaluationRow, strongest
from fulcrum.evaluation.verdict import Verdict, judge_run


@dataclass(frozen=True, slots=True)
class Summary:
    """A method on a task, against the same model without it.

    Attributes:
        method: name of the method.
        before: row of the baseline.
        after: row of the method; None if it learned nothing that could be measured.
        strongest: row of the control with the highest difference; None if none was evaluated.
        calls: calls that training and evaluation made.
        minutes: wall time of both.
        verdict: what these figures show.
    """

    method: str
    before: EvaluationRow
    after: EvaluationRow | None
    strongest: EvaluationRow | None
    calls: int
    minutes: float
    verdict: Verdict


def summarize(
    method: str, rows: Sequence[EvaluationRow], results: Sequence[SolverRollouts], calls: int, minutes: float
) -> Summary:
    """Return the summary of a run's rows: its first method row against its baseline."""
    before = next(row for row in rows if row.role_of_solver == "baseline")
    after = next((row for row in rows if row.role_of_solver == "method"), None)
    rival = strongest(row for row in rows if row.role_of_solver == "control")
    return Summary(method, before, after, rival, calls, minutes, judge_run(rows, results))


def examples_of(summaries: Sequence[Summary]) -> str:
    """Return what was answered, in words: held-out is only what no method has seen, not even to choose by."""
    splits = sorted({summary.before.split for summary in summaries})
    return "held-out examples" if splits == ["test"] else f"examples of {' and '.join(splits)}"


def summary_table(summaries: Sequence[Summary]) -> Table:
    """Return one row a method; scores and differences are in points of 100."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("method", overflow="fold")
    for heading in ("before", "after", "difference", "control", "harm", "calls"):
        table.add_column(heading, justify="right", no_wrap=True)
    told = "points of 100, 95 % intervals; control: the strongest one's difference"
    table.caption = f"{examples_of(summaries)}, {told}"
    for summary in summaries:
        before, after, rival = summary.before, summary.after, summary.strongest
        gain = (after.difference, after.difference_low, after.difference_high) if after else (None, None, None)
        table.add_row(
            f"{summary.method}\n{before.task}",
            percent_text(before.mean),
            percent_text(after.mean if after else None),
            f"{interval_text(*gain, sign='+')}\n{summary.verdict.kind}",
            "-" if rival is None or rival.difference is None else f"{100 * rival.difference:+.1f}",
            percent_text(after.harm if after else None),
            f"{summary.calls:,}\n{summary.minutes:.1f} min",
        )
    return table
