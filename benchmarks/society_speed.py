"""What a round of debate costs: all agents in mixed-adapter batches against one call at a time, and in memory.

    OMP_NUM_THREADS=2 python benchmarks/society_speed.py

Six rank-16 adapters on lab:large, sums of six numbers. Both ways draw the same texts. Writes
benchmarks/results/society-speed.json.
"""

import multiprocessing
import tempfile
import time
from pathlib import Path

import torch
from _result import record
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from fulcrum.chat import Request, Sampling, complete
from fulcrum.lab.models import open_model
from fulcrum.task.load import load_task
from fulcrum.training.source import trainable_source

QUESTIONS = 32
ALONE = 24
AGENTS = 6


def adapters(folder: Path) -> list[Path]:
    """Make untrained adapters of the size that the recipe trains."""
    made = []
    for number in range(AGENTS):
        base = AutoModelForCausalLM.from_pretrained(trainable_source("lab:large"))
        config = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
        made.append(folder / f"agent-{number}")
        get_peft_model(base, config).save_pretrained(made[-1])
    return made


def peak(paths: list[Path], queue: multiprocessing.Queue) -> None:
    """Report the most memory that a process needs to draw one batch with these adapters loaded."""
    model = open_model("lab:large")
    for path in paths:
        model.load_adapter(path.name, path)
    names = [path.name for path in paths] or [None]
    questions = load_task("lab:arithmetic").questions("train")[:60]
    sampling = Sampling(1.0, 0.9, 128)
    complete(model, [Request(q.messages, sampling, adapter=names[n % len(names)]) for n, q in enumerate(questions)])
    # Not getrusage: a process inherits that peak from the one that started it.
    (line,) = [line for line in Path("/proc/self/status").read_text().split("\n") if line.startswith("VmHWM:")]
    queue.put(int(line.split()[1]) / 1024)


def peak_megabytes(paths: list[Path]) -> float:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=peak, args=(paths, queue))
    process.start()
    megabytes = queue.get()
    process.join()
    return megabytes


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        paths = adapters(Path(name))
        model = open_model("lab:large")
        for path in paths:
            model.load_adapter(path.name, path)
        sampling = Sampling(1.0, 0.9, 128)
        requests = [
            Request(question.messages, sampling, adapter=path.name)
            for question in load_task("lab:arithmetic").questions("train")[:QUESTIONS]
            for path in paths
        ]
        complete(model, requests[:AGENTS])
        started = time.perf_counter()
        together = complete(model, requests)
        batched = time.perf_counter() - started
        started = time.perf_counter()
        alone = [complete(model, [request])[0] for request in requests[:ALONE]]
        one_by_one = (time.perf_counter() - started) / ALONE * len(requests)
        memory = {"base": peak_megabytes([]), "with six adapters": peak_megabytes(paths)}
    record(
        "society-speed",
        "OMP_NUM_THREADS=2 python benchmarks/society_speed.py",
        threads=torch.get_num_threads(),
        requests=len(requests),
        batched_seconds=round(batched, 2),
        one_by_one_seconds=round(one_by_one, 2),
        one_by_one_measured_on=ALONE,
        speedup=round(one_by_one / batched, 2),
        same_texts=sum(one.text == other.text for one, other in zip(alone, together, strict=False)),
        peak_megabytes={key: round(value, 1) for key, value in memory.items()},
        memory_ratio=round(memory["with six adapters"] / memory["base"], 3),
    )


if __name__ == "__main__":
    main()
