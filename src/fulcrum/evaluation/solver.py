"""Solvers: one way to answer. The methods and their controls all have this one shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fulcrum.chat import ChatModel, Completion, Message, Request, Sampling, complete
from fulcrum.task import Question

RoleOfSolver = Literal["baseline", "method", "control", "ceiling"]
"""What a solver is in a comparison: what the others are measured against, what is being proved, what could explain
the gain away, or what could be had at best."""


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


def requests_for(turns: Sequence[Turn], sampling: Sampling, *, samples: int = 1) -> list[Request]:
    """Return the requests that draw `samples` completions for every turn, those of one turn side by side.

    Attempt `i` of an evaluation uses the sample indices `i * samples` and up, so no two attempts share a draw, and
    one draw a turn at attempts 0..n-1 is the same n calls as n draws a turn at attempt 0: the store answers one
    from the other.
    """
    return [
        Request(turn.messages, sampling, turn.question.tools, turn.sample * samples + index)
        for turn in turns
        for index in range(samples)
    ]


def draw(model: ChatModel, turns: Sequence[Turn], sampling: Sampling, samples: int) -> list[list[Completion]]:
    """Return `samples` completions for every turn, drawn in one batch."""
    completions = complete(model, requests_for(turns, sampling, samples=samples))
    return [completions[start : start + samples] for start in range(0, len(completions), samples)]


def failure_to_pass_on(completions: Sequence[Completion]) -> Completion | None:
    """Return the failure that an answer made of several completions must become, or None if it can be made.

    That is the first failure if none of the completions is usable, and always a `budget` failure: a vote among
    the few calls that were still paid for is not the vote that was asked for.
    """
    for completion in completions:
        if completion.failure is not None and completion.failure.kind == "budget":
            return completion
    return None if any(completion.ok for completion in completions) else completions[0]
