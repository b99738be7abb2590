"""What a plan promises, beside what its run then takes."""

from collections import Counter
from pathlib import Path

import pytest

from fulcrum.calls import CallStore
from fulcrum.recipe import check_recipe, read_recipe
from fulcrum.runs import open_run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.runs.plan import plan
from fulcrum.settings import Document
from support.desk import write_desk
from support.sums import write_sums


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose desk has a customer and a judge of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return write_desk(tmp_path)


def test_no_model_is_asked_more_or_reads_and_writes_more_than_the_plan_says(desk: Path, tmp_path: Path) -> None:
    recipe = read_recipe(desk, {"settings.serve": "proposed"})
    with open_run(recipe, tmp_path / "run") as run:
        learn(run)
        evaluate_run(run)
    planned = Counter[tuple[str, str]]()
    for row in recipe.method.plan(recipe):
        model, calls = recipe.asked[row.role], row.calls
        taken = {"calls": calls, "read": calls * row.prompt_tokens, "written": calls * row.completion_tokens}
        planned.update({(model, what): count for what, count in taken.items()})
    with CallStore(tmp_path / "run" / "calls.sqlite", read_only=True) as store:
        paid = store.paid()
    assert {row.model for row in paid} == set(recipe.asked.values())
    for row in paid:
        calls = planned[row.model, "calls"]
        assert row.calls <= calls
        assert row.prompt_tokens / row.calls <= planned[row.model, "read"] / calls, row.model
        assert row.completion_tokens / row.calls <= planned[row.model, "written"] / calls, row.model


def test_the_pace_of_a_tasks_own_models_is_known_and_its_judge_is_not_the_methods(desk: Path, tmp_path: Path) -> None:
    recipe = read_recipe(desk, {"settings.gap_dialogues": "0"})
    with open_run(recipe, tmp_path / "run") as run:
        learn(run)
    with CallStore(tmp_path / "run" / "calls.sqlite", read_only=True) as store:
        stored = {row.model: f"{row.calls} stored calls" for row in store.paid()}
    pace = plan(recipe, folder=tmp_path / "run").pace
    assert {role: source for role, (_, source) in pace.items()} == {
        role: stored[model] for role, model in recipe.asked.items()
    }


@pytest.mark.usefixtures("desk")
def test_the_models_of_a_task_are_planned_for_whatever_the_method(tmp_path: Path) -> None:
    document = Document({"method": "baseline", "task": "dialogue:support.toml", "settings": {"shots": 0}})
    recipe = check_recipe(document)
    calls = {row.role: row.calls for row in recipe.method.plan(recipe)}
    test = len(recipe.task.examples("test"))
    assert calls == {"actor": 5 * test, "customer of the task": 5 * test, "judge of the task": test}

    write_sums(tmp_path)
    task = (tmp_path / "task.toml").read_text().replace('kind = "number"', 'kind = "judge"\nmodel = "python:bots:tie"')
    (tmp_path / "task.toml").write_text(task)
    for method in ("supplement", "leverage", "society"):
        recipe = check_recipe(Document({"method": method, "task": "task.toml"}))
        asked = {role: [row for row in recipe.method.plan(recipe) if row.role == role] for role in recipe.asked}
        assert set(recipe.asked) >= {"judge"} and sum(row.calls for row in asked["judge"]) > 0, method
        if method == "leverage":
            assert sum(row.calls for row in asked["judge"]) == 2 * sum(row.calls for row in asked["actor"])
