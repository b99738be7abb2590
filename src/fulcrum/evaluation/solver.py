"""Solvers: one way to answer. The methods and their controls all have this one shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fulcrum.chat import Completion, Message
from fulcrum.task import Question


@dataclass(frozen=True, slots=True)
class Turn:
    """The point at which a solver is asked to speak.

    Attributes:
        question: the public side of the example.
        messages: the conversation so far: the prompt, or a dialogue in which the solver speaks next.
        sample: index of this attempt, for repeated evaluation.
    """

    question: Question
    messages: tuple[Message, ...]
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a solver says, and how it came to it.

    Attributes:
        completion: the final text, or the failure passed on from the model that failed.
        trace: what a person needs to follow the answer (supplement, strategies used, votes).
    """

    completion: Completion
    trace: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Solver(Protocol):
    """Answers turns in batches. Holds recorded models, and no target."""

    @property
    def name(self) -> str:
        """Short name, unique in an evaluation, such as `direct` or `self-consistency@9`."""
        ...

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer every turn, in order; a failed call becomes a failed answer, never an exception."""
        ...
