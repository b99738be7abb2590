"""Add help to a request, in time or not at all."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from fulcrum.chat import Request
from fulcrum.serving.batching import Busy
from fulcrum.serving.editions import Helper
from fulcrum.serving.errors import ApiError
from fulcrum.serving.wire import Body, add_help, encode_body, read_conversation

Outcome = Literal["added", "unchanged", "late", "busy", "failed", "unreadable", "off", "control", "answered"]
"""What became of the help for a request.

`added` it was added; `unchanged` the artifact had nothing to add; `late` it did not come before the deadline, or before
the request ended; `busy` it had no prospect of coming in time; `failed` the artifact failed; `unreadable` the messages
are not such as it can read; `off` the client declined; `control` the request is in the arm without help; `answered` the
artifact answered the request itself. In all but the first and last the request goes through as it came.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Help:
    """What became of the help for one request.

    Attributes:
        outcome: the short of it.
        content: the body with help; None if the request goes through as it came.
        added: the text that was added.
        facts: how it was chosen.
        seconds: how long it took.
    """

    outcome: Outcome
    content: bytes | None = None
    added: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seconds: float | None = None


async def add_help_in_time(helper: Helper, body: Body, deadline: float) -> Help:
    """Ask an artifact for help, and never raise for what goes wrong with it.

    Facts that tell a failure of the artifact's generator are for the server's log alone: they may name what clients
    need not know.

    Args:
        helper: the artifact.
        body: the request as it came; not changed.
        deadline: seconds.
    """
    try:
        request = read_conversation(body)
    except ApiError:
        return Help("unreadable")
    started = time.perf_counter()
    help_ = await _ask(helper, body, request, deadline)
    return replace(help_, seconds=time.perf_counter() - started)


async def _ask(helper: Helper, body: Body, request: Request, deadline: float) -> Help:
    try:
        async with asyncio.timeout(deadline):
            rewritten = await helper.submit(request)
        facts = cast(dict[str, Any], json.loads(json.dumps(dict(rewritten.facts), default=str)))
        if rewritten.failure is not None:
            _log.warning("no help for a request: %s", facts)
            return Help("failed")
        if rewritten.request.messages == request.messages:
            return Help("unchanged", facts=facts)
        messages = add_help(cast(Sequence[Any], body["messages"]), request.messages, rewritten.request.messages)
        content = encode_body({**body, "messages": messages})
    except TimeoutError:
        return Help("late")
    except Busy:
        return Help("busy")
    except Exception as error:  # fail open: whatever is wrong with the help, the request itself can be answered
        _log.warning("no help for a request: %s: %s", type(error).__name__, error)
        return Help("failed")
    return Help("added", content, rewritten.added or "", facts)
