"""What a client gets: whole answers, streams of chunks, lists of models, headers."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fulcrum.chat import Completion, Failure, Usage
from fulcrum.serving.errors import ApiError

RawHeaders = list[tuple[bytes, bytes]]

_STATUS_OF_FAILURE = {"timeout": 504, "rate_limit": 429, "server": 502, "budget": 503}
_CODE_OF_BAD_PROMPT = {"too_long": "context_length_exceeded", "invalid": "invalid_prompt"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way to the client.

    Attributes:
        status: HTTP status.
        headers: end-to-end headers, as they are sent.
        chunks: the body, each piece as soon as it is there.
    """

    status: int
    headers: RawHeaders
    chunks: AsyncIterator[bytes]


def json_reply(data: Any, status: int = 200) -> Reply:
    """Return a whole JSON answer."""
    content = json.dumps(data).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    return Reply(status, headers, _in_turn([content]))


def event_reply(events: Iterable[Any]) -> Reply:
    """Return a stream of server-sent events."""
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    return Reply(200, headers, _in_turn([*(_event(json.dumps(data)) for data in events), _event("[DONE]")]))


def model_entry(name: str, created: int) -> dict[str, Any]:
    """Return a model as `/v1/models` lists it."""
    return {"id": name, "object": "model", "created": created, "owned_by": "fulcrum"}


def check_usable(*failures: Failure | None) -> None:
    """Refuse what is no answer. Truncated, refused and empty answers are answers: the finish reason tells.

    Args:
        failures: of each completion.

    Raises:
        ApiError: with the status that fits the first failure.
    """
    for failure in failures:
        if failure is None or failure.paid:
            continue
        told = f"The model gave no answer: {failure.kind}: {failure.detail}"
        if code := _CODE_OF_BAD_PROMPT.get(failure.kind):
            raise ApiError(400, told, code, "messages")
        status = _STATUS_OF_FAILURE[failure.kind]
        raise ApiError(status, told, failure.kind, None, {"retry-after": "1"} if status in (429, 503) else {})


def chat_completion(call: str, created: int, model: str, completions: Sequence[Completion]) -> dict[str, Any]:
    """Return the answers to one request as one `chat.completion`."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", **_content(completion), **_tool_calls(completion)},
            "logprobs": None,
            "finish_reason": _finish_reason(completion),
        }
        for index, completion in enumerate(completions)
    ]
    return _head("chat.completion", call, created, model) | {"choices": choices, "usage": _usage(completions)}


def chat_chunks(
    call: str, created: int, model: str, completions: Sequence[Completion], include_usage: bool
) -> Iterator[dict[str, Any]]:
    """Yield the same as `chat.completion.chunk`s; each text is one chunk, since it is known only when it is whole."""
    head = _head("chat.completion.chunk", call, created, model) | ({"usage": None} if include_usage else {})

    def chunk(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**head, "choices": [choice]}

    for index, completion in enumerate(completions):
        yield chunk(index, {"role": "assistant", "content": ""})
        delta = {**_content(completion), **_tool_calls(completion, numbered=True)}
        yield chunk(index, delta)
        yield chunk(index, {}, _finish_reason(completion))
    if include_usage:
        yield {**head, "choices": [], "usage": _usage(completions)}


def _head(kind: str, call: str, created: int, model: str) -> dict[str, Any]:
    return {"id": call, "object": kind, "created": created, "model": model}


def _content(completion: Completion) -> dict[str, Any]:
    content: dict[str, Any] = {"content": completion.text or (None if completion.tool_calls else "")}
    if completion.reasoning:
        content["reasoning_content"] = completion.reasoning
    return content


def _tool_calls(completion: Completion, numbered: bool = False) -> dict[str, Any]:
    if not completion.tool_calls:
        return {}
    calls = [({"index": i} if numbered else {}) | call.to_json() for i, call in enumerate(completion.tool_calls)]
    return {"tool_calls": calls}


def _finish_reason(completion: Completion) -> str:
    match completion.failure and completion.failure.kind:
        case "truncated":
            return "length"
        case "refused":
            return "content_filter"
        case _:
            return "stop" if completion.finish_reason == "error" else completion.finish_reason


def _usage(completions: Sequence[Completion]) -> dict[str, int]:
    """Add up what was spent; the prompt was read for every answer, but is counted once, as the protocol does."""
    spent = sum((completion.usage for completion in completions), Usage())
    prompt = completions[0].usage.prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": prompt + spent.completion_tokens,
    }


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


async def _in_turn(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
