"""What comes back from a model: an answer, or a failure that says what kind it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from fulcrum.chat.message import Message, ToolCall

FailureKind = Literal[
    "timeout", "rate_limit", "server", "too_long", "invalid", "refused", "truncated", "empty", "budget"
]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]

_PAID: frozenset[str] = frozenset({"refused", "truncated", "empty"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call gave no usable answer. Never a label, never a score of zero.

    `timeout` no answer in time; `rate_limit` the endpoint asked us to wait too often; `server` the endpoint
    broke or answered something that is not the protocol, or refused the request itself (unknown model, bad
    key); `too_long` the prompt does not fit the model's context; `invalid` the prompt cannot be read (its chat
    template refuses it, or it is no UTF-8); `refused` the model or its filter declined; `truncated` the token
    limit cut the answer; `empty` the model ended without a word; `budget` the call was never made, because the
    budget is used up.
    """

    kind: FailureKind
    detail: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(FailureKind):
            raise ValueError(f"unknown failure kind {self.kind!r}")

    @property
    def paid(self) -> bool:
        """True if the failure is the model's own answer: to ask again would be to pay again for the same."""
        return self.kind in _PAID


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the model or endpoint counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model, or the failure that stands in its place.

    Attributes:
        text: what the model wrote; with a `truncated` failure the part that fitted.
        finish_reason: why it ended.
        usage: tokens in and out.
        seconds: wall time of the call; in a batch, the batch's time divided by its rows.
        model: fingerprint of what answered (endpoint's model name, or hash of local weights).
        failure: set if the answer must not be used.
        tool_calls: tools the model asks to run.
        reasoning: thinking that the endpoint or template keeps apart from the answer.
        logprobs: log-probability of each completion token, where asked for and offered.
        from_store: true if no call was made because the store had the answer.
    """

    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    seconds: float = 0.0
    model: str = ""
    failure: Failure | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    logprobs: tuple[float, ...] | None = None
    from_store: bool = False

    @classmethod
    def failed(cls, kind: FailureKind, detail: str = "", **known: Any) -> Self:
        """Return a completion that carries a failure and no text."""
        return cls(text="", finish_reason="error", failure=Failure(kind, detail), **known)

    @property
    def ok(self) -> bool:
        """True if the answer may be used."""
        return self.failure is None

    def message(self) -> Message:
        """Return the answer as the assistant's next message."""
        return Message("assistant", self.text, self.tool_calls)

    def to_json(self) -> dict[str, Any]:
        """Return all that a store must keep; `from_store` is not part of it."""
        data: dict[str, Any] = {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "usage": [self.usage.prompt_tokens, self.usage.completion_tokens],
            "seconds": round(self.seconds, 6),
            "model": self.model,
        }
        if self.failure is not None:
            data["failure"] = {"kind": self.failure.kind, "detail": self.failure.detail}
        if self.tool_calls:
            data["tool_calls"] = [call.to_json() for call in self.tool_calls]
        if self.reasoning:
            data["reasoning"] = self.reasoning
        if self.logprobs is not None:
            data["logprobs"] = list(self.logprobs)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        failure, logprobs = data.get("failure"), data.get("logprobs")
        return cls(
            text=data["text"],
            finish_reason=data["finish_reason"],
            usage=Usage(*data["usage"]),
            seconds=data["seconds"],
            model=data["model"],
            failure=Failure(failure["kind"], failure["detail"]) if failure else None,
            tool_calls=tuple(ToolCall.from_json(call) for call in data.get("tool_calls", ())),
            reasoning=data.get("reasoning", ""),
            logprobs=tuple(logprobs) if logprobs is not None else None,
        )
