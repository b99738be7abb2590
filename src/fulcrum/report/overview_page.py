"""The page of several runs on tasks of their own: what each was worth, and where to read on."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fulcrum.errors import RunError
from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.render import conclusions
from fulcrum.evaluation.summary import Summary, examples_of, summarize
from fulcrum.evaluation.verdict import Verdict
from fulcrum.report import tables
from fulcrum.report.page import render
from fulcrum.report.plots import forest_of_rows
from fulcrum.report.source import RunSource, read_run


@dataclass(frozen=True, slots=True)
class Judged:
    """A run in one row, what else is to be said, and its own page, if it has one."""

    summary: Summary
    sentences: list[str]
    link: str


def render_overview(folders: Sequence[Path], home: Path) -> str:
    """Return the page of several evaluated runs, each judged on its own task against its own baseline.

    Args:
        folders: the runs.
        home: folder that the page will stand in; runs that have a `report.html` are linked from there.

    Raises:
        RunError: a folder is not a run, or was not evaluated.
    """
    judged = [_judge(read_run(folder), home) for folder in folders]
    return render(
        "overview.html",
        judged=judged,
        verdict=_of_all([one.summary for one in judged]),
        achieved=tables.overview([one.summary for one in judged]),
        forest=forest_of_rows(
            [row.model_copy(update={"solver": one.summary.method}) for one in judged if (row := one.summary.after)]
        ),
    )


def _judge(run: RunSource, home: Path) -> Judged:
    if run.evaluated is None:
        raise RunError(f"{run.folder}: was not evaluated yet; run `fulcrum evaluate {run.folder}` first")
    rows, results = run.evaluated.rows, run.evaluated.results
    page = run.folder / "report.html"
    link = quote(os.path.relpath(page, home)) if page.is_file() else ""
    calls, seconds = sum(paid.calls for paid in run.spend), sum(seconds for _, seconds in run.stages)
    summary = summarize(run.resolved["method"], rows, results, calls, seconds / 60)
    return Judged(summary, [*conclusions(rows), *diagnose(results, rows)], link)


def _of_all(summaries: Sequence[Summary]) -> Verdict:
    kinds = Counter(summary.verdict.kind for summary in summaries)
    said = f"{kinds['helped']} of {len(summaries)} are shown to help."
    because = [f"Each is measured on its own task, on {examples_of(summaries)}, against its own baseline."]
    if kinds["unclear cause"]:
        because.append(f"{kinds['unclear cause']} gained, but a control may explain it.")
    if kinds["did not help"]:
        because.append(f"{kinds['did not help']} did not help.")
    return Verdict("helped" if kinds["helped"] else "cannot be told", said, because)
