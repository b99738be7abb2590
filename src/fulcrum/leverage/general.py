"""General rows: where they come from, which are held out, and that none of them is the test in disguise."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from fulcrum.chat import Message
from fulcrum.errors import SettingsError, TaskError
from fulcrum.hashing import content_hash
from fulcrum.lazy import load
from fulcrum.settings import Settings, nearest
from fulcrum.task import Example, Task
from fulcrum.task.files import Row, made_of, read_jsonl, read_messages
from fulcrum.task.leakage import task_leakage
from fulcrum.task.load import TaskSpec
from fulcrum.training.rows import ChatRow

SETS = {"lab:general": "fulcrum.lab.instructions:general_rows"}
"""General sets that need no file, by name; each is called with the number of rows and the seed."""


class GeneralOptions(Settings):
    """Options behind the question mark of a built-in set."""

    rows: int = Field(default=20_000, ge=1)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GeneralRows:
    """A general set, cut in two by content hash: the cut is the same for any number of rows used.

    Attributes:
        rows: to train on, in an order that is random and always the same, so that fewer are part of more.
        held_out: never trained on; their loss tells what the model can still do.
        dropped: rows left out because they hold inputs of the task's dev or test split.
        fingerprint: hash of all of that.
    """

    rows: tuple[ChatRow, ...]
    held_out: tuple[ChatRow, ...]
    dropped: int
    fingerprint: str


def load_general(spec: str, task: Task, held_out: int, leaks: Literal["refuse", "drop"] = "refuse") -> GeneralRows:
    """Return the general set that a name stands for: `lab:general?rows=20000&seed=0`, or a JSONL file.

    A line of the file is `{"prompt": ..., "completion": ...}`, with messages or plain texts, or `{"messages": [...]}`
    whose last message is the assistant's.

    Args:
        spec: name or path.
        task: whose dev and test inputs must not stand in it.
        held_out: rows to keep from training.
        leaks: `refuse` them, or `drop` them and count.

    Raises:
        SettingsError: no such set, a line is no row, too few rows, or rows hold what the task tests.
    """
    rows = list({content_hash(row.to_json()): row for row in _read(spec)}.items())
    found = task_leakage(task, [(row.prompt, row.response) for _, row in rows])
    if not found.clean and leaks == "refuse":
        row, question = (found.exact or found.near)[0]
        raise SettingsError(
            f"{spec}: {len(found.rows)} of {len(rows)} general rows hold dev or test inputs of {task.name} "
            f"(such as {found.inputs[question][:60]!r}, in the row that answers {rows[row][1].response[:40]!r}), so "
            'a score would be memory; remove them, or set general_leaks = "drop"'
        )
    kept = sorted((one for index, one in enumerate(rows) if index not in found.rows), key=lambda one: one[0])
    if len(kept) <= held_out:
        raise SettingsError(
            f"{spec}: has {len(kept)} rows, and held_out wants {held_out} of them; lower held_out, or give more rows"
        )
    ordered = tuple(row for _, row in kept)
    identity = content_hash([held_out, [key for key, _ in kept]])
    return GeneralRows(ordered[held_out:], ordered[:held_out], len(found.rows), identity)


def _read(spec: str) -> list[ChatRow]:
    parsed = TaskSpec.parse(spec)
    name = spec.partition("?")[0]
    if name in SETS:
        options = parsed.read_options(GeneralOptions)
        return [ChatRow(prompt, response) for prompt, response in load(SETS[name])(options.rows, options.seed)]
    try:
        return made_of(list(read_jsonl(Path(spec))), _row)
    except OSError as error:
        near = nearest(name, list(SETS)) or f"; give a JSONL file, or one of {', '.join(SETS)}"
        raise SettingsError(f"general: {spec!r} cannot be read ({error}){near}") from error
    except TaskError as error:
        raise SettingsError(str(error)) from error


def _row(row: Row) -> ChatRow:
    try:
        if "messages" in row.values:
            *prompt, last = read_messages(row.values["messages"])
        else:
            prompt, (last,) = _turns(row, "prompt", "user"), _turns(row, "completion", "assistant")
    except ValueError as error:
        raise TaskError(
            f"{row.source}: no row ({error}); write prompt and completion, or messages that end with the assistant's"
        ) from error
    if last.role != "assistant" or not last.content or not prompt:
        raise TaskError(f"{row.source}: no row: it must end with what an assistant says to somebody")
    return ChatRow(tuple(prompt), last.content)


def _turns(row: Row, column: str, role: Literal["user", "assistant"]) -> tuple[Message, ...]:
    if column not in row.values:
        raise ValueError(f"{column} is missing")
    data = row.values[column]
    return (Message(role, data),) if isinstance(data, str) else read_messages(data)


def task_rows(task: Task, size: int | None, seed: int, order: Literal["shuffled", "given"]) -> list[ChatRow]:
    """Return the first `size` training rows of a task with their gold answers; fewer are part of more.

    Args:
        task: whose train split.
        size: how many; None means all.
        seed: which rows come first.
        order: `shuffled` deals the split by seed. `given` keeps its order and lets the seed choose where in it to
            begin: for a split that is dealt evenly already, so that few rows in a row show every kind.

    Raises:
        TaskError: there are not so many.
    """
    examples = list(task.examples("train"))
    if size is not None and size > len(examples):
        raise TaskError(f"{task.name}: {size} task rows asked for, the train split has {len(examples)}")
    if order == "shuffled":
        examples.sort(key=lambda example: content_hash([seed, example.id]))
    elif seed:
        start = seed * len(examples) // _STARTS % len(examples)
        examples = examples[start:] + examples[:start]
    chosen = examples[: size if size is not None else len(examples)]
    return [gold_row(task, example) for example in chosen]


def gold_row(task: Task, example: Example) -> ChatRow:
    """Return an example as its question is asked, tools included, with the gold answer."""
    question = task.question(example)
    return ChatRow(question.messages, task.gold(example), question.tools)


_STARTS = 8
"""Places in a split where the rows of a seed can begin."""


def vocabulary(rows: Sequence[ChatRow], count: int = 500) -> list[str]:
    """Return the words of the first rows."""
    return [word for row in rows[:count] for message in row.prompt for word in message.content.lower().split()]
