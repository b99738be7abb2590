"""What an agent can know: a dialogue as read from the messages that it was shown, and from nothing else."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fulcrum.chat import Completion, Message
from fulcrum.lab.desk.heard import ACTION_CUES, hear
from fulcrum.lab.desk.policy import ACTIONS, Action, Order, Policy
from fulcrum.lab.desk.practice import BLAMELESS
from fulcrum.lab.desk.tools import ECHO, NOT_BOOKED, read_calls

_NAME = re.compile(r"(?:it is|this is|name is|i am) ([a-z]+ [a-z]+)[.,]|^([a-z]+ [a-z]+) here")
_ADDRESS = re.compile(r"(?:to|:) (\d+ [a-z]+ [a-z]+)")
_NUMBER = re.compile(r"\b\d{4}\b")
_ORDER = re.compile(r"order (\d+): ([a-z]+ [a-z]+), (.+), (\d+) coins, (\w+), (.+); .+")
_CHANGED = re.compile(r"order \d+: \w+ done, (\d+) days?")
_UPSET = re.compile(r"not happy|this is bad|let down|hoped for better|disappoint")
_WAITED = re.compile(r"waited|queue|on hold")
_HURRIED = re.compile(r"quick|be fast|bus leaves|a minute")
_FAULT = re.compile(
    r"broken|does not work|wrong (?:one|thing)|too long|too late|in pieces|crack|not what i chose|weeks ago|for ever"
)
_NO_FAULT = re.compile(r"changed my mind|just so|cheaper|too much|no longer need|thought about it|asks less|paid less")


@dataclass(frozen=True)
class View:
    """A dialogue as an agent can read it.

    Attributes:
        policy: the rules in the prompt.
        name: the customer's full name.
        action: what the customer wants.
        address: the new address, if one was told.
        number: the order number, if it was told, or found by the customer's name.
        lost_number: the customer cannot tell the number.
        listed: order numbers and goods, once the customer was looked up.
        order: the order, once it was looked up.
        order_looked_up: a look-up of the order has been answered.
        upset: sounds let down.
        shouts: how many of its messages shout.
        waited: has waited long.
        hurried: has no time.
        fault: has told of something that the shop did wrong.
        reason: has told why.
        asks_days: its last message asks how long it takes.
        agrees_to_exchange: has agreed to an exchange in place of a refund.
        days: days that the change takes, once one was made.
        escalated: the order was passed to a colleague.
        not_booked: the till did not take what was last booked.
        spoken: messages of the agent to the customer so far.
        asked: the agent has asked what it had to ask before acting.
        blame_taken: the agent has said whose fault it is.
    """

    policy: Policy
    name: str
    action: Action
    address: str
    number: int | None
    lost_number: bool
    listed: tuple[tuple[int, str], ...] | None
    order: Order | None
    order_looked_up: bool
    upset: bool
    shouts: int
    waited: bool
    hurried: bool
    fault: bool
    reason: bool
    asks_days: bool
    agrees_to_exchange: bool
    days: int | None
    escalated: bool
    not_booked: bool
    spoken: int
    asked: bool
    blame_taken: bool

    @property
    def first_name(self) -> str:
        """The customer's first name."""
        return self.name.split()[0]


def view(messages: Sequence[Message]) -> View:
    """Read a dialogue.

    Raises:
        ValueError: these messages are no dialogue at the desk.
    """
    prompt = "\n".join(message.content for message in messages if message.role == "system")
    customer = [m.content for m in messages if m.role == "user" and not m.content.startswith(ECHO)]
    if not customer:
        raise ValueError("no customer has spoken in these messages")
    echoes = [
        line.removeprefix(ECHO).strip()
        for message in messages
        if message.role == "tool" or (message.role == "user" and message.content.startswith(ECHO))
        for line in message.content.split("\n")
    ]
    said = [text for message in messages if message.role == "assistant" and (text := _spoken(message))]
    heard = [hear(text) for text in said]
    words = " ".join(customer)
    name = _NAME.search(words)
    address = _ADDRESS.search(words)
    listed = _listed(echoes)
    orders = [Order(int(m[1]), m[2], m[3], int(m[4]), m[5], m[6]) for one in echoes if (m := _ORDER.fullmatch(one))]
    changes = [int(match[1]) for one in echoes if (match := _CHANGED.fullmatch(one))]
    exchange = any(one.offers_exchange for one in heard)
    return View(
        policy=Policy.read(prompt),
        name=(name[1] or name[2]) if name else "",
        action=_action(customer[0]),
        address=address[1] if address else "",
        number=_number(words, listed),
        lost_number="lost the number" in words,
        listed=listed,
        order=orders[-1] if orders else None,
        order_looked_up=bool(orders) or any(one.startswith("no order") for one in echoes),
        upset=_UPSET.search(words) is not None,
        shouts=sum("!" in text for text in customer),
        waited=_WAITED.search(words) is not None,
        hurried=_HURRIED.search(words) is not None,
        fault=_FAULT.search(words) is not None,
        reason=_FAULT.search(words) is not None or _NO_FAULT.search(words) is not None,
        asks_days="how many days" in customer[-1],
        agrees_to_exchange=exchange and re.search(r"ok, exchange it|exchange is fine", words) is not None,
        days=changes[-1] if changes else None,
        escalated=any("passed to a colleague" in one for one in echoes),
        not_booked=bool(echoes) and echoes[-1].endswith(NOT_BOOKED),
        spoken=len(said),
        asked=any(one.asks_to_go_on or one.asks_reason or one.offers_exchange for one in heard),
        blame_taken=any(BLAMELESS.search(text.lower()) for text in said),
    )


def _spoken(message: Message) -> str:
    return read_calls(Completion(message.content))[0]


def _action(opening: str) -> Action:
    """Return what the customer wants: a new address shows by itself, the other wishes by their words."""
    if _ADDRESS.search(opening):
        return "address"
    for action in ACTIONS:
        if re.search(ACTION_CUES[action], opening):
            return action
    raise ValueError(f"no wish that the desk can grant in {opening!r:.80}")


def _listed(echoes: Sequence[str]) -> tuple[tuple[int, str], ...] | None:
    for echo in echoes:
        if re.match(r"[a-z]+ [a-z]+: \d", echo):
            pairs = (part.split(" ", 1) for part in echo.split(": ", 1)[1].split(", "))
            return tuple((int(number), thing) for number, thing in pairs)
    return None


def _number(words: str, listed: tuple[tuple[int, str], ...] | None) -> int | None:
    match = _NUMBER.search(words)
    if match:
        return int(match.group())
    return next((number for number, thing in listed or () if re.search(rf"\b{re.escape(thing)}\b", words)), None)
