"""Examples: an input, its hidden target, and what a model is allowed to see of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fulcrum.chat import Message, Tool
from fulcrum.errors import TaskError
from fulcrum.hashing import content_hash

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Question:
    """The public side of an example: all that any generating code is ever given.

    Attributes:
        id: the example's content hash.
        messages: the prompt that the task makes of the input.
        tools: tools that the task offers.
        fields: the named input fields that the prompt was made from.
    """

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Example:
    """One input with its hidden target.

    Attributes:
        fields: the named parts of the input that a prompt template may show.
        target: the right answer, in the form that the task's scorer reads; None if the task has no labels.
        metadata: facts for analysis (difficulty, slice); no prompt can show them.
        source: where the example came from, as `file:line`, for messages to people.
        id: content hash of the input alone: the same input can never stand in two splits.

    Raises:
        TaskError: a field has no form in JSON, and so no content hash.
    """

    fields: Mapping[str, Any]
    target: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    source: str = ""
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "id", content_hash(dict(self.fields)))
        except (TypeError, ValueError) as error:
            raise TaskError(f"{self.source or 'example'}: a field has no form in JSON: {error}") from error
