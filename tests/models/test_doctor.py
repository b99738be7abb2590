from pathlib import Path

import pytest

from fulcrum.recipe import read_recipe
from fulcrum.runs.doctor import Finding, examine
from support.sums import write_sums
from support.tiny import tiny_model


@pytest.fixture
def recipe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_sums(tmp_path)


def findings(recipe_file: Path, actor: str) -> list[Finding]:
    return list(examine(read_recipe(recipe_file, {"models.actor": actor})))


def test_a_sound_template_is_said_to_be_sound(recipe_file: Path, tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    found = findings(recipe_file, f"hf:{tmp_path / 'model'}")
    assert any("has a generation prompt and a stop token" in finding.what for finding in found)
    assert any(finding.what.startswith("memory: weights take") for finding in found)


def test_a_template_without_prompt_or_stop_token_is_bad(recipe_file: Path, tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    template = tmp_path / "model" / "chat_template.jinja"
    assert template.exists()
    template.write_text("{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}")
    bad = [finding for finding in findings(recipe_file, f"hf:{tmp_path / 'model'}") if finding.level == "bad"]
    assert ["no generation prompt" in bad[0].what, "ends no answer with the stop token" in bad[1].what] == [True, True]
    assert all(finding.remedy for finding in bad)


def test_a_missing_model_is_one_finding_and_not_a_crash(recipe_file: Path, tmp_path: Path) -> None:
    bad = [finding for finding in findings(recipe_file, f"hf:{tmp_path / 'none'}") if finding.level == "bad"]
    assert len(bad) == 1 and "models.actor" in bad[0].remedy
