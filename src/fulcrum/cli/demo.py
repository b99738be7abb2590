"""`fulcrum demo`."""

from pathlib import Path

from fulcrum.cli.common import console, log
from fulcrum.cli.progress import show_calls
from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.render import conclusions, evaluation_table
from fulcrum.recipe import read_recipe
from fulcrum.runs import default_folder, open_run
from fulcrum.runs.evaluate import evaluate_run

_TASKS = ("lab:arithmetic", "lab:sql")
_QUESTIONS = 100


def demo(*, output: Path = Path("runs/demo")) -> None:
    """Measure what lab:large does alone, with examples and with votes. No key, no GPU, no download.

    Args:
        output: Where the run folders go.
    """
    for task in _TASKS:
        recipe = read_recipe(None, {"method": "baseline", "task": task})
        # The hash of the settings, so that a demo of another version does not stand in the way.
        folder = output / f"{task.partition(':')[2]}-{default_folder(recipe).name.rpartition('-')[2]}"
        log.print(f"{recipe.models['actor']} on {task}, {_QUESTIONS} test questions, in {folder}", highlight=False)
        with open_run(recipe, folder) as run, show_calls(run):
            recipe.method.learn(run)
            rows, results = evaluate_run(run, limit=_QUESTIONS)
        console.print(evaluation_table(rows))
        for sentence in [*conclusions(rows), *diagnose(results, rows)]:
            console.print(sentence, markup=False, highlight=False)
    console.print(
        "These are the baselines that every method must beat; `fulcrum runs list "
        f"{output}` lists the runs, `fulcrum calls export RUN --keys` every call.",
        markup=False,
        highlight=False,
    )
