"""What a simulated customer keeps to itself: who it is, what it wants, and how it feels."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fulcrum.lab import words
from fulcrum.lab.desk.policy import ACTIONS, Action, Order, Policy, Reason

Mood = Literal["calm", "upset", "waiting", "hurried", "furious"]
"""`upset` is let down, `waiting` has waited long, `hurried` has no time, `furious` shouts (its `!` shows it)."""

MOODS: dict[Mood, float] = {"calm": 0.2, "upset": 0.25, "waiting": 0.2, "hurried": 0.15, "furious": 0.2}

Motive = Literal["broken", "wrong", "late", "mind", "cheaper"]
"""Why a customer wants it; `broken`, `wrong` and `late` are the shop's own fault."""

FAULTS: tuple[Motive, ...] = ("broken", "wrong", "late")
_MOTIVES: dict[Action, tuple[Motive, ...]] = {
    "refund": ("broken", "wrong", "late", "mind", "cheaper"),
    "exchange": ("broken", "wrong"),
    "cancel": ("late", "mind", "cheaper"),
}

Memory = Literal["tells", "asked", "lost"]
"""Whether the customer tells the order number at once, when asked, or cannot."""


@dataclass(frozen=True)
class Scenario:
    """The hidden side of a dialogue.

    Attributes:
        name: of the customer.
        order: number of the order in question.
        item: what the customer calls the goods.
        action: what the customer wants.
        address: the new address, if that is what the customer wants.
        motive: why; None for a new address.
        tells_motive: true if the customer says why unasked.
        mood: how the customer feels.
        memory: what the customer does about the order number.
        takes_exchange: true if, asked for a refund, the customer agrees to an exchange instead.
        wording: seed of the customer's words.
    """

    name: str
    order: int
    item: str
    action: Action
    address: str
    motive: Motive | None
    tells_motive: bool
    mood: Mood
    memory: Memory
    takes_exchange: bool
    wording: int

    def to_json(self) -> dict[str, Any]:
        """Return the scenario as the target of an example."""
        return asdict(self)


_OBJECTIONS: dict[Reason | None, float] = {None: 0.66, "status": 0.14, "limit": 0.12, "owner": 0.08}


def draw_scenario(rng: random.Random, orders: Sequence[Order], policy: Policy, *, forgetful: float) -> Scenario:
    """Return a random customer with a wish that concerns one of the orders.

    Args:
        rng: where chance comes from.
        orders: all orders of the shop.
        policy: the desk's rules; what they object to is drawn too, so that every rule has its cases.
        forgetful: share of customers that have lost the order number.
    """
    while True:
        objection = rng.choices(list(_OBJECTIONS), list(_OBJECTIONS.values()))[0]
        action: Action = "refund" if objection == "limit" else rng.choices(ACTIONS, (35, 20, 25, 20))[0]
        order = rng.choice(orders)
        asker = rng.choice(orders).owner if objection == "owner" else order.owner
        if policy.objection(order, action, asker) == objection:
            break
    memory: Memory = "tells" if objection == "owner" or rng.random() < 0.65 else "asked"
    if memory == "asked" and rng.random() < forgetful and _named_once(order, orders):
        memory = "lost"
    motives = _MOTIVES.get(action)
    return Scenario(
        name=asker,
        order=order.number,
        item=order.category,
        action=action,
        address=f"{rng.randint(1, 99)} {rng.choice(words.STREETS.split('|'))}" if action == "address" else "",
        motive=rng.choice(motives) if motives else None,
        tells_motive=rng.random() < 0.5,
        mood=rng.choices(list(MOODS), list(MOODS.values()))[0],
        memory=memory,
        takes_exchange=rng.random() < 0.5,
        wording=rng.randrange(2**31),
    )


def _named_once(order: Order, orders: Sequence[Order]) -> bool:
    """Return whether "my lamp" means one order alone among the few that the look-up by name lists."""
    own = [other for other in orders if other.owner == order.owner][-4:]
    return order in own and [other.category for other in own].count(order.category) == 1
