"""What a model is trained on: rows of messages.

A row on disk is one line of JSON in the conversational form that TRL and most other trainers read:
`{"prompt": [message, ...], "completion": [message]}` or `{"prompt": ..., "chosen": ..., "rejected": ...}`, with `tools`
where the prompt offers some.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from fulcrum.chat.message import Message, Tool, assistant
from fulcrum.errors import TrainingError
from fulcrum.hashing import canonical_json


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A conversation and the answer to learn; only the answer bears loss, whatever the prompt holds.

    Attributes:
        prompt: what was said before.
        response: the answer.
        tools: what the prompt offers beside, as it will when the model answers.
    """

    prompt: tuple[Message, ...]
    response: str
    tools: tuple[Tool, ...] = field(default=(), hash=False)  # a schema is a mapping, which has no hash

    def to_json(self) -> dict[str, Any]:
        """Return the row in TRL's prompt-completion form."""
        row: dict[str, Any] = {"prompt": _to_json(self.prompt), "completion": _to_json([assistant(self.response)])}
        return row | ({"tools": [tool.to_json() for tool in self.tools]} if self.tools else {})

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        tools = tuple(Tool.from_json(tool) for tool in data.get("tools", ()))
        return cls(_from_json(data["prompt"]), _from_json(data["completion"])[0].content, tools)


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A conversation, the better answer and the worse one."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    def to_json(self) -> dict[str, Any]:
        """Return the row in TRL's preference form."""
        return {
            "prompt": _to_json(self.prompt),
            "chosen": _to_json([assistant(self.chosen)]),
            "rejected": _to_json([assistant(self.rejected)]),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        chosen, rejected = (_from_json(data[name])[0].content for name in ("chosen", "rejected"))
        return cls(_from_json(data["prompt"]), chosen, rejected)


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A conversation that a policy shall complete."""

    prompt: tuple[Message, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the row in TRL's prompt-only form."""
        return {"prompt": _to_json(self.prompt)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(_from_json(data["prompt"]))


def _to_json(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [message.to_json() for message in messages]


def _from_json(messages: Iterable[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message.from_json(message) for message in messages)


Row = TypeVar("Row", ChatRow, PreferenceRow, PromptRow)


def write_rows(path: Path, rows: Iterable[ChatRow | PreferenceRow | PromptRow]) -> None:
    """Write one row a line; the same rows always give the same bytes."""
    path.write_text("".join(canonical_json(row.to_json()) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote.

    Raises:
        TrainingError: the file cannot be read, or a line is no row of this kind; the text names the line.
    """
    rows: list[Row] = []
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # JSON may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot read the training rows: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(kind.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise TrainingError(f"{path}:{number}: not a {kind.__name__} as JSON: {error!r}") from error
    return rows
