"""The OpenAI chat protocol: the body of a request, and what a reply amounts to."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from fulcrum.chat.completion import Completion, Failure, FailureKind, FinishReason, Usage
from fulcrum.chat.message import ToolCall
from fulcrum.chat.model import Request
from fulcrum.chat.parsing import split_reasoning
from fulcrum.hashing import seed_from

_FINISH_REASONS: dict[str | None, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_KIND_OF_CODE: Mapping[str, FailureKind] = {
    "content_filter": "refused",
    "context_length_exceeded": "too_long",
    "invalid_prompt": "invalid",
}
_BROKEN_OFF = frozenset({"abort", "error"})
_BAD_REQUEST = frozenset({400, 403, 422})
_OVERLOAD = frozenset({429, 503, 529})
_PASSING = frozenset({408, 409, 425, 429})
_LONGEST_WAIT = 120.0
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a try of a call brought no answer of the model.

    Attributes:
        kind: the failure that it is, if no other try goes better.
        detail: the server's own words where there are any.
        status: HTTP status; None if there was no reply, or one with status 200 that is not the protocol.
        wait: seconds that the endpoint asks everybody to wait.
        lasting: whether the server said that waiting will not help.
    """

    kind: FailureKind
    detail: str
    status: int | None = None
    wait: float | None = None
    lasting: bool = False

    @property
    def passing(self) -> bool:
        """True if another try may go better."""
        if self.lasting or (self.wait is not None and self.wait > _LONGEST_WAIT):
            return False
        return self.status is None or self.status in _PASSING or self.status >= 500

    @property
    def overload(self) -> bool:
        """True if the endpoint was too busy to take the call."""
        return self.status in _OVERLOAD


@dataclass(frozen=True, slots=True)
class Dialect:
    """The ways in which servers of the one protocol differ.

    Attributes:
        token_limit: the field that holds the most tokens to write.
        logprobs: whether log-probabilities are offered.
        sampling: whether the caller chooses temperature and top_p; hosted reasoning models keep their own.
        thinking: whether thinking is switched through the chat template (vLLM, SGLang, llama.cpp, `transformers
            serve`); a hosted API refuses the field.
    """

    token_limit: str = "max_tokens"
    logprobs: bool = True
    sampling: bool = True
    thinking: bool = False

    def after_refusal(self, trouble: "Trouble") -> Self | None:
        """Return the dialect that a server's refusal of a request asks for, or None if it asks for none."""
        message = trouble.detail
        if trouble.status not in _BAD_REQUEST:
            return None
        if self.token_limit == "max_tokens" and "max_completion_tokens" in message:
            return replace(self, token_limit="max_completion_tokens")
        if self.logprobs and "logprobs" in message:
            return replace(self, logprobs=False)
        if self.sampling and ("temperature" in message or "top_p" in message):
            return replace(self, sampling=False)
        return None


def request_body(request: Request, model: str, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON body that asks `model` for one completion.

    The seed depends on the sample index too: a server that honours seeds would answer repeated draws alike.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [message.to_json() for message in request.messages],
        dialect.token_limit: sampling.max_tokens,
    }
    if dialect.sampling:
        body["temperature"] = sampling.temperature
    if sampling.temperature > 0:
        # 31 bits, because some servers keep seeds in a signed 32-bit integer.
        body |= {"seed": seed_from(sampling.seed, request.sample) % 2**31}
        body |= {"top_p": sampling.top_p} if dialect.sampling else {}
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logprobs and dialect.logprobs:
        body["logprobs"] = True
    if request.tools:
        body["tools"] = [tool.to_json() for tool in request.tools]
    if dialect.thinking:
        body["chat_template_kwargs"] = {"enable_thinking": sampling.thinking}
    return body


_Text = Annotated[str, BeforeValidator(lambda given: "" if given is None else given)]
_Count = Annotated[int, BeforeValidator(lambda given: 0 if given is None else given)]
"""Servers write null where they have nothing to say; an answer that was paid for is not lost over it."""


class _Function(BaseModel):
    name: str
    arguments: _Text = ""


class _ToolCall(BaseModel):
    id: _Text = ""
    function: _Function


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Token(BaseModel):
    logprob: float


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
    model: str | None = None


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


def read_reply(text: str, model: str, seconds: float) -> Completion | Trouble:
    """Return what a reply with status 200 amounts to: trouble if it is not the protocol, or half an answer.

    Args:
        text: body of the reply.
        model: name of the model that was asked, for servers that do not say it.
        seconds: wall time of the call.
    """
    try:
        reply = _Reply.model_validate_json(text)
    except ValidationError as error:
        return _foreign("a chat completion", text, error)
    choice = reply.choices[0]
    if choice.finish_reason in _BROKEN_OFF:
        return Trouble("server", f"the server broke the answer off (finish_reason {choice.finish_reason!r})")
    message = choice.message
    reasoning, content = message.reasoning_content or message.reasoning or "", message.content or ""
    if not reasoning:
        # A server without a parser for reasoning leaves it in the text; `<think>` itself may stand in the prompt.
        reasoning, content = split_reasoning(content, opened="</think>" in content and "<think>" not in content)
    completion = Completion(
        text=content,
        finish_reason=_FINISH_REASONS.get(choice.finish_reason, "stop"),
        usage=Usage(reply.usage.prompt_tokens, reply.usage.completion_tokens) if reply.usage else Usage(),
        seconds=seconds,
        model=reply.model or model,
        tool_calls=tuple(
            ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()
        ),
        reasoning=reasoning,
        logprobs=_logprobs(choice.logprobs),
    )
    return replace(completion, failure=_failure(completion, message.refusal))


def _logprobs(given: _Logprobs | None) -> tuple[float, ...] | None:
    return tuple(token.logprob for token in given.content) if given and given.content is not None else None


def _failure(completion: Completion, refusal: str | None) -> Failure | None:
    if refusal:
        return Failure("refused", shorten(refusal))
    if completion.finish_reason == "content_filter":
        return Failure("refused", "the endpoint's content filter stopped the answer")
    if completion.finish_reason == "length":
        return Failure("truncated", f"cut after {completion.usage.completion_tokens} tokens; raise max_tokens")
    if not completion.text.strip() and not completion.tool_calls:
        return Failure("empty", "the answer holds no text" + (", only reasoning" if completion.reasoning else ""))
    return None


def read_models(text: str) -> list[str] | Trouble:
    """Return the names in a reply to `GET /models`."""
    try:
        return [model.id for model in _Models.model_validate_json(text).data]
    except ValidationError as error:
        return _foreign("a list of models", text, error)


def _foreign(expected: str, text: str, error: ValidationError) -> Trouble:
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    reason = f"{where}: {problem['msg']}" if where else problem["msg"]
    return Trouble("server", f"the reply is not {expected} ({reason}): {shorten(text) or 'no content'}")


def read_error(status: int, headers: Mapping[str, str], text: str) -> Trouble:
    """Return what a reply with an error status amounts to."""
    code, message = _error_of(text)
    detail = f"HTTP {status}: {shorten(message) or 'no content'}"
    if code in _KIND_OF_CODE:
        return Trouble(_KIND_OF_CODE[code], detail, status)
    if status == 429:
        wait = retry_after(headers, datetime.now(UTC))
        if wait is not None and wait > _LONGEST_WAIT:
            detail = f"{detail} (asks to wait {wait:.0f} s)"
        return Trouble("rate_limit", detail, status, wait, lasting=code == "insufficient_quota")
    kind: FailureKind = "timeout" if status in (408, 504) else "server"
    return Trouble(kind, detail, status, retry_after(headers, datetime.now(UTC)))


def _error_of(text: str) -> tuple[str, str]:
    """Return the code and the message of an error reply, in the forms that servers give it."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return "", text
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    error: Any = fields.get("error", fields)
    if not isinstance(error, dict):
        return "", str(error)
    known = cast("dict[str, Any]", error)
    message = known.get("message") or known.get("detail")
    return str(known.get("code")), message if isinstance(message, str) else text


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait, given as seconds or as an HTTP date, or None."""
    given = headers.get("retry-after")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            until = parsedate_to_datetime(given)
        except ValueError:
            return None
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    return None if math.isnan(seconds) else max(0.0, seconds)


def shorten(text: str) -> str:
    """Return a server's words on one line, fit for a failure's detail."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."
