"""A call store of a million calls: look-up time, size of a call, two writers at once.

    python benchmarks/call_store.py            # 1,000,000 calls, about three minutes
    python benchmarks/call_store.py --calls 10000

Writes benchmarks/results/call-store.json.
"""

import argparse
import multiprocessing
import random
import statistics
import tempfile
import time
from pathlib import Path

from _result import record

from fulcrum.calls import CallStore, call_key
from fulcrum.chat import Completion, Request, Sampling, Usage, system, user

BATCH = 1000
LOOK_UPS = 5000


class Endpoint:
    """The name of a model that is never called."""

    name = "http://localhost:8000/v1#qwen"

    def identity(self, request: Request) -> dict[str, str]:
        del request
        return {"endpoint": "http://localhost:8000/v1", "model": "qwen"}


def call(index: int) -> tuple[str, Request, Completion]:
    """Return a short call of about 60 words, none like another."""
    words = random.Random(index)
    text = " ".join(f"{words.getrandbits(24):x}" for _ in range(40))
    request = Request(
        (system("Answer with one word."), user(f"Question {index}: {text}")), Sampling(temperature=1.0, seed=index)
    )
    answer = Completion(f"answer {words.getrandbits(64):x}", usage=Usage(120, 8), seconds=0.31, model="qwen")
    return call_key(Endpoint().identity(request), request), request, answer


def write(path: Path, start: int, stop: int) -> None:
    """Store the calls of a range, a thousand in a transaction."""
    with CallStore(path) as store:
        for first in range(start, stop, BATCH):
            store.put(Endpoint(), "actor", [call(index) for index in range(first, min(first + BATCH, stop))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    count = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.sqlite"
        CallStore(path).close()
        started = time.perf_counter()
        writers = [
            multiprocessing.Process(target=write, args=(path, start, stop))
            for start, stop in ((0, count // 2), (count // 2, count))
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        seconds = time.perf_counter() - started
        pick = random.Random(0)
        keys = [call(pick.randrange(count))[0] for _ in range(LOOK_UPS)]
        with CallStore(path) as store:
            stored = len(store)
            times: list[float] = []
            for key in keys:
                before = time.perf_counter()
                assert store.get(key) is not None
                times.append(time.perf_counter() - before)
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    quantiles = statistics.quantiles(times, n=100)
    record(
        "call-store",
        f"python benchmarks/call_store.py --calls {count}",
        calls_written_by_two_processes=count,
        calls_found=stored,
        seconds_to_write=round(seconds, 1),
        bytes_per_call=round(size / count, 1),
        look_up_ms={"p50": round(quantiles[49] * 1e3, 4), "p99": round(quantiles[98] * 1e3, 4)},
    )


if __name__ == "__main__":
    main()
