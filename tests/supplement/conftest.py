from pathlib import Path

import pytest

from fulcrum.recipe import read_recipe
from fulcrum.runs import Run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from supplement.colours import colour_generator, write_colours


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose generator is a Python function: enough for all that comes before the training."""
    monkeypatch.chdir(tmp_path)
    recipe = write_colours(tmp_path, Path("unused"))
    recipe.write_text(recipe.read_text().replace("hf:unused", "python:colour_bots:write"))
    return recipe


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has learned and was evaluated; do not write into it."""
    folder = tmp_path_factory.mktemp("colours")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Run(folder / "run", read_recipe(write_colours(folder, colour_generator()))) as run:
            learn(run)
            evaluate_run(run)
    return folder / "run"
