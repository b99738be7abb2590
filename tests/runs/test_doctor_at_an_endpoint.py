from pathlib import Path

import pytest

from fulcrum.recipe import read_recipe
from fulcrum.runs.doctor import Finding, examine
from support.desk import write_desk
from support.fault_server import FaultServer, Reply, chat_completion
from support.sums import write_sums


def findings(recipe_file: Path, actor: str) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(read_recipe(recipe_file, {"models.actor": actor}))}


def test_a_live_endpoint_is_reached_and_its_habits_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FaultServer() as server:
        actor = f"{server.url}#tiny"
        found = findings(write_sums(tmp_path), actor)
    assert found[f"{actor}: reachable, and it lists the model"].level == "good"
    assert found[f"{actor}: answers, and stops by itself"].level == "good"
    # The server answers every draw alike and offers no log-probabilities.
    assert found[f"{actor}: 4 draws at temperature 1 are all the same"].level == "warning"
    assert found[f"{actor}: gives no log-probabilities"].level == "warning"


def test_a_misspelt_model_is_named_with_its_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FaultServer() as server:
        found = findings(write_sums(tmp_path), f"{server.url}#tinny")
    (bad,) = [finding for finding in found.values() if finding.level == "bad"]
    assert "did you mean 'tiny'" in bad.what and bad.remedy


def test_a_wanted_key_is_named_and_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FaultServer(key="secret") as server:
        found = findings(write_sums(tmp_path), f"{server.url}#tiny")
    (bad,) = [finding for finding in found.values() if finding.level == "bad"]
    assert "HTTP 401" in bad.what and "OPENAI_API_KEY" in bad.remedy and "key_env" in bad.remedy


def test_a_model_that_never_ends_its_answers_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FaultServer(respond=lambda body: Reply(chat_completion("on and on", "length"))) as server:
        found = findings(write_sums(tmp_path), f"{server.url}#tiny")
    (bad,) = [finding for finding in found.values() if finding.level == "bad"]
    assert "5 of 5 answers did not end" in bad.what and "raise max_tokens" in bad.remedy


def test_a_methods_own_judge_is_no_scorers_and_each_fault_says_whose_model_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = write_desk(tmp_path)
    found = list(examine(read_recipe(recipe)))
    assert "python:desk_bots:judge: answers, and stops by itself" in {finding.what for finding in found}
    assert not any("verdict" in finding.what for finding in found)

    task = (tmp_path / "support.toml").read_text()
    (tmp_path / "support.toml").write_text(task.replace("desk_bots:customer", "nobody:customer"))
    found = examine(read_recipe(recipe, {"models.judge": "python:nobody:judge"}))
    remedies = {finding.what.split(": ")[0]: finding.remedy for finding in found if finding.level == "bad"}
    assert remedies == {
        "python:nobody:judge": "mend models.judge",
        "python:nobody:customer": "mend the customer of the task",
    }
