"""What the till wants written behind a call before it books it. No prompt tells; a shop's handbook does."""

from collections.abc import Callable, Collection, Mapping

from fulcrum.lab.desk.policy import Order

_WANTED: Mapping[str, tuple[str, Callable[[Order | None, str], str]]] = {
    "sign_refunds": ("refund", lambda order, clerk: clerk),
    "price_exchanges": ("exchange", lambda order, clerk: str(order.price) if order else ""),
    "name_cancels": ("cancel", lambda order, clerk: order.owner.split()[0] if order else ""),
    "sign_escalations": ("escalate", lambda order, clerk: clerk),
}
"""The tool that each habit of booking is about, and the word that it adds."""


def word_behind(tool: str, practice: Collection[str], order: Order | None, clerk: str) -> str:
    """Return the word that a shop with this practice wants behind a call of a tool; empty for none.

    Args:
        tool: its name.
        practice: ids of habits, those that are not about the till among them.
        order: what the call is about; None if the agent has not looked it up.
        clerk: the agent's name.
    """
    words = (word(order, clerk) for habit, (about, word) in _WANTED.items() if about == tool and habit in practice)
    return next(words, "")
