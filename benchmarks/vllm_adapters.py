"""LoRA adapters that Fulcrum trained, served by vLLM beside their base: do they answer as they do in process?

    python benchmarks/vllm_adapters.py --vllm /path/to/vllm-environment

vLLM stands in an environment of its own: its packages and those of Fulcrum's `train` extra need not agree. Two
adapters are trained on lab:small, one on letters and one on SQL, vLLM is started with the flag that Fulcrum prints, and
base and adapters answer test questions greedily on both sides, in float32, also mixed in one batch.

Writes benchmarks/results/vllm-adapters.json.
"""

import argparse
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from _result import record

from fulcrum.chat import ChatModel, Request, Sampling, complete, resolve
from fulcrum.chat.endpoint import EndpointModel
from fulcrum.chat.huggingface import HuggingFaceModel
from fulcrum.chat.served import ServedAdapters, lora_modules
from fulcrum.errors import ModelError
from fulcrum.task.load import load_task
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.sft import finetune
from fulcrum.training.source import trainable_source

BASE = "lab:small"
TASKS = {"letters": "lab:triage", "sql": "lab:sql"}
TRAINING = TrainingSettings(lora_rank=8, lora_alpha=16, learning_rate=3e-3, epochs=10, batch_size=8)


def train(task: str, folder: Path) -> None:
    """Train an adapter on sixty-four questions of a task."""
    opened = load_task(task)
    examples = opened.examples("train")[:64]
    rows = [ChatRow(opened.question(example).messages, opened.gold(example)) for example in examples]
    finetune(trainable_source(BASE), rows, folder, TRAINING)


@contextmanager
def serving(vllm: Path, folders: list[Path]) -> Iterator[EndpointModel]:
    """Serve the base with these adapters, as `fulcrum` says it is to be done."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--enable-lora", *shlex.split(lora_modules(folders)), "--max-lora-rank", "8", "--max-loras", "2"]
    command = [str(vllm / "bin" / "vllm"), "serve", trainable_source(BASE), "--served-model-name", "small", *flags]
    command += ["--port", str(port), "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager"]
    model = resolve(f"http://127.0.0.1:{port}/v1#small")
    assert isinstance(model, EndpointModel)
    server = subprocess.Popen(command, env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}, start_new_session=True)
    try:
        wait(model, folders, server)
        yield model
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # the engine is a process of its own
        server.wait()
        model.close()


def wait(model: EndpointModel, folders: list[Path], server: subprocess.Popen[bytes]) -> None:
    """Wait until the adapters are offered."""
    until = time.monotonic() + 600
    while True:
        try:
            return ServedAdapters(model).check(folders)
        except ModelError:
            if server.poll() is not None or time.monotonic() > until:
                raise
        time.sleep(2)


def answers(model: ChatModel, task: str, adapters: list[str | None]) -> list[str]:
    """Return greedy answers to a hundred test questions, by each adapter in turn, or the base; all in one batch."""
    opened = load_task(task)
    sampling = Sampling(max_tokens=opened.max_tokens)
    asked = zip(opened.questions("test")[:100], cycle(adapters), strict=False)
    done = complete(model, [Request(question.messages, sampling, adapter=adapter) for question, adapter in asked])
    assert all(completion.failure is None or completion.failure.kind == "truncated" for completion in done)
    return [completion.text for completion in done]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", type=Path, required=True, help="folder of the environment in which vLLM is installed")
    vllm: Path = parser.parse_args().vllm
    version = subprocess.run([vllm / "bin" / "vllm", "--version"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as temporary:
        folders = {name: Path(temporary, name) for name in TASKS}
        for name, folder in folders.items():
            train(TASKS[name], folder)
        here = resolve(f"{BASE}?dtype=float32")
        assert isinstance(here, HuggingFaceModel)
        with serving(vllm, list(folders.values())) as model:
            there = ServedAdapters(model)
            for name, folder in folders.items():
                here.load_adapter(name, folder)
                there.load_adapter(name, folder)
            rows: list[dict[str, Any]] = []
            for name, task in TASKS.items():
                bare = answers(here, task, [None])
                for adapters in ([None], [name], list(TASKS), [None, *TASKS]):
                    mine, theirs = answers(here, task, adapters), answers(there, task, adapters)
                    for place, adapter in enumerate(adapters):
                        mine_of, theirs_of, bare_of = (texts[place :: len(adapters)] for texts in (mine, theirs, bare))
                        rows.append(
                            {
                                "task": task,
                                "in_one_batch": adapters,
                                "answered_by": adapter,
                                "questions": len(mine_of),
                                "the_same": sum(map(str.__eq__, mine_of, theirs_of)),
                                "unlike_the_base": sum(map(str.__ne__, mine_of, bare_of)),
                            }
                        )
    record("vllm-adapters", "python benchmarks/vllm_adapters.py --vllm ENVIRONMENT", vllm=version.strip(), answers=rows)


if __name__ == "__main__":
    main()
