"""The desk's public rules: who may get what. Every agent reads them in its prompt."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from fulcrum.chat import Message

Action = Literal["refund", "exchange", "cancel", "address"]
ACTIONS: tuple[Action, ...] = ("refund", "exchange", "cancel", "address")
"""What a customer may want done to an order; `address` is a new address to bring it to."""

Decision = Literal["allow", "decline", "escalate"]
Reason = Literal["owner", "status", "limit"]
"""Which rule stands against a request."""

CLERKS = ("kim", "lee", "max", "ivy", "jo", "ron")
LIMITS = (40, 50, 60, 70)

_BEFORE_DISPATCH_FIRST = ("open", "paid", "held", "late", "sent", "lost", "back", "done")
"""Statuses from the order's first day to its last."""


@dataclass(frozen=True)
class Order:
    """An order as the desk sees it."""

    number: int
    owner: str
    item: str
    price: int
    status: str
    address: str

    @property
    def category(self) -> str:
        """The last word of the item but its number: what a customer calls it."""
        return self.item.split()[1]


@dataclass(frozen=True)
class Policy:
    """The rules of one desk.

    Attributes:
        clerk: the name that the agent bears.
        waiting: statuses of orders that have not left: these can be cancelled or sent elsewhere.
        gone: statuses of orders that have left: these can be refunded or exchanged.
        limit: price in coins above which a refund is passed to a colleague.
    """

    clerk: str
    waiting: tuple[str, ...]
    gone: tuple[str, ...]
    limit: int

    @classmethod
    def draw(cls, rng: random.Random, statuses: Sequence[str]) -> Self:
        """Return random rules for a shop whose orders have these statuses."""
        ordered = sorted(statuses, key=_BEFORE_DISPATCH_FIRST.index)
        return cls(rng.choice(CLERKS), tuple(ordered[:2]), tuple(ordered[2:]), rng.choice(LIMITS))

    def statuses_for(self, action: Action) -> tuple[str, ...]:
        """Return the statuses in which an order may have this done to it."""
        return self.waiting if action in ("cancel", "address") else self.gone

    def granted(self, order: Order) -> tuple[Action, ...]:
        """Return what the status of an order allows to be done to it."""
        return tuple(action for action in ACTIONS if order.status in self.statuses_for(action))

    def objection(self, order: Order, action: Action, asker: str) -> Reason | None:
        """Return the rule that keeps the agent from doing this itself, or None."""
        if order.owner != asker:
            return "owner"
        if order.status not in self.statuses_for(action):
            return "status"
        return "limit" if action == "refund" and order.price > self.limit else None

    def decide(self, order: Order, action: Action, asker: str) -> Decision:
        """Return what is due to `asker`, who wants this done to the order."""
        objection = self.objection(order, action, asker)
        return "allow" if objection is None else "escalate" if objection == "limit" else "decline"

    def describe(self) -> str:
        """Return the rules as every agent's prompt states them."""
        return (
            f"own orders only. cancel, address: if {_either(self.waiting)}. refund, exchange: if {_either(self.gone)}. "
            f"refund over {self.limit}: escalate. else say no."
        )

    @classmethod
    def read(cls, prompt: str) -> Self:
        """Return the rules that a prompt states: what an agent made of rules goes by.

        Raises:
            ValueError: the prompt states none.
        """
        match = _RULES.search(prompt)
        if match is None:
            raise ValueError(f"no desk rules in the prompt {prompt!r:.80}")
        waiting, gone = (tuple(re.findall(r"\w+", match[name].replace(" or ", " "))) for name in ("waiting", "gone"))
        return cls(match["clerk"], waiting, gone, int(match["limit"]))


def clerk_in(messages: Sequence[Message]) -> str:
    """Return the name that the agent of a dialogue bears, which tells its desk from others; empty if it has none."""
    named = (_CLERK.search(message.content) for message in messages if message.role == "system")
    return next((match[1] for match in named if match), "")


def _either(statuses: Sequence[str]) -> str:
    *others, last = statuses
    return f"{', '.join(others)} or {last}"


_CLERK = re.compile(r"you are (\w+) at the desk")

_RULES = re.compile(
    r"you are (?P<clerk>\w+) at the desk.*cancel, address: if (?P<waiting>[\w, ]+)\. "
    r"refund, exchange: if (?P<gone>[\w, ]+)\. refund over (?P<limit>\d+)",
    re.DOTALL,
)
