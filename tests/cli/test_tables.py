"""What tables say, on a terminal and where their text goes elsewhere."""

import pytest

from fulcrum.cli.matrix import print_transfer
from fulcrum.runs.transfer import TransferCell

CELL = TransferCell("lab:other", "lab:desk", False, 20, 0.41, 0.55, 0.14, 0.10, 0.18, -0.018, 0.05)


def test_a_control_is_told_by_its_gain_and_not_as_if_that_were_a_score(capsys: pytest.CaptureFixture[str]) -> None:
    print_transfer([CELL], "student", json=False)
    said = capsys.readouterr().out.split()
    assert "control's" in said and "gain" in said and "points" in said
    assert "-1.8" in said and "-1.8 %" not in " ".join(said)
