"""A small task on disk with a scripted model, for tests that run whole recipes."""

import json
from pathlib import Path

TASK = """
name = "sums"
data = "rows.jsonl"
target = "answer"
shares = { train = 0.3, dev = 0.2, test = 0.5 }

[prompt]
user = "What is {a} + {b}?"

[scorer]
kind = "number"
"""

BOT = '''
import os, random, re, signal
from pathlib import Path


def sloppy(request):
    """Right in six of ten draws; kills its own process where a file says so."""
    fuse = Path("fuse.txt")
    if fuse.exists():
        left = int(fuse.read_text())
        fuse.write_text(str(left - 1))
        if left == 0:
            fuse.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    with open("asked.txt", "a") as log:
        facts = (len(request.messages), request.messages[-1].content, request.sampling.temperature, request.sample)
        log.write(f"{facts}\\n")
    a, b = map(int, re.findall(r"\\d+", request.messages[-1].content)[-2:])
    drawn = random.Random(f"{a} {b} {request.sample} {request.sampling.temperature}").random()
    return f"The sum is {a + b if drawn < 0.6 else a - b - 1}."


def tie(request):
    """A judge that never prefers either."""
    return "Verdict: tie"
'''

RECIPE = """
method = "baseline"
task = "task.toml"

[models]
actor = "python:bots:sloppy"

[settings]
votes = 5
"""


def write_sums(folder: Path, rows: int = 60) -> Path:
    """Write task, data, model and recipe into a folder, and return the recipe."""
    data = [{"a": index, "b": index * 7 % 13, "answer": index + index * 7 % 13} for index in range(rows)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    (folder / "task.toml").write_text(TASK)
    (folder / "bots.py").write_text(BOT)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"
