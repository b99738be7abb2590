"""How fast a checkpoint of the lab loads and writes, and what reading a common beginning once saves.

    OMP_NUM_THREADS=2 python benchmarks/generation_speed.py

256 answers in batches of 64: sums of six numbers worked step by step, drawn at temperature 1, and SQL to questions that
all begin with the tables of one shop, greedy. Writes benchmarks/results/generation-speed.json.
"""

import time
from unittest.mock import patch

import torch
from _result import record

from fulcrum.chat import ChatModel, Request, Sampling, complete, resolve
from fulcrum.task.load import load_task

ROWS = 256


def main() -> None:
    resolve("lab:large").close()  # imports and file caches are warm, as in a second run
    started = time.perf_counter()
    model = resolve("lab:large")
    load_seconds = time.perf_counter() - started
    figures = {
        name: speed(model, name, temperature) for name, temperature in (("lab:arithmetic", 1.0), ("lab:sql", 0.0))
    }
    with patch("fulcrum.chat.decoding.SHARED_TOKENS", 1 << 30):
        figures["lab:sql, each prompt read whole"] = speed(model, "lab:sql", 0.0)
    record(
        "generation-speed",
        "OMP_NUM_THREADS=2 python benchmarks/generation_speed.py",
        threads=torch.get_num_threads(),
        load_seconds=round(load_seconds, 2),
        answers=ROWS,
        **figures,
    )


def speed(model: ChatModel, name: str, temperature: float) -> dict[str, float]:
    """Return how fast a model answers the training questions of a task."""
    task = load_task(name)
    sampling = Sampling(temperature, max_tokens=task.max_tokens)
    requests = [Request(question.messages, sampling) for question in task.questions("train")[:ROWS]]
    complete(model, requests[:64])
    started = time.perf_counter()
    answers = complete(model, requests)
    seconds = time.perf_counter() - started
    written = sum(answer.usage.completion_tokens for answer in answers)
    return {
        "tokens_per_prompt": round(sum(answer.usage.prompt_tokens for answer in answers) / ROWS, 1),
        "tokens_per_answer": round(written / ROWS, 1),
        "tokens_per_second": round(written / seconds),
        "answers_per_second": round(ROWS / seconds, 1),
    }


if __name__ == "__main__":
    main()
