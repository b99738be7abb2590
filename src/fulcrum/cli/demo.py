"""`fulcrum demo`."""

import time
from pathlib import Path
from typing import Literal

import fulcrum
from fulcrum.atomic import write_text
from fulcrum.cli.common import console, log
from fulcrum.cli.progress import show_calls
from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.render import conclusions, evaluation_table
from fulcrum.evaluation.summary import Summary, summarize, summary_table
from fulcrum.lazy import load
from fulcrum.recipe import read_recipe
from fulcrum.runs import default_folder, open_run
from fulcrum.runs.evaluate import evaluate_run

MethodName = Literal["supplement", "strategies", "leverage", "society"]

_RECIPES: dict[MethodName, tuple[str, int]] = {
    "supplement": ("supplement-lab-sql", 100),
    "strategies": ("strategies-lab-desk", 60),
    "leverage": ("leverage-lab-triage", 100),
    "society": ("society-lab-arithmetic", 80),
}
"""Recipe of each method's demo, and how many test examples it is measured on."""


def demo(*methods: MethodName, output: Path = Path("runs/demo")) -> None:
    """Train and measure all four methods on the lab. No key, no GPU, no download.

    Args:
        methods: Only these.
        output: Where the run folders go.
    """
    done = {folder: summary for name in dict.fromkeys(methods or _RECIPES) for folder, summary in [_run(name, output)]}
    console.print(summary_table(list(done.values())))
    page = output / "report.html"
    write_text(page, load("fulcrum.report:render_overview")(list(done), output))
    console.print(f"All of it in one page: {page}", markup=False, highlight=False, soft_wrap=True)


def _run(name: MethodName, output: Path) -> tuple[Path, Summary]:
    file, questions = _RECIPES[name]
    recipe = read_recipe(_shipped(file), quick=True)
    # The hash of the settings, so that a demo of another version does not stand in the way.
    folder = output / f"{name}-{default_folder(recipe).name.rpartition('-')[2]}"
    log.print(f"{name} on {recipe.keys.task}, {questions} test examples, in {folder}", highlight=False)
    started = time.monotonic()
    with open_run(recipe, folder) as run, show_calls(run):
        recipe.method.learn(run)
        rows, results = evaluate_run(run, limit=questions)
        calls = run.ledger.total().calls
    page = load("fulcrum.report:write_report")(folder)
    console.print(evaluation_table(rows))
    for sentence in [*conclusions(rows), *diagnose(results, rows)]:
        console.print(sentence, markup=False, highlight=False)
    console.print(f"Examples, controls and what was learned: {page}", markup=False, highlight=False, soft_wrap=True)
    return folder, summarize(name, rows, results, calls, (time.monotonic() - started) / 60)


def _shipped(recipe: str) -> Path:
    """Return a recipe of the package, or of the checkout that it was installed from."""
    package = Path(fulcrum.__file__).parent
    inside = package / "recipes" / f"{recipe}.toml"
    return inside if inside.exists() else package.parents[1] / "recipes" / inside.name
