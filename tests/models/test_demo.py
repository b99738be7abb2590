"""Every lab recipe goes the whole way on the shipped models: learn, evaluate, report. Sized down to seconds."""

from pathlib import Path

import pytest

from fulcrum.evaluation.summary import summarize
from fulcrum.recipe import read_recipe
from fulcrum.report import write_report
from fulcrum.runs import open_run
from fulcrum.runs.evaluate import evaluate_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECIPES = Path(__file__).parents[2] / "recipes"
SMALLER = {
    "supplement-lab-sql": {"queries": "16", "samples": "1", "rounds": "0", "dev_queries": "8"},
    "strategies-lab-desk": {"rounds": "2", "dialogues": "3", "requests": "4", "trial_turns": "8"},
    "leverage-lab-triage": {"general_rows": "200", "task_rows": "16", "tune.dev_rows": "10"},
    "society-lab-arithmetic": {"questions": "24", "measure": "10"},
}


@pytest.mark.parametrize("name", SMALLER)
def test_a_lab_recipe_goes_from_training_to_the_report(name, tmp_path):
    flags = {f"settings.{key}": value for key, value in SMALLER[name].items()}
    recipe = read_recipe(RECIPES / f"{name}.toml", flags, quick=True)
    with open_run(recipe, tmp_path / "run") as run:
        recipe.method.learn(run)
        rows, results = evaluate_run(run, limit=6)
        calls = run.ledger.total().calls
    page = write_report(tmp_path / "run").read_text()
    summary = summarize(recipe.method.name, rows, results, calls, 1.0)
    assert summary.before.role_of_solver == "baseline"
    assert summary.calls > 0
    assert recipe.method.name in page
