"""Read along what goes to the client, for the log."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

_LARGEST = 4_000_000


@dataclass
class Answer:
    """What an answer says of itself, as far as it could be read.

    Attributes:
        text: of the first choice; None if it has none.
        finish_reason: of the first choice.
        usage: `prompt_tokens` and `completion_tokens`.
    """

    text: str | None = None
    finish_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict[str, int])


class Capture:
    """Keeps a copy of the chunks of one answer, up to 4 MB; a larger one stays unread."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._room = _LARGEST

    def add(self, chunk: bytes) -> None:
        """Keep a chunk."""
        self._room -= len(chunk)
        if self._room >= 0:
            self._chunks.append(chunk)

    def read(self) -> Answer:
        """Return what the answer says; what is not in the protocol's shape is passed over."""
        answer = Answer()
        if self._room >= 0:
            content = b"".join(self._chunks)
            for part in _events(content) if content.lstrip().startswith((b"data:", b":", b"event:")) else [content]:
                try:
                    data = json.loads(part)
                except (ValueError, RecursionError):
                    continue
                if isinstance(data, dict):
                    _take(answer, cast(dict[str, Any], data))
        return answer


def _events(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    return [line[5:] for line in lines if line.startswith(b"data:") and line[5:].strip() != b"[DONE]"]


def _take(answer: Answer, data: dict[str, Any]) -> None:
    usage = data.get("usage")
    if isinstance(usage, dict):
        counts = cast(dict[str, Any], usage)
        kept = {key: counts.get(key) for key in ("prompt_tokens", "completion_tokens")}
        answer.usage = {key: count for key, count in kept.items() if isinstance(count, int)}
    choices = data.get("choices")
    for choice in cast(list[Any], choices) if isinstance(choices, list) else []:
        if not isinstance(choice, dict):
            continue
        known = cast(dict[str, Any], choice)
        if known.get("index", 0) != 0:
            continue
        message = known.get("message") or known.get("delta")
        text = cast(dict[str, Any], message).get("content") if isinstance(message, dict) else None
        if isinstance(text, str):
            answer.text = (answer.text or "") + text
        if isinstance(reason := known.get("finish_reason"), str):
            answer.finish_reason = reason
