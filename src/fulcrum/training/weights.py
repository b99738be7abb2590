"""Trained weights, moved to where they are deployed."""

import shutil
from pathlib import Path

from fulcrum.atomic import read_json, write_json
from fulcrum.training.job import RESULT


def copy_weights(trained: Path, place: Path, base: str) -> None:
    """Copy what a model is loaded from, whole or not at all: no record of its training, and no path of this machine.

    Args:
        trained: folder that a training left.
        place: folder to be made, or replaced.
        base: name in the recipe of the model that was trained; an adapter says that it belongs to it.
    """
    draft = place.with_name(f".{place.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(trained, draft, ignore=shutil.ignore_patterns(RESULT))
    config = draft / "adapter_config.json"
    if config.is_file():
        hub_name = base.partition("?")[0].removeprefix("hf:")  # as PEFT reads it
        write_json(config, read_json(config) | {"base_model_name_or_path": hub_name})
    shutil.rmtree(place, ignore_errors=True)
    draft.replace(place)
