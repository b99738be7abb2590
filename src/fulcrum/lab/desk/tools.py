"""The desk's tools: how an agent calls them, and what they answer.

An agent calls a tool through the chat protocol, or in its text as `@refund 1042`: a form that a model of a few million
parameters can write. Tools do as they are told: whether that was right is a matter of the rules, not of the tool.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from fulcrum.chat import Completion, Tool, ToolCall
from fulcrum.lab.desk.database import DeskDatabase
from fulcrum.lab.desk.policy import ACTIONS, Action, Order, Policy

SIGN = "@"
"""What opens a call within a text."""

ECHO = "[desk]"
"""What opens the answer to a call within a text."""

NOT_THEIRS = "of another customer"
"""What closes the answer to the look-up of an order that is not the customer's own."""

NOT_BOOKED = "not booked"
"""What closes the answer to a call that the till does not take."""

_IN_TEXT = re.compile(rf"(?<!\S){SIGN}(?P<name>\w+)(?P<rest>(?:(?!\s{SIGN})[^\n])*)")
_NUMBER = re.compile(r"\d{1,18}")
"""An order's number; more digits no SQLite integer could hold."""


@dataclass(frozen=True, slots=True)
class Call:
    """A wish to run a tool, however it was written.

    Attributes:
        name: of the tool.
        number: order number, if one was given.
        text: customer's name, new address, or what else the till wants.
        id: of the protocol's tool call; None if the call stood in the text.
    """

    name: str
    number: int | None = None
    text: str = ""
    id: str | None = None


Kind = Literal["looked up", "changed", "escalated", "nothing"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a call did.

    Attributes:
        call: the call.
        text: what the agent is told.
        kind: what the call did to the database.
        order: the order as it was before, if the call named one that exists.
        action: the change, if it is one.
        days: days that a change takes.
    """

    call: Call
    text: str
    kind: Kind = "nothing"
    order: Order | None = None
    action: Action | None = None
    days: int = 0


_ORDER = {"order": {"type": "integer", "description": "number of the order"}}
_NAME = {"name": {"type": "string", "description": "the customer's full name"}}

_NOTE = {"note": {"type": "string", "description": "what the till wants to know, if anything"}}


def _tool(name: str, description: str, properties: dict[str, dict[str, str]]) -> Tool:
    required = [key for key in properties if key not in _NOTE]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(name, description, schema)


TOOLS: tuple[Tool, ...] = (
    _tool("order", "Look up an order for a customer: the order, and what its status allows.", {**_ORDER, **_NAME}),
    _tool("customer", "Look up the latest orders of a customer.", _NAME),
    _tool("refund", "Pay back what an order cost.", {**_ORDER, **_NOTE}),
    _tool("exchange", "Send the same goods once more.", {**_ORDER, **_NOTE}),
    _tool("cancel", "Cancel an order.", {**_ORDER, **_NOTE}),
    _tool("address", "Bring an order to another address.", {**_ORDER, "address": {"type": "string"}}),
    _tool("escalate", "Pass an order to a colleague.", {**_ORDER, **_NOTE}),
)
"""The tools as the chat protocol offers them."""

FORMS = "@order N NAME, @customer NAME, @refund N, @exchange N, @cancel N, @address N TEXT, @escalate N"
"""The tools as the prompt names them to an agent that writes its calls in text."""


def read_calls(completion: Completion) -> tuple[str, list[Call]]:
    """Return what the agent says to the customer, and the tools that it calls, in order."""
    text = completion.text
    calls = [
        Call(match["name"].lower(), *_number_and_rest(match["rest"].strip(" .!?"))) for match in _IN_TEXT.finditer(text)
    ]
    said = " ".join(_IN_TEXT.sub(" ", text).split())
    return said, calls + [_protocol_call(call) for call in completion.tool_calls]


def run(
    calls: Sequence[Call], database: DeskDatabase, policy: Policy, word_behind: Callable[[str, Order], str]
) -> list[Result]:
    """Run calls one after the other.

    Args:
        calls: what the agent wants done.
        database: what they change.
        policy: the rules that the look-up of an order goes by.
        word_behind: the word that must stand behind a tool's call on an order; empty for none.
    """
    return [_run(call, database, policy, word_behind) for call in calls]


def describe(order: Order, policy: Policy, asker: str) -> str:
    """Return an order as the agent is told it, and what may be done to it for a customer, whatever it costs."""
    told = f"order {order.number}: {order.owner}, {order.item}, {order.price} coins, {order.status}, {order.address}"
    allowed = f"may {', '.join(policy.granted(order))}"
    return f"{told}; {allowed if order.owner == asker else NOT_THEIRS}"


def in_days(days: int) -> str:
    """Return a number of days in words: `1 day`, `3 days`."""
    return f"{days} day" if days == 1 else f"{days} days"


def _number_and_rest(text: str) -> tuple[int | None, str]:
    match = _NUMBER.match(text)
    return (int(match.group()), text[match.end() :].strip().lower()) if match else (None, text.lower())


def _protocol_call(call: ToolCall) -> Call:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return Call(call.name, id=call.id)
    known = cast(dict[str, object], arguments)
    number = _NUMBER.search(str(known.get("order", "")))
    text = str(known.get("name", known.get("address", known.get("note", ""))))
    return Call(call.name, int(number.group()) if number else None, " ".join(text.lower().split()), call.id)


def _run(call: Call, database: DeskDatabase, policy: Policy, word_behind: Callable[[str, Order], str]) -> Result:
    if call.name == "customer":
        orders = database.orders_of(call.text)
        listed = ", ".join(f"{order.number} {order.category}" for order in orders)
        return Result(call, f"{call.text}: {listed}" if orders else f"no customer {call.text}", "looked up")
    if call.name not in ("order", "escalate", *ACTIONS):
        return Result(call, f"no tool {call.name}")
    order = database.order(call.number) if call.number is not None else None
    if order is None:
        return Result(call, "no such order" if call.number is None else f"no order {call.number}")
    if (word := word_behind(call.name, order)) and word not in re.findall(r"\w+", call.text):
        return Result(call, f"order {order.number}: {call.name} {NOT_BOOKED}", order=order)
    match call.name:
        case "order" if not call.text:
            return Result(call, "which customer?", order=order)
        case "order":
            return Result(call, describe(order, policy, call.text), "looked up", order)
        case "escalate":
            database.escalate(order.number)
            return Result(call, f"order {order.number} passed to a colleague", "escalated", order)
        case "address" if not call.text:
            return Result(call, "which address?", order=order)
        case action:
            days = database.change(action, order.number, call.text)
            text = f"order {order.number}: {action} done, {in_days(days)}"
            return Result(call, text, "changed", order, action, days)
