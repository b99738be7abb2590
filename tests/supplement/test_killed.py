"""SIGKILL at five random moments: the run goes on, pays nothing twice, and ends with the same artifact."""

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fulcrum.hashing import file_hash
from supplement.colours import colour_generator, write_colours

TICKING = """
import os, signal, sys
from fulcrum.calls import CallStore
from fulcrum.cli.main import main
from fulcrum.training.trainer import StepwiseTrainer

left, ticks = int(sys.argv[1]), 0

def tick_after(owner, name):
    original = getattr(owner, name)

    def ticking(*arguments, **options):
        global ticks
        result = original(*arguments, **options)
        ticks += 1
        if ticks == left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, ticking)

tick_after(CallStore, "put")
tick_after(StepwiseTrainer, "log")
try:
    main(sys.argv[2:])
finally:
    open("ticks.txt", "w").write(str(ticks))
"""


def train(run: str, kill_after: int = 0) -> int:
    command = [sys.executable, "-c", TICKING, str(kill_after), "train", "recipe.toml", "--output", run]
    flags = ["--settings.rounds", "1", "--settings.samples", "1", "--settings.preference.checkpoint_every", "2"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_five_times_it_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_colours(tmp_path, colour_generator(), rows=40)
    assert train("whole") == 0
    whole = (tmp_path / "asked.txt").read_text().splitlines()
    ticks = int((tmp_path / "ticks.txt").read_text())
    (tmp_path / "asked.txt").unlink()
    rng = random.Random(4)
    for _ in range(5):
        assert train("killed", kill_after=rng.randint(ticks // 12, ticks // 5)) == -signal.SIGKILL
    assert train("killed") == 0
    killed = (tmp_path / "asked.txt").read_text().splitlines()
    assert max(Counter(killed).values()) == 1
    assert sorted(killed) == sorted(whole)
    assert file_hash(tmp_path / "killed" / "artifact") == file_hash(tmp_path / "whole" / "artifact")
