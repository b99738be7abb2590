"""Kill -9 against a faulty endpoint: what was stored is never asked again, counted at the server."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fulcrum.calls import CallStore
from fulcrum.task.load import load_task
from support.fault_server import FAULTS, LASTING_FAULTS, FaultServer
from support.sums import write_sums

CONCURRENCY = 8


def numbers(prompt: str) -> str:
    a, b = (int(word.strip("?")) for word in prompt.split() if word.strip("?").isdigit())
    return f"The sum is {a + b}."


def stored_prompts(run: Path) -> set[str]:
    if not (run / "calls.sqlite").exists():
        return set()
    with CallStore(run / "calls.sqlite", read_only=True) as store:
        return {call.request["request"]["messages"][-1]["content"] for call in store.calls()}


def count_of_questions() -> int:
    return len(load_task("task.toml").examples("test"))


@pytest.mark.slow
def test_no_stored_call_is_repeated_and_no_failure_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sums(tmp_path, rows=400)
    rng = random.Random(0)
    with FaultServer(answer=numbers, fault_rate=0.3, faults=(*FAULTS, *LASTING_FAULTS), latency=0.02, seed=5) as server:
        actor = f"{server.url}?timeout=1&retries=8&backoff=0.01&concurrency={CONCURRENCY}#tiny"
        flags = [
            "--models.actor",
            actor,
            "--settings.shots",
            "0",
            "--settings.votes",
            "0",
            "--budget.failure_share",
            "0.5",
        ]
        flags += ["--output", "run"]
        fulcrum = [sys.executable, "-c", "from fulcrum.cli.main import main; main()"]
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        subprocess.run([*fulcrum, "train", "recipe.toml", *flags], check=True, **quiet)
        for _ in range(3):
            until = sum(server.answered.values()) + rng.randint(15, 40)
            process = subprocess.Popen([*fulcrum, "evaluate", "run", "--json"], **quiet)
            assert server.wait_until(lambda server, until=until: sum(server.answered.values()) >= until)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            kept, asked_before = stored_prompts(tmp_path / "run"), dict(server.requests)
            assert len(kept) > 0
        done = subprocess.run([*fulcrum, "evaluate", "run", "--json"], **quiet)
        assert done.returncode == 0, done.stderr
        assert all(server.requests[prompt] == asked_before[prompt] for prompt in kept)
        answered = sum(server.answered.values())
    (row,) = json.loads(done.stdout)
    # Every question that was answered is right: no failure was read as a wrong answer.
    assert row["mean"] == 1.0
    assert row["failures"] > 0 and row["n"] + row["failures"] == count_of_questions()
    assert row["n"] <= answered <= row["n"] + 3 * CONCURRENCY  # what was in flight at a kill is asked again
    assert os.listdir(tmp_path / "run").count("evaluation.json") == 1
