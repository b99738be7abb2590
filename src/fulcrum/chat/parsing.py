"""What a local model's raw text holds beside the answer: thinking, and calls of tools."""

import json
import re

from fulcrum.chat.message import Message, ToolCall
from fulcrum.chat.template import template_message

_TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


def split_reasoning(text: str, opened: bool = False) -> tuple[str, str]:
    """Return the thinking and the answer of a text that may begin with `<think>...</think>`.

    Args:
        text: what the model wrote.
        opened: whether the prompt ended with `<think>` already, as some templates have it.
    """
    body = text.lstrip()
    if body.startswith("<think>"):
        body, opened = body.removeprefix("<think>"), True
    if not opened:
        return "", text
    reasoning, _, answer = body.partition("</think>")
    return reasoning.strip(), answer.strip()


def take_tool_calls(text: str, prefix: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text without its `<tool_call>{"name": ..., "arguments": ...}</tool_call>` parts, and the calls.

    A part that is not such JSON stays in the text, where it can be seen.

    Args:
        text: what the model wrote, without thinking.
        prefix: what the ids of the calls begin with.
    """
    calls: list[ToolCall] = []

    def take(match: re.Match[str]) -> str:
        try:
            call = json.loads(match[1])
        except (ValueError, RecursionError):  # also numbers and nestings that Python does not read
            return match[0]
        if not isinstance(call.get("name"), str):
            return match[0]
        arguments = call.get("arguments", {})
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append(ToolCall(f"{prefix}{len(calls)}", call["name"], written))
        return ""

    rest = _TOOL_CALL.sub(take, text)
    return (rest.strip(), tuple(calls)) if calls else (text, ())


def with_tool_calls(message: Message) -> str:
    """Return a turn as a local model writes it, from which `take_tool_calls` takes the same calls."""
    calls = [
        json.dumps(call["function"], ensure_ascii=False) for call in template_message(message).get("tool_calls", ())
    ]
    return "\n".join(part for part in (message.content, *(f"<tool_call>{call}</tool_call>" for call in calls)) if part)
