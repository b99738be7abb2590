"""The page of one run."""

import json
import shlex
from pathlib import Path
from typing import Any

from fulcrum.atomic import write_text
from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.render import conclusions
from fulcrum.evaluation.results import pool_seeds
from fulcrum.evaluation.table import baseline_of, strongest
from fulcrum.evaluation.verdict import judge_run, unevaluated
from fulcrum.report import tables
from fulcrum.report.card import render_card
from fulcrum.report.curves import read_charts
from fulcrum.report.items import BeforeAfter, before_after
from fulcrum.report.page import render
from fulcrum.report.plots import forest_of_rows, line_chart
from fulcrum.report.source import Evaluated, RunSource, read_run
from fulcrum.report.text import cut
from fulcrum.runs.learn import learning_cost, price_of_gain

_FILE = 10_000
"""Characters of a recipe or of settings."""

_CHARTS = 12


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder, the whole file or nothing, and return its path.

    Raises:
        RunError: see `render_run`.
    """
    path = folder / "report.html"
    write_text(path, render_run(folder))
    return path


def render_run(folder: Path) -> str:
    """Return the page of a run: what it gained, what stands against that, what it took, how to repeat it.

    The same folder always gives the same bytes. A run that was not evaluated says so, with the command to run.

    Raises:
        RunError: the folder is not a run, or a file in it is damaged; the text says which.
    """
    run, charts = read_run(folder), read_charts(folder)
    return render(
        "run.html",
        run=run,
        **_measured(run),
        charts=[(line_chart(chart), tables.curve(chart)) for chart in charts[:_CHARTS]],
        more_charts=[chart.source for chart in charts[_CHARTS:]],
        card=render_card(run.card) if run.card is not None else None,
        transferred=tables.transferred(run.transferred),
        run_took=tables.run_took(run.spend),
        stages=tables.stages(run.stages),
        recipe=cut(run.recipe, _FILE),
        settings=cut(_as_text(run.resolved["settings"]), _FILE),
        environment=cut(_as_text(run.environment), _FILE),
    )


def _measured(run: RunSource) -> dict[str, Any]:
    evaluated = run.evaluated
    if evaluated is None:
        verdict = unevaluated(shlex.quote(str(run.folder)), run.learned, run.commands[0])
        return {"verdict": verdict, "evaluated": False}
    rows, results = evaluated.rows, evaluated.results
    return {
        "verdict": judge_run(rows, results),
        "evaluated": True,
        "achieved": tables.achieved(rows),
        "forest": forest_of_rows(sorted(rows, key=lambda row: tables.ORDER.index(row.role_of_solver))),
        "sentences": [*conclusions(rows), *diagnose(results, rows)],
        "items": _items(run, evaluated),
        "answers_took": tables.answers_took(results),
        "price": price_of_gain(learning_cost(run.folder), rows),
        "split": rows[0].split,
        "task_fingerprint": results[0].task_fingerprint,
    }


def _items(run: RunSource, evaluated: Evaluated) -> BeforeAfter | None:
    """Show the baseline beside the method; in a run that trains none, beside the strongest control."""
    by_solver = pool_seeds(evaluated.results)
    baseline = baseline_of(evaluated.rows)
    method = next((row for row in evaluated.rows if row.role_of_solver == "method"), None)
    contender = method or strongest(row for row in evaluated.rows if row.role_of_solver == "control")
    if baseline is None or contender is None:
        return None
    before, after = by_solver[baseline.solver], by_solver[contender.solver]
    return before_after(before, after, run.questions, run.resolved["seed"])


def _as_text(data: Any) -> str:
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
