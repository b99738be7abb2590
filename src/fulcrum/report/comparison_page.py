"""The page of several runs side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fulcrum.errors import RunError
from fulcrum.evaluation.compare import Comparison, compare
from fulcrum.evaluation.render import conclusions
from fulcrum.evaluation.results import pool_seeds
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.verdict import judge_comparison
from fulcrum.report import tables
from fulcrum.report.items import BeforeAfter, before_after
from fulcrum.report.page import render
from fulcrum.report.plots import forest_of_differences, forest_of_rows
from fulcrum.report.source import RunSource, read_run
from fulcrum.runs.catalog import compare_settings, group_by_recipe

_NAMES = ("won", "lost", "level")


def render_comparison(folders: Sequence[Path]) -> str:
    """Return the page of several evaluated runs, computed as `fulcrum compare` does; seeds of one recipe are pooled.

    Raises:
        RunError: fewer than two recipes, a run that was not evaluated, or runs of different tasks or splits.
    """
    groups = group_by_recipe(folders)
    runs = {name: [read_run(folder) for folder in group] for name, group in groups.items()}
    results = {name: [result for run in group for result in _results(run)] for name, group in runs.items()}
    comparison = compare(results)
    (_, first), *others = groups.items()
    return render(
        "comparison.html",
        runs=runs,
        task=comparison.rows[0].task,
        split=comparison.rows[0].split,
        verdict=judge_comparison(comparison),
        achieved=tables.achieved(comparison.rows),
        forest=forest_of_rows(comparison.rows),
        differences=tables.differences(comparison.differences),
        difference_forest=forest_of_differences(comparison.differences),
        sentences=[*conclusions(comparison.rows), *comparison.notes],
        items=_items(comparison, runs, results),
        settings=[(name, compare_settings(first[0], group[0])) for name, group in others],
    )


def _results(run: RunSource) -> list[SolverRollouts]:
    if run.evaluated is None:
        raise RunError(f"{run.folder}: was not evaluated yet; run `fulcrum evaluate {run.folder}` first")
    return run.evaluated.results


def _items(
    comparison: Comparison, runs: Mapping[str, list[RunSource]], results: Mapping[str, Sequence[SolverRollouts]]
) -> BeforeAfter | None:
    """Show two methods beside each other; of more than two, no pair is worthier than another, so none is shown."""
    if len(comparison.differences) != 1:
        return None
    named = {
        f"{name}: {result.solver}": replace(result, solver=f"{name}: {result.solver}")
        for name, found in results.items()
        for result in pool_seeds(found).values()
    }
    first = next(iter(runs.values()))[0]
    (pair,) = comparison.differences
    return before_after(named[pair.first], named[pair.second], first.questions, first.resolved["seed"], _NAMES)
