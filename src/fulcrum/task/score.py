"""What a scorer says of an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fulcrum.chat import Failure
from fulcrum.task.example import Example

Verdict = Literal["right", "wrong", "partial", "unparsable", "failed"]


@dataclass(frozen=True, slots=True)
class Score:
    """The worth of one answer.

    Attributes:
        value: 0..1; None if the call failed, so that a failure can never be averaged as a zero.
        verdict: `right` (1), `wrong` (0), `partial` (between), `unparsable` (an answer in which the scorer
            found nothing to judge: worth 0, but never a negative label), `failed` (no answer at all).
        feedback: what was wrong, for a person or a reflecting model; it may name the target, so it never
            reaches a model that answers the same example.
        details: figures of the scorer's own, such as `{"valid_json": True}`. Where the value weighs several things, as
            in a dialogue, `success` says whether what was asked for was achieved.
    """

    value: float | None
    verdict: Verdict
    feedback: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if (self.value is None) != (self.verdict == "failed"):
            raise ValueError("a score has a value if, and only if, the call did not fail")
        if self.value is not None and not 0.0 <= self.value <= 1.0:
            raise ValueError(f"a score is between 0 and 1, not {self.value}")

    @property
    def solved(self) -> bool:
        """True if the answer is fully right, or achieved what was asked for where the details say that apart."""
        return bool(self.details.get("success", self.verdict == "right"))


def right(feedback: str = "", **details: Any) -> Score:
    """Return the score of a right answer."""
    return Score(1.0, "right", feedback, details)


def wrong(feedback: str = "", **details: Any) -> Score:
    """Return the score of a wrong answer."""
    return Score(0.0, "wrong", feedback, details)


def unparsable(feedback: str = "", **details: Any) -> Score:
    """Return the score of an answer in which there is nothing to judge."""
    return Score(0.0, "unparsable", feedback, details)


def graded(value: float, feedback: str = "", **details: Any) -> Score:
    """Return the score of an answer that can be partly right."""
    verdict: Verdict = "right" if value >= 1.0 else "wrong" if value <= 0.0 else "partial"
    return Score(value, verdict, feedback, details)


def failed(failure: Failure, *, of: str | None = None) -> Score:
    """Return the score of a call that gave no answer, or of an answer for which a call `of` somebody else gave none."""
    details = {"failure": failure.kind, **({"of": of} if of else {})}
    return Score(None, "failed", f"{failure.kind}: {failure.detail}".rstrip(": "), details)


class Scorer(Protocol):
    """Compares a model's text with an example's target."""

    @property
    def needs_target(self) -> bool:
        """True if only an example with a target can be scored."""
        ...

    def score(self, example: Example, text: str) -> Score:
        """Return the worth of `text` as an answer to `example`.

        Raises:
            TaskError: the target itself is missing or malformed, which is a fault of the data.
        """
        ...

    def gold(self, example: Example) -> str:
        """Return an answer text that must score 1.0, made from the target (`fulcrum validate` checks it).

        Raises:
            TaskError: the target is missing or malformed.
        """
        ...

    def answer_key(self, text: str) -> str | None:
        """Return the final answer that stands in `text`, in one canonical form, or None if there is none.

        Two texts with the same key give the same answer: what a vote counts. It sees no target.
        """
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings that can change a score, for content-addressed stages."""
        ...
