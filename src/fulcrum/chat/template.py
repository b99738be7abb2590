"""Chat templates of Hugging Face: what they want to be given, and what they must have."""

import contextlib
import json
from collections.abc import Set
from typing import Any

from fulcrum.chat.message import Message


def template_message(message: Message) -> dict[str, Any]:
    """Return a message as chat templates want it: arguments of tool calls as an object, not as text."""
    data = message.to_json()
    for call in data.get("tool_calls", ()):
        with contextlib.suppress(ValueError, RecursionError):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return data


def template_faults(tokenizer: Any, stop_tokens: Set[int]) -> list[str]:
    """Return what is wrong with a tokenizer's chat template, in phrases.

    A model with such a template gives answers that drift into the user's next turn, or that never end.

    Args:
        tokenizer: a tokenizer of Transformers with a chat template.
        stop_tokens: ids at which generation ends.
    """

    def render(*messages: tuple[str, str], prompt: bool) -> str:
        said = [{"role": role, "content": content} for role, content in messages]
        return tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=prompt)

    faults: list[str] = []
    if render(("user", "Hello"), prompt=True) == render(("user", "Hello"), prompt=False):
        faults.append("the chat template has no generation prompt, so the model may go on with the user's turn")
    answered = render(("user", "Hello"), ("assistant", "Hi"), prompt=False)
    if stop_tokens.isdisjoint(tokenizer(answered, add_special_tokens=False)["input_ids"]):
        faults.append(f"the chat template ends no answer with the stop token {tokenizer.eos_token!r}")
    return faults
