"""What every simulated customer is to the dialogue: it opens, it answers, and at some point it leaves.

Two kinds of customers, written apart, stand in for each other to show that a result is not made by one of them:
`terse` (customer `a`) and `chatty` (customer `b`). The names are in `CUSTOMERS` of `fulcrum.lab.desk.environment`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fulcrum.lab.desk.heard import Heard
from fulcrum.lab.desk.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a customer says to a message of the agent.

    Attributes:
        text: the words.
        leaves: true if these are its last words.
        understood: false if the customer could make nothing of a question.
    """

    text: str
    leaves: bool = False
    understood: bool = True


class Customer(Protocol):
    """A simulated customer; it knows its scenario and what the agent said to it, and nothing of the database.

    Args:
        scenario: what it wants and how it feels.
    """

    def __init__(self, scenario: Scenario) -> None: ...

    def opening(self) -> str:
        """Return its first words."""
        ...

    def react(self, heard: Heard, *, noticed: bool) -> Reaction:
        """Answer the agent.

        Args:
            heard: the agent's message.
            noticed: true if the shop's system has sent word of a change or of a colleague who takes over.
        """
        ...


class Wording:
    """Chooses among phrasings, for one customer always the same ones in the same order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, phrasings: Sequence[str], **fields: object) -> str:
        """Return one of the phrasings with its fields filled in."""
        return self._random.choice(phrasings).format(**fields)


def wrong_guess(heard: Heard, scenario: Scenario) -> bool:
    """Return whether the agent asks to go on with another order, or with something that was not asked for."""
    other_order = bool(heard.numbers) and scenario.order not in heard.numbers
    other_action = bool(heard.actions) and scenario.action not in heard.actions and not heard.offers_exchange
    return other_order or other_action
