import json
from pathlib import Path

import pytest

from fulcrum.hashing import file_hash
from fulcrum.training.weights import copy_weights


def trained(folder: Path, seconds: float) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "base_model_name_or_path": f"{folder}/base"}))
    (folder / "result.json").write_text(json.dumps({"seconds": seconds}))
    return folder


@pytest.mark.parametrize(
    ("name", "base"), [("hf:org/model?batch=8", "org/model"), ("lab:small", "lab:small"), ("hf:model", "model")]
)
def test_the_same_weights_are_the_same_files_wherever_and_however_long_they_were_trained(
    tmp_path: Path, name: str, base: str
) -> None:
    copy_weights(trained(tmp_path / "here" / "adapter", 1.5), tmp_path / "first", name)
    copy_weights(trained(tmp_path / "there" / "adapter", 2.5), tmp_path / "second", name)
    assert file_hash(tmp_path / "first") == file_hash(tmp_path / "second")
    assert json.loads((tmp_path / "first" / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "here", "second", "there"]


def test_a_copy_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").touch()
    copy_weights(trained(tmp_path / "adapter", 1.0), tmp_path / "place", "lab:small")
    assert {path.name for path in (tmp_path / "place").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
