"""The body of a chat request: read strictly where we answer it, touched as little as possible where another does."""

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from fulcrum.chat import Message, Request, Role, Sampling, Tool, ToolCall
from fulcrum.serving.errors import ApiError

Body = dict[str, Any]
Checked = TypeVar("Checked", bound=BaseModel)

_ROLES: Mapping[str, Role] = {"developer": "system"}
"""Roles that models know by another name."""


def _written(text: str) -> str:
    """Refuse half an emoji and the like: JSON can hold it, a tokenizer cannot read it."""
    text.encode()
    return text


_Text = Annotated[str, AfterValidator(_written)]


class _Part(BaseModel):
    type: str
    text: _Text | None = None


class _Function(BaseModel):
    name: _Text
    arguments: _Text = ""


class _ToolCall(BaseModel):
    id: _Text
    function: _Function


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: _Text | list[_Part] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: _Text | None = None


class _Conversation(BaseModel):
    messages: Annotated[list[_Message], Field(min_length=1)]


class _ToolFunction(BaseModel):
    name: _Text
    description: _Text | None = None
    parameters: dict[str, Any] | None = None


class _Tool(BaseModel):
    type: Literal["function"]
    function: _ToolFunction


class _ResponseFormat(BaseModel):
    type: Literal["text"]


class _StreamOptions(BaseModel):
    include_usage: bool | None = None


class Question(_Conversation):
    """A request that a model in this process shall answer; what it cannot do is refused, not overlooked.

    Null means not given, as everywhere in the protocol.
    """

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: _Text | Annotated[list[_Text], Field(max_length=16)] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    response_format: _ResponseFormat | None = None
    logprobs: Literal[False] | None = None

    def requests(self, max_tokens: int) -> list[Request]:
        """Return a request for each of the `n` answers wanted.

        Without a temperature the answer is greedy, as it was when the artifact was measured; without a seed, a
        drawn answer is another one each time.

        Args:
            max_tokens: limit of an answer, if the client set none.
        """
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        sampling = Sampling(
            temperature=self.temperature or 0.0,
            top_p=self.top_p or 1.0,
            max_tokens=self.max_completion_tokens or self.max_tokens or max_tokens,
            stop=tuple(text for text in stop if text),
            seed=secrets.randbits(31) if self.seed is None else self.seed,
        )
        tools = () if self.tool_choice == "none" else tuple(_tool(tool) for tool in self.tools or ())
        messages = tuple(_message(message, text_only=True) for message in self.messages)
        return [Request(messages, sampling, tools, sample=sample) for sample in range(self.n or 1)]


def parse_body(content: bytes) -> Body:
    """Return the JSON object that a body holds.

    Raises:
        ApiError: 400, if it holds none.
    """
    try:
        body = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        told = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
        raise ApiError(400, f"The body {told[:200]}", "invalid_json") from error
    if not isinstance(body, dict):
        raise ApiError(400, "The body is JSON, but not an object", "invalid_json")
    return cast(Body, body)


def read_conversation(body: Body) -> Request:
    """Return what the text of a request is, for one who adds help to it: its messages, without images and the like.

    Raises:
        ApiError: 400, if the messages are not such as the protocol describes.
    """
    read = _checked(_Conversation, body)
    return Request(tuple(_message(message, text_only=False) for message in read.messages))


def read_question(body: Body) -> Question:
    """Read a request that a model in this process shall answer.

    Raises:
        ApiError: 400, if a field is not such as the protocol describes, or asks for what such models cannot do.
    """
    return _checked(Question, body)


def add_help(messages: Sequence[Any], before: Sequence[Message], after: Sequence[Message]) -> list[Any]:
    """Return the messages of a body with what was added to them, and everything else in them as it was.

    Args:
        messages: the messages as they came.
        before: the same as read by `read_conversation`.
        after: the same with help: messages that are new, or longer.

    Raises:
        ValueError: something that stood in `before` is missing in `after`: that is no addition.
    """
    helped: list[Any] = []
    place = 0
    for index, message in enumerate(after):
        spare = len(after) - index > len(before) - place
        if place < len(before) and _continues(before[place], message, spare):
            helped.append(_extended(messages[place], before[place].content, message.content))
            place += 1
        else:
            helped.append(message.to_json())
    if place < len(before):
        raise ValueError(f"the {before[place].role} message {place + 1} of the request is gone")
    return helped


def encode_body(body: Body) -> bytes:
    """Return a body as it is sent."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _continues(before: Message, after: Message, spare: bool) -> bool:
    """Return true if `after` is `before`, perhaps with more text.

    With messages to spare, one that merely contains the old text may be new (help that repeats it); it counts as the
    old one only if it begins or ends with it.
    """
    same = (before.role, before.tool_calls, before.tool_call_id) == (after.role, after.tool_calls, after.tool_call_id)
    if not same or before.content == after.content:
        return same
    if spare:
        return bool(before.content) and (
            after.content.startswith(before.content) or after.content.endswith(before.content)
        )
    return before.content in after.content


def _extended(raw: Any, old: str, new: str) -> Any:
    if old == new:
        return raw
    content = raw.get("content")
    if isinstance(content, list):
        front, _, end = new.partition(old) if old else ("", "", new)
        parts = [*_text_part(front), *cast(list[Any], content), *_text_part(end)]
        return {**raw, "content": parts}
    return {**raw, "content": new}


def _text_part(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text.strip("\n")}] if text.strip() else []


def _message(read: _Message, *, text_only: bool) -> Message:
    content = read.content
    if isinstance(content, list):
        foreign = [part.type for part in content if part.text is None]
        if foreign and text_only:
            told = f"A message holds a part of type {foreign[0]!r}; this model reads text only"
            raise ApiError(400, told, "unsupported_content", "messages")
        content = "\n".join(part.text for part in content if part.text is not None)
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in read.tool_calls or ())
    role = _ROLES.get(read.role) or cast(Role, read.role)
    return Message(role, content or "", calls, read.tool_call_id)


def _tool(read: _Tool) -> Tool:
    return Tool(read.function.name, read.function.description or "", read.function.parameters or {})


def _checked(kind: type[Checked], body: Body) -> Checked:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else None
        path = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{path or 'body'}: {first['msg']}", "invalid_value", field) from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large for a number")
    return number
