"""`fulcrum strategies`, on a run that the lab's rule-made models did, and the shop's practice in what they learned."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest

from fulcrum.artifact import read_artifact
from fulcrum.chat import resolve
from fulcrum.cli.main import main
from fulcrum.errors import RunError
from fulcrum.lab.desk.practice import HABITS
from fulcrum.lab.shop import Shop
from fulcrum.methods import load_method
from fulcrum.runs import Run
from fulcrum.runs.catalog import reopen
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.strategies.library import Library
from fulcrum.strategies.release import Release
from support.desk import write_desk

MODELS = [
    "--models.student",
    "python:fulcrum.strategies.lab:student",
    "--models.teacher",
    "python:fulcrum.strategies.lab:teacher",
]


def run_command(*arguments: str) -> int:
    """Return the exit code of a command."""
    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command") / "run"
    sizes = ["--settings.dialogues", "80", "--settings.requests", "130", "--settings.trial_dialogues", "80"]
    flags = ["--method", "strategies", "--task", "lab:desk?seed=7", "--quick", *sizes, *MODELS]
    assert run_command("train", *flags, "-o", str(folder)) == 0
    return folder


@pytest.fixture
def run(learned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(learned, tmp_path / "run")


def read(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0):
    capsys.readouterr()
    assert run_command("strategies", *arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def ids(found: Sequence[dict[str, str]]) -> list[str]:
    return [strategy["id"] for strategy in found]


@pytest.mark.slow
def test_what_is_learned_is_the_practice_of_the_shop(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    practice = {HABITS[id].advice for id in Shop(7).practice}
    passed = [s for s in read(capsys, "list", str(run), "--status", "proposed") if s["effects"]]
    lines = {f"when {s['advice']['when']}, {s['advice']['do']}." for s in passed}
    assert len(lines) >= 4 and lines <= practice


@pytest.mark.slow
def test_where_the_till_wants_a_word_a_library_brings_success(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "strategies-lab-desk.toml"
    flags = ["--settings.finetune", "false", "--settings.effect_dialogues", "0", *MODELS]
    assert run_command("train", str(recipe), *flags, "-o", str(tmp_path / "run")) == 0
    with Run(tmp_path / "run", reopen(tmp_path / "run")) as opened:
        _, results = evaluate_run(opened, "test", 60)
    success = {
        result.role: mean(rollout.score.details["success"] for rollout in result.rollouts)
        for result in results
        if result.role != "control"
    }
    assert success["baseline"] < 0.85
    assert success["method"] > success["baseline"] + 0.08


@pytest.mark.slow
def test_a_person_approves_rejects_and_retires(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = ids(read(capsys, "list", str(run), "--status", "proposed"))
    assert run_command("strategies", "approve", str(run), first, "--who", "ada") == 0
    assert run_command("strategies", "reject", str(run), second, "--reason", "too long", "--who", "bob") == 0
    assert ids(read(capsys, "list", str(run), "--status", "approved")) == [first]
    shown = read(capsys, "show", str(run), second)
    assert shown["history"][-1]["who"] == "bob" and shown["history"][-1]["reason"] == "too long"
    assert run_command("strategies", "show", str(run), second) == 0
    assert "[user]" in capsys.readouterr().out
    assert run_command("strategies", "reject", str(run), first, "--reason", "no longer so", "--retire") == 0
    assert Library(run / "artifact" / "library.jsonl").strategy(first).status == "retired"
    assert run_command("strategies", "approve", str(run), "nothing") == 2
    assert "there is no strategy 'nothing'" in capsys.readouterr().err


@pytest.mark.slow
def test_export_import_and_test(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("strategies", "export", str(run), "--output", str(tmp_path / "page.md")) == 0
    assert "## Proposed" in (tmp_path / "page.md").read_text()
    logs = tmp_path / "logs.jsonl"
    rude = {"scenario": "any dialogue", "when": "the customer is in a hurry", "do": "promise 90 coins"}
    logs.write_text(json.dumps({"strategy": rude}) + "\n")
    capsys.readouterr()
    assert run_command("strategies", "import", str(run), str(logs), "--who", "ada") == 0
    id = capsys.readouterr().out.split()[0]
    shown = read(capsys, "show", str(run), id)
    assert shown["evidence"]["source"] == "person"
    assert {found["check"] for found in shown["findings"]} == {"unsafe promise"}
    assert run_command("strategies", "approve", str(run), id) == 2
    (tested,) = read(capsys, "test", str(run), id)
    assert {effect["measure"] for effect in tested["effects"]} == {"on-off", "leave-one-out"}


@pytest.mark.slow
def test_planted_harm_and_transfer(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = read(capsys, "test", str(run), "--planted")
    assert report["of"] == 20 and report["caught"] >= 18 and report["served"] == []
    library = Library(run / "artifact" / "library.jsonl")
    for strategy in library.strategies("proposed"):
        if strategy.effects and not strategy.blocked:
            library.decide(strategy.id, "approved", who="ada")
    tasks = [f"--task=lab:desk?seed=1&{option}" for option in ("customer=b", "practice=7")]
    own, other, moved = read(capsys, "transfer", str(run), *tasks, "--limit", "20")
    assert own["trained_for"] and own["n"] == other["n"] == 20
    assert own["low"] > 0, "the library helps where it was learned"
    assert own["difference"] > other["difference"], "another shop has another practice"
    assert moved["low"] > 0, "another shop with the same practice is helped too"
    assert own["control"] < own["difference"], "strategies of other turns do not"
    assert json.loads((run / "transfer" / "matrix.json").read_text()) == [own, other, moved]


@pytest.mark.slow
def test_a_release_is_blocked_by_a_must_pass_case_and_by_a_loss(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def deploy() -> None:
        load_method("strategies").deploy(read_artifact(run), resolve).close()

    library = Library(run / "artifact" / "library.jsonl")
    first, *others = (strategy.id for strategy in library.strategies("proposed") if strategy.effects)
    library.decide(first, "approved", who="ada")
    deploy()  # who names no case and makes no release is not held up

    late = read(capsys, "must-pass", str(run), "--search", "late")
    assert len(late) > 10 and all("late" in opening for opening in late.values())
    cases = list(late)[:8]
    assert set(read(capsys, "must-pass", str(run), *cases, "--who", "ada")) == set(cases)
    with pytest.raises(RunError, match="never released"):
        deploy()
    tried = read(capsys, "release", str(run), code=1)
    assert tried["blocked"] and tried["failed"] and {*tried["failed"], *tried["passed"]} == set(cases)
    assert not (run / "artifact" / "release.json").exists()

    assert set(read(capsys, "must-pass", str(run), *tried["failed"], "--drop")) == set(tried["passed"])
    assert read(capsys, "release", str(run))["change"] is None
    deploy()
    for id in others:
        library.decide(id, "approved", who="ada")
    with pytest.raises(RunError, match="changed since the last release"):
        deploy()
    assert read(capsys, "release", str(run))["change"]["low"] > 0
    deploy()
    for id in others[1:]:
        library.decide(id, "retired", who="bob", reason="spring cleaning")
    assert read(capsys, "release", str(run), code=1)["change"]["high"] < 0
    with pytest.raises(RunError, match="changed since the last release"):
        deploy()
    assert not read(capsys, "release", str(run), "--reason", "asked for by the house")["blocked"]
    deploy()
    read(capsys, "must-pass", str(run), list(late)[8])
    with pytest.raises(RunError, match="1 must-pass cases were named since the last release"):
        deploy()
    read(capsys, "release", str(run), "--reason", "asked for by the house")
    deploy()


def test_a_case_that_could_not_be_tried_blocks_and_is_no_failure() -> None:
    found = Release((("a", 1),), ("x",), (), ("y",), None, "ada", "today")
    assert found.blocked and found.against == ["must pass, and could not be tried, for a call failed: y"]


@pytest.mark.slow
def test_no_dialogue_of_the_test_split_can_be_a_must_pass_case(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = reopen(run).task
    test, train = (task.examples(split)[0].id for split in ("test", "train"))
    assert run_command("strategies", "must-pass", str(run), test) == 2
    assert f"is called {test}" in capsys.readouterr().err
    assert run_command("strategies", "must-pass", str(run), train, "--drop") == 2
    assert "is no must-pass case" in capsys.readouterr().err


def test_what_waits_for_review_is_reviewed_before_an_evaluation_is_paid_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run_command("train", str(write_desk(tmp_path)), "-o", "run") == 0
    said = capsys.readouterr().out
    assert "Waiting for review: 1; none is served yet" in said
    assert "Next: fulcrum review run, then fulcrum evaluate run" in said
    paid = (tmp_path / "run" / "calls.sqlite").stat().st_size
    for command in (["evaluate", "run"], ["strategies", "transfer", "run"]):
        assert run_command(*command) == 2
        assert "no strategy is approved, so there is nothing to serve; 1 wait" in capsys.readouterr().err
    assert (tmp_path / "run" / "calls.sqlite").stat().st_size == paid, "no call is made"
    (id,) = ids(read(capsys, "list", "run", "--status", "proposed"))
    for command in (["approve", "run"], ["reject", "run", "--reason", "none"]):
        assert run_command("strategies", *command) == 2
        assert "name at least one id; `fulcrum strategies list run` shows them" in capsys.readouterr().err
    assert run_command("strategies", "approve", "run", id) == 0
    assert run_command("train", "recipe.toml", "-o", "run") == 0
    assert "Next: fulcrum evaluate run\n" in capsys.readouterr().out
    assert run_command("evaluate", "run") == 0


def test_a_place_without_a_library_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("strategies", "list", str(tmp_path)) == 2
    assert "holds no library" in capsys.readouterr().err
