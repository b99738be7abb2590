"""What tables say, on a terminal and where their text goes elsewhere."""

from pathlib import Path

import pytest

from fulcrum.calls import CallStore
from fulcrum.chat import Completion, Request, Usage, user
from fulcrum.cli import common
from fulcrum.cli.calls import stats
from fulcrum.cli.common import console
from fulcrum.cli.matrix import print_transfer
from fulcrum.runs.transfer import TransferCell
from support.scripted import ScriptedModel

CELL = TransferCell("lab:other", "lab:desk", False, 20, 0.41, 0.55, 0.14, 0.10, 0.18, -0.018, 0.05)


def test_a_control_is_told_by_its_gain_and_not_as_if_that_were_a_score(capsys: pytest.CaptureFixture[str]) -> None:
    print_transfer([CELL], "student", json=False)
    said = capsys.readouterr().out.split()
    assert "control's" in said and "gain" in said and "points" in said
    assert "-1.8" in said and "-1.8 %" not in " ".join(said)


LONG = "http://inference.example.com:8000/v1#organisation/a-model-of-70b-instruct-2026-01-01"


@pytest.mark.parametrize("width", [80, None])
def test_no_name_and_no_figure_is_cut_however_narrow_the_terminal(
    width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # which the tests' own workers set
    monkeypatch.setattr(console, "_width", width or common.console_for().width)
    with CallStore(tmp_path / "calls.sqlite") as store:
        answer = Completion("x", usage=Usage(123_456_789, 2_345_678), seconds=98_765.4)
        store.put(ScriptedModel(name=LONG), "judge", [("ab" * 16, Request((user("x"),)), answer)])
    stats(tmp_path)
    said = capsys.readouterr().out
    _, _, first, *more = (line.split() for line in said.splitlines() if line.strip())
    assert first[1] + "".join(*zip(*more, strict=True)) == LONG if width else not more and first[1] == LONG
    assert first[3:6] == ["123,456,789", "2,345,678", "98765.4"]
    assert max(map(len, said.splitlines())) <= (width or 200)
