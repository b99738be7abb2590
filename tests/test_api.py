"""The Python interface: train, evaluate, and ask what was learned."""

from pathlib import Path

import pytest

import fulcrum
from fulcrum.chat import Sampling, user
from fulcrum.errors import ModelError, RunError
from leverage.world import write_world

pytestmark = pytest.mark.slow


def test_a_model_is_lifted_in_a_few_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_world(tmp_path, tuning='tuning = "full"')
    run = fulcrum.train(recipe, {"settings.controls": '["sft"]'}, output="runs/parcels")
    assert fulcrum.train(recipe, {"settings.controls": '["sft"]'}, output="runs/parcels") == run == Path("runs/parcels")
    rows = fulcrum.evaluate(run, limit=4)
    assert {row.role_of_solver for row in rows} >= {"method", "baseline"} and rows[0].n == 4
    assert (run / "report.html").is_file()
    with fulcrum.Lifted(run) as ask:
        brief = Sampling(max_tokens=1)
        with pytest.raises(ModelError, match="truncated"):
            ask((user("n7 of u5: lost p1"),), brief)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no artifact"):
        fulcrum.Lifted(tmp_path)
    with pytest.raises(AttributeError, match="levitate"):
        _ = fulcrum.levitate
