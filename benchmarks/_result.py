"""Where a benchmark's figures go: benchmarks/results/NAME.json, with the command and the machine."""

import json
from pathlib import Path
from typing import Any

from fulcrum.atomic import read_json, write_text
from fulcrum.runs.environment import environment


def seconds_of_stages(folder: Path) -> dict[str, float]:
    """Return how long each finished stage of a run took, by its name without the hash."""
    return {
        path.parent.name.rpartition("-")[0]: read_json(path)["seconds"]
        for path in sorted(folder.glob("stages/*/finished.json"))
    }


def record(name: str, command: str, **figures: Any) -> None:
    """Write and print one benchmark's figures."""
    text = json.dumps({"command": command, "environment": environment(), **figures}, indent=2) + "\n"
    write_text(Path(__file__).parent / "results" / f"{name}.json", text)
    print(text)
