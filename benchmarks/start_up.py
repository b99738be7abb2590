"""How long the command line takes to answer.

    python benchmarks/start_up.py

Writes benchmarks/results/start-up.json: wall seconds of whole processes, and of `import fulcrum` alone.
"""

import statistics
import subprocess
import sys
import time

from _result import record

RUNS = 11
HELP = "from fulcrum.cli.main import main; main(['--help'])"


def seconds(*code: str) -> float:
    """Return the median wall time of a Python process that runs some code."""
    times: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *code], capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 4)


def import_seconds() -> float:
    """Return the median of what `python -X importtime` says of `import fulcrum`."""
    times: list[float] = []
    for _ in range(RUNS):
        said = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import fulcrum"], capture_output=True, check=True, text=True
        ).stderr
        line = next(line for line in said.splitlines() if line.endswith("| fulcrum"))
        times.append(int(line.split("|")[1]) / 1e6)
    return round(statistics.median(times), 4)


def main() -> None:
    record(
        "start-up",
        "python benchmarks/start_up.py",
        seconds={
            "bare python": seconds("-c", "pass"),
            "import fulcrum": import_seconds(),
            "fulcrum --help": seconds("-c", HELP),
        },
    )


if __name__ == "__main__":
    main()
