"""A run with a local model, killed between batches, ends as if it had not been."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.sums import write_sums
from support.tiny import tiny_model

KILL_AFTER = """
import os, signal, sys
from fulcrum.calls import CallStore
from fulcrum.cli.main import main

left, put = int(sys.argv[1]), CallStore.put

def put_and_perhaps_die(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(*arguments)

CallStore.put = put_and_perhaps_die
main(sys.argv[2:])
"""


def fulcrum(*arguments: str, kill_after: int = 0) -> int:
    command = [sys.executable, "-c", KILL_AFTER, str(kill_after), *arguments]
    return subprocess.run(command, capture_output=True).returncode


@pytest.mark.slow
def test_killed_between_batches_it_draws_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sums(tmp_path, rows=24)
    tiny_model(tmp_path / "model")
    task = (tmp_path / "task.toml").read_text()
    (tmp_path / "task.toml").write_text("max_tokens = 6\n" + task)
    flags = ["--models.actor", "hf:model?batch=4", "--settings.shots", "1", "--settings.votes", "3"]
    flags += ["--budget.failure_share", "1.0"]
    for run in ("whole", "killed"):
        assert fulcrum("train", "recipe.toml", *flags, "--output", run) == 0
    assert fulcrum("evaluate", "whole") == 0
    assert fulcrum("evaluate", "killed", kill_after=3) == -signal.SIGKILL
    assert fulcrum("evaluate", "killed") == 0
    assert (tmp_path / "killed" / "rollouts.jsonl").read_bytes() == (tmp_path / "whole" / "rollouts.jsonl").read_bytes()
