"""A/B split: who gets help is a property of the conversation or user, not of the single request."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, cast

from fulcrum.hashing import canonical_json

Arm = Literal["help", "plain"]
By = Literal["conversation", "user"]

CONVERSATION_HEADER = "x-fulcrum-conversation"
USER_HEADER = "x-fulcrum-user"


def unit_of(body: Mapping[str, Any], headers: Mapping[str, str], by: By) -> str:
    """Return what a request belongs to: a user if one is named and wanted, else a conversation.

    A user is named by the header `x-fulcrum-user`, or by the body's `safety_identifier` or `user`; a conversation by
    the header `x-fulcrum-conversation`. Without it a conversation is what it begins with: all messages up to the
    user's first, which every later turn repeats.
    """
    if by == "user":
        named = headers.get(USER_HEADER) or body.get("safety_identifier") or body.get("user")
        if isinstance(named, str) and named:
            return f"user:{named}"
    if named := headers.get(CONVERSATION_HEADER):
        return f"conversation:{named}"
    return f"beginning:{canonical_json(_beginning(body.get('messages')))}"


def _beginning(messages: Any) -> list[Any]:
    beginning: list[Any] = []
    for message in cast(list[Any], messages) if isinstance(messages, list) else []:
        beginning.append(message)
        if isinstance(message, dict) and cast(dict[str, Any], message).get("role") == "user":
            break
    return beginning


def draw(unit: str, share: float, experiment: str) -> tuple[str, Arm]:
    """Return a name for the unit that tells nothing about it, and its arm: the same one each time.

    Args:
        unit: what `unit_of` returned.
        share: the part of all units that gets help.
        experiment: name of the split; with another name the draw is independent of this one.
    """
    digest = hashlib.sha256(f"{experiment}\0{unit}".encode("utf-8", "surrogatepass")).digest()
    # The name and the draw come from different bytes, so that the name does not tell the arm.
    place = int.from_bytes(digest[:8]) / 2**64
    return digest[8:16].hex(), "help" if place < share else "plain"
