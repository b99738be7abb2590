"""How fast a checkpoint of the lab loads and writes.

    OMP_NUM_THREADS=2 python benchmarks/generation_speed.py

Sums of six numbers worked step by step, drawn at temperature 1 in batches of 64. Writes
benchmarks/results/generation-speed.json.
"""

import time

import torch
from _result import record

from fulcrum.chat import Request, Sampling, complete, resolve
from fulcrum.task.load import load_task

ROWS = 256


def main() -> None:
    task = load_task("lab:arithmetic")
    resolve("lab:large").close()  # imports and file caches are warm, as in a second run
    started = time.perf_counter()
    model = resolve("lab:large")
    load_seconds = time.perf_counter() - started
    sampling = Sampling(temperature=1.0, max_tokens=task.max_tokens)
    requests = [Request(question.messages, sampling) for question in task.questions("train")[:ROWS]]
    complete(model, requests[:64])
    started = time.perf_counter()
    answers = complete(model, requests)
    seconds = time.perf_counter() - started
    written = sum(answer.usage.completion_tokens for answer in answers)
    record(
        "generation-speed",
        "OMP_NUM_THREADS=2 python benchmarks/generation_speed.py",
        threads=torch.get_num_threads(),
        answers=len(answers),
        tokens_per_answer=round(written / len(answers), 1),
        tokens_per_second=round(written / seconds),
        load_seconds=round(load_seconds, 2),
    )


if __name__ == "__main__":
    main()
