"""A task that only a supplement can solve, an actor that answers by the supplement, and a tiny generator to train.

Each thing has a secret colour. The actor says the colour that stands in the supplement's block, and knows by itself
only that snow is white. The generator begins as a tiny model that has learned to write a colour at random.
"""

import functools
import json
import random
from pathlib import Path

from fulcrum.chat import user
from fulcrum.supplement.forms import FORMS, FREE
from fulcrum.supplement.wording import WORDINGS
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.sft import finetune
from support.tiny import _session_folder, shared_model

SECRETS = {"ax": "red", "bo": "blue", "cy": "red", "du": "blue", "snow": "white"}
COLOURS = ("red", "blue")

TASK = """
name = "colours"
data = "rows.jsonl"
target = "colour"
shares = { train = 0.4, dev = 0.3, test = 0.3 }

[prompt]
user = "{number} {thing}"

[scorer]
kind = "exact"
"""

BOT = '''
import random
import re


def by_the_block(request):
    """Says the colour in the block; knows by itself only snow."""
    text = request.messages[-1].content
    with open("asked.txt", "a") as log:
        log.write(repr((text, request.sample)) + "\\n")
    if " snow" in text.partition("<supplement>")[0]:
        return "white"
    block = re.search(r"<supplement>(.*)</supplement>", text, re.DOTALL)
    colours = re.findall("red|blue", block[1]) if block else []
    return colours[0] if len(set(colours)) == 1 else "unknown"


def right(request):
    """Knows all."""
    thing = request.messages[-1].content.split()[1]
    return {"ax": "red", "bo": "blue", "cy": "red", "du": "blue", "snow": "white"}[thing]


def wrong(request):
    """Knows nothing, and says something new each time."""
    return "no " + request.messages[-1].content[-40:]


def write(request):
    """A generator that is no language model: a colour drawn at random."""
    asked = request.messages[-1].content
    return random.Random(f"{asked} {request.sample}").choice(("red", "blue"))


def down(request):
    """Cannot be reached."""
    raise OSError("down")


def deaf(request):
    """Never reads the block."""
    return "white" if " snow" in request.messages[-1].content else "grey"
'''

TALKS = '''
from fulcrum.chat import assistant, user
from fulcrum.task import Example, PromptTemplate, Task, failed, graded

SECRETS = {"ax": "red", "bo": "blue", "cy": "red", "du": "blue", "snow": "white"}


class Talk:
    """Two things are asked about, one after the other; each is worth half."""

    def __init__(self, example, question):
        self._things, self._right, self._failure, self.done = list(example.target), 0, None, False
        self.question, self.messages = question, question.messages

    def step(self, completion):
        self._right += completion.text == SECRETS[self._things.pop(0)]
        self._failure, self.done = completion.failure, not self._things or completion.failure is not None
        if not self.done:
            asked = user(f"{self.question.fields['number']} {self._things[0]}")
            self.messages = (*self.messages, assistant(completion.text), asked)

    def score(self):
        return failed(self._failure) if self._failure else graded(self._right / 2)


class Talks:
    def __call__(self, example, question):
        return Talk(example, question)

    def fingerprint(self):
        return {"kind": "talks"}


def task():
    things = list(SECRETS)

    def examples(first, count):
        pairs = [(number, things[number % 5], things[(number // 5) % 5]) for number in range(first, first + count)]
        return [Example({"number": number, "thing": one}, target=(one, two)) for number, one, two in pairs]

    splits = {"train": examples(0, 25), "dev": examples(25, 25), "test": examples(50, 25)}
    return Task("talks", splits, PromptTemplate("{number} {thing}"), None, environment=Talks(), max_tokens=8)
'''

RECIPE = """
method = "supplement"
task = "task.toml"

[models]
actor = "python:colour_bots:by_the_block"
generator = "hf:{generator}"

[settings]
wording = "lab"
max_tokens = 40
samples = 2
rounds = 2
pool = 8
own_forms = 1
concats = 1
votes = 2
static = 3

[settings.warm_start]
tuning = "full"
learning_rate = 3e-3
epochs = 6
batch_size = 8

[settings.preference]
tuning = "full"
learning_rate = 3e-4
epochs = 2
batch_size = 8

[budget]
failure_share = 1.0
"""


def write_colours(folder: Path, generator: Path, rows: int = 60) -> Path:
    """Write task, data, actors and recipe into a folder, and return the recipe."""
    things = list(SECRETS)
    data = [
        {"number": number, "thing": (thing := things[number % len(things)]), "colour": SECRETS[thing]}
        for number in range(rows)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    (folder / "task.toml").write_text(TASK)
    (folder / "colour_bots.py").write_text(BOT)
    (folder / "colour_talks.py").write_text(TALKS)
    (folder / "recipe.toml").write_text(RECIPE.format(generator=generator))
    return folder / "recipe.toml"


@functools.cache
def colour_generator() -> Path:
    """Return a tiny model that answers every request for a supplement with a colour drawn at random."""
    rng = random.Random(0)
    wording = WORDINGS["lab"]
    rows = [
        ChatRow(
            wording.request((user(f"{rng.randrange(100)} {rng.choice(list(SECRETS))}"),), rng.choice((*FORMS, FREE))),
            rng.choice(COLOURS),
        )
        for _ in range(256)
    ]
    settings = TrainingSettings(tuning="full", learning_rate=3e-3, steps=60, batch_size=16, micro_batch_size=16)
    return finetune(shared_model(), rows, _session_folder() / "colour-generator", settings).path


def say_by_the_block(prompt: str) -> str:
    """The actor `by_the_block`, by whose answers a failure cannot be mistaken for a wrong one."""
    question, _, block = prompt.partition("<supplement>")
    if " snow" in question:
        return "white"
    found = {colour for colour in ("red", "blue") if colour in block}
    return found.pop() if len(found) == 1 else "unknown"
