"""What all scorers share: a scorer is its own settings."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from fulcrum.errors import TaskError
from fulcrum.settings import Settings
from fulcrum.task.example import Example
from fulcrum.task.score import Score


class ConfiguredScorer(Settings, ABC):
    """Base of the scorers that a task file can name; the fields are the keys of its `[scorer]` table.

    Attributes:
        kind: the name in a task file.
    """

    kind: ClassVar[str]

    @property
    def needs_target(self) -> bool:
        """True if every example must have a target."""
        return True

    def located(self, folder: Path) -> Self:
        """Return the scorer with the files it names taken relative to `folder`.

        Raises:
            TaskError: something that it names is not there.
        """
        return self

    @abstractmethod
    def score(self, example: Example, text: str) -> Score:
        """Return the worth of `text` as an answer to `example`."""

    @abstractmethod
    def gold(self, example: Example) -> str:
        """Return an answer text that must score 1.0."""

    def answer_key(self, text: str) -> str | None:
        """Return the text without the space around it."""
        return text.strip() or None

    def fingerprint(self) -> dict[str, Any]:
        """Return kind and settings."""
        return {"kind": self.kind, **self.model_dump(mode="json")}


def target_text(example: Example) -> str:
    """Return a target that is a text or a number, as text.

    Raises:
        TaskError: it is missing or neither.
    """
    if isinstance(example.target, str | int | float) and not isinstance(example.target, bool):
        return str(example.target)
    raise target_error(example, "a text or a number")


def target_error(example: Example, wanted: str) -> TaskError:
    """Return the error for a target that is missing or malformed."""
    given = "no target" if example.target is None else f"target {example.target!r:.80}"
    return TaskError(f"{example.source or example.id}: {given}; the scorer needs {wanted}")
