"""The OpenAI chat protocol: the body of a request, and what a reply amounts to."""

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from fulcrum.chat.completion import Completion, Failure, FinishReason, Usage
from fulcrum.chat.message import ToolCall
from fulcrum.chat.model import Request
from fulcrum.chat.parsing import split_reasoning
from fulcrum.chat.trouble import Trouble, shorten
from fulcrum.hashing import seed_from

_FINISH_REASONS: dict[str | None, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_ANSWER_PARTS = frozenset({"text", "output_text"})
_BROKEN_OFF = frozenset({"abort", "error"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """The ways in which servers of the one protocol differ.

    Attributes:
        token_limit: the field that holds the most tokens to write.
        left_out: fields that the server does not take, see `Trouble.unsupported`; hosted reasoning models keep their
            own temperature.
        thinking: whether thinking is switched through the chat template (vLLM, SGLang, llama.cpp, `transformers
            serve`); a hosted API refuses the field.
    """

    token_limit: str = "max_tokens"
    left_out: frozenset[str] = frozenset()
    thinking: bool = False

    def after_refusal(self, trouble: Trouble) -> Self | None:
        """Return the dialect that a server's refusal of a request asks for, or None if it asks for none."""
        field = trouble.unsupported
        if field is None or field in self.left_out:
            return None
        if field == "max_tokens":
            return replace(self, token_limit="max_completion_tokens") if self.token_limit == field else None
        return replace(self, left_out=self.left_out | {field})


def request_body(request: Request, model: str, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON body that asks `model` for one completion.

    The seed depends on the sample index too: a server that honours seeds would answer repeated draws alike.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [message.to_json() for message in request.messages],
        dialect.token_limit: sampling.max_tokens,
        "temperature": sampling.temperature,
    }
    if sampling.temperature > 0:
        # 31 bits, because some servers keep seeds in a signed 32-bit integer.
        body["seed"] = seed_from(sampling.seed, request.sample) % 2**31
        if sampling.top_p < 1 or "top_p=1" not in dialect.left_out:
            body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logprobs:
        body["logprobs"] = True
    if request.tools:
        body["tools"] = [tool.to_json() for tool in request.tools]
    if dialect.thinking:
        body["chat_template_kwargs"] = {"enable_thinking": sampling.thinking}
    return {field: value for field, value in body.items() if field not in dialect.left_out}


_Text = Annotated[str, BeforeValidator(lambda given: "" if given is None else given)]
_Count = Annotated[int, BeforeValidator(lambda given: 0 if given is None else given)]
"""Servers write null where they have nothing to say; an answer that was paid for is not lost over it."""


class _Function(BaseModel):
    name: str
    arguments: Annotated[
        _Text, BeforeValidator(lambda given: json.dumps(given) if isinstance(given, dict) else given)
    ] = ""


class _ToolCall(BaseModel):
    id: _Text = ""
    function: _Function


class _Part(BaseModel):
    type: str = "text"
    text: _Text = ""
    thinking: "_Text | list[_Part]" = ""

    def thoughts(self) -> str:
        return self.thinking if isinstance(self.thinking, str) else "".join(part.text for part in self.thinking)


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None

    def split(self) -> tuple[str, str]:
        """Return the thinking and the answer, wherever the server has put them."""
        reasoning, content = self.reasoning_content or self.reasoning or "", self.content or ""
        if not isinstance(content, str):
            reasoning = reasoning or "".join(part.thoughts() for part in content)
            content = "".join(part.text for part in content if part.type in _ANSWER_PARTS)
        if reasoning:
            return reasoning, content
        # A server without a parser for reasoning leaves it in the text; `<think>` itself may stand in the prompt.
        return split_reasoning(content, opened="</think>" in content and "<think>" not in content)


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
    total_tokens: _Count = 0

    def known(self) -> Usage:
        """Return the tokens; some servers count thinking in the total alone."""
        return Usage(self.prompt_tokens, max(self.completion_tokens, self.total_tokens - self.prompt_tokens))


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
    model: str | None = None


class _Misread(BaseModel):
    """All that is read of a reply that is not understood; one that holds an error was not paid for."""

    usage: _Usage = _Usage()
    error: None = None


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
    choice, usage = reply.choices[0], reply.usage.known() if reply.usage else Usage()
    if choice.finish_reason in _BROKEN_OFF:
        said = f"the server broke the answer off (finish_reason {choice.finish_reason!r})"
        return Trouble("server", said, usage=usage)
    message = choice.message
    reasoning, content = message.split()
    completion = Completion(
        text=content,
        finish_reason=_FINISH_REASONS.get(choice.finish_reason, "stop"),
        usage=usage,
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
    try:
        usage = _Misread.model_validate_json(text).usage.known()
    except ValidationError:
        usage = None
    detail = f"the reply is not {expected} ({reason}): {text.strip() or 'no content'}"
    return Trouble("server", detail, misread=usage is not None, usage=usage or Usage())
