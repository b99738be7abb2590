"""A task and a general set so small that a tiny model is tuned on them in a second."""

import json
from pathlib import Path

from support.tiny import shared_model

TASK = """
name = "parcels"
data = "rows.jsonl"
target = "answer"
shares = { train = 0.5, dev = 0.25, test = 0.25 }
max_tokens = 8

[prompt]
user = "{text}"

[scorer]
kind = "exact"
"""

RECIPE = """
method = "leverage"
task = "task.toml"

[models]
actor = "hf:MODEL"

[settings]
anchor = "parcel desk:"
general = "general.jsonl"
held_out = 6
task_rows = 8
controls = ["sft", "general-only"]
shots = 1

[settings.mix]
task_share = 0.5

[settings.training]
learning_rate = 0.02
lora_rank = 4
lora_alpha = 8
batch_size = 8
checkpoint_every = 2
TUNING

[settings.tune]
sft_passes = [2]

[settings.sweep]
task_sizes = [4, 8]
general_sizes = [0, 10, 20, 30]
general_at = 8
seeds = [0, 1]

[budget]
failure_share = 1.0
"""


def write_world(folder: Path, *, tuning: str = "", general: int = 40, model: Path | None = None) -> Path:
    """Write task, general set and recipe into a folder, and return the recipe."""
    states = ("late", "lost", "here", "sent")
    rows = [
        {"text": f"n{number * 7} of u{number * 5 % 41}: {states[number % 4]} p{number}", "answer": states[number % 4]}
        for number in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.toml").write_text(TASK)
    asked = [{"prompt": f"copy the word w{number}", "completion": f"w{number}"} for number in range(general)]
    (folder / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    text = RECIPE.replace("MODEL", str(model or shared_model())).replace("TUNING", tuning)
    (folder / "recipe.toml").write_text(text)
    return folder / "recipe.toml"
