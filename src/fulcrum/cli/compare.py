"""`fulcrum compare`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fulcrum.cli.common import console, print_json
from fulcrum.cli.progress import show_calls
from fulcrum.evaluation.compare import compare as compare_results
from fulcrum.evaluation.render import conclusions, difference_table, evaluation_table
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.table import to_json
from fulcrum.runs import Run
from fulcrum.runs.catalog import group_by_recipe, reopen
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.task import Split
from fulcrum.task.load import load_task


def compare(
    *runs: Path,
    task: str | None = None,
    split: Split = "test",
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Put evaluated runs side by side, paired on the same examples; runs that differ only in seed are pooled.

    Args:
        runs: Run folders.
        task: Evaluate every run on this task first, whatever it was trained on.
        split: Which examples, with --task.
        json: Print for machines.
    """
    groups = group_by_recipe(runs)
    comparison = compare_results(
        {name: [result for run in group for result in _results(run, task, split)] for name, group in groups.items()}
    )
    if json:
        differences = [asdict(difference) for difference in comparison.differences]
        print_json({"rows": to_json(comparison.rows), "differences": differences, "notes": comparison.notes})
        return
    console.print(evaluation_table(comparison.rows))
    if comparison.differences:
        console.print(difference_table(comparison.differences))
    for sentence in [*conclusions(comparison.rows), *comparison.notes]:
        console.print(sentence, highlight=False)


def _results(run: Path, task: str | None, split: Split) -> Sequence[SolverRollouts]:
    if task is None:
        return read_results(run)
    with Run(run, reopen(run)) as opened, show_calls(opened):
        return evaluate_run(opened, split, task=load_task(task))[1]
