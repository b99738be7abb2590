"""A killed run continues to the same library, and pays for no call twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def train(folder: Path, paid: Path) -> "subprocess.Popen[bytes]":
    code = (
        "from fulcrum.cli.main import main; "
        "main(['train', '--method', 'strategies', '--task', 'lab:desk?seed=7', '--quick',"
        " '--models.student', 'python:counted:student', '--models.teacher', 'python:counted:teacher',"
        " '--settings.rounds', '2', '--settings.dialogues', '6', '--settings.requests', '8',"
        " '--settings.trial_dialogues', '6', '--settings.effect_dialogues', '4',"
        f" '-o', {str(folder)!r}])"
    )
    environment = {**os.environ, "PAID_CALLS": str(paid), "PYTHONPATH": str(FOLDER)}
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_library_and_pays_nothing_twice(tmp_path: Path) -> None:
    whole, killed, paid = tmp_path / "whole", tmp_path / "killed", tmp_path / "paid"
    assert train(whole, tmp_path / "paid whole").wait() == 0
    total = len((tmp_path / "paid whole").read_text().splitlines())
    kills = 0
    for share in (0.1, 0.4, 0.7, 0.95):
        process = train(killed, paid)
        while process.poll() is None and (not paid.exists() or paid.read_bytes().count(b"\n") < share * total):
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 4
    assert train(killed, paid).wait() == 0
    for name in ("library.jsonl", "STRATEGIES.md", "curve.json"):
        assert (killed / "artifact" / name).read_bytes() == (whole / "artifact" / name).read_bytes()
    calls = Counter(paid.read_text().splitlines())
    # What a kill cut off between answer and store is paid again: at most one call for each kill.
    assert sum(calls.values()) - len(calls) <= kills
    assert len(calls) == total
