"""A society on a tiny real model: adapters that debate in mixed batches, SIGKILL at many moments, what is exported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fulcrum.chat import Request, complete, resolve, user
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.sft import finetune
from support.tiny import tiny_model

RECIPE = """
method = "society"
task = "python:votes:task"
[models]
agent = "hf:model?batch=8"
[settings]
questions = 8
measure = 4
min_rows = 1
w = 0.0
patience = 0
arms = ["base", "society", "single-agent"]
distil = true
[settings.debate]
max_tokens = 24
summary_tokens = 24
[settings.training]
lora_rank = 2
lora_alpha = 4
batch_size = 2
checkpoint_every = 1
learning_rate = 0.01
"""

TASK = '''
from fulcrum.task import Example, PromptTemplate, Task, right, wrong


class Parity:
    """Random texts have an answer too: whether their length is odd."""

    def answer_key(self, text):
        return str(len(text) % 2)

    def score(self, example, text):
        return right() if self.answer_key(text) == example.target else wrong()

    def gold(self, example):
        return "x" * int(example.target)

    def fingerprint(self):
        return {"kind": "parity"}


def task():
    splits = {
        split: [Example({"text": f"{split} {n}"}, target=str(n % 2)) for n in range(size)]
        for split, size in (("train", 8), ("dev", 4), ("test", 4))
    }
    return Task("votes", splits, PromptTemplate("{text}"), Parity(), max_tokens=4)
'''

# One process loads the libraries; each attempt is a fork of it that may die.
ATTEMPTS = """
import json, os, signal, sys
import torch, trl, peft
import fulcrum.training.sft, fulcrum.chat.huggingface
from fulcrum.calls import CallStore
from fulcrum.cli.main import main
from fulcrum.training.job import Job

torch.set_num_threads(1)
sys.path.insert(0, ".")


def attempt(folder, die_after):
    left = die_after

    def counted(function):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call

    child = os.fork()
    if child == 0:
        CallStore.put = counted(CallStore.put)
        Job.finish = counted(Job.finish)
        Job.begin = counted(Job.begin)
        main(["train", "recipe.toml", "--output", folder])
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


codes = [attempt("whole", 0)]
for moment in json.loads(sys.argv[1]):
    codes.append(attempt("killed", moment))
codes.append(attempt("killed", 0))
print("CODES", json.dumps(codes))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one run without and one with five deaths, side by side."""
    folder = tmp_path_factory.mktemp("society")
    # it learns to end its answers, so that they are not all cut off
    rows = [ChatRow((user(f"{'abcdefgh'[n % 8]} {n}"),), "how many parcels"[: n % 7 + 1]) for n in range(32)]
    brief = TrainingSettings(tuning="full", learning_rate=0.02, epochs=6, batch_size=8)
    finetune(tiny_model(folder / "raw"), rows, folder / "model", brief)
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "votes.py").write_text(TASK)
    command = [sys.executable, "-c", ATTEMPTS, json.dumps([3, 9, 6, 5, 8])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    (folder / "codes.json").write_text(done.stdout.rpartition("CODES ")[2] or done.stderr)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of an artifact."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


@pytest.mark.slow
@pytest.mark.timeout(900)  # eight runs, on a machine that may be busy
def test_killed_five_times_it_learns_the_same(runs: Path) -> None:
    assert json.loads((runs / "codes.json").read_text()) == [0, -9, -9, -9, -9, -9, 0]
    whole, killed = content(runs / "whole" / "artifact"), content(runs / "killed" / "artifact")
    assert len([name for name in whole if name.endswith("adapter_model.safetensors")]) == 7
    assert whole == killed
    for name in ("iterations.json", "labels.json", "society.json"):
        assert (runs / "whole" / name).read_bytes() == (runs / "killed" / name).read_bytes()


@pytest.mark.slow
def test_each_exported_agent_is_an_adapter_that_peft_loads(runs: Path) -> None:
    model = resolve(f"hf:{runs / 'model'}")
    found: set[float] = set()
    for agent in ("generator-1", "generator-2", "critic-1", "distilled"):
        model.load_adapter(agent, runs / "whole" / "artifact" / agent)
        request = Request((user("dev 0"),), adapter=agent)
        assert complete(model, [request])[0].ok
        found.add(sum(model.logprob([request], ["how"])[0]))
    assert len(found) == 4  # each has learned something of its own
