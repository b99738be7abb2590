"""The sixteen habits that a good desk may have, and four of booking. Each shop lives by some, and tells no agent which.

A habit is stated by `when` and `do`: that is what a handbook holds and what a strategy says. Whether it applied to a
dialogue, and whether the agent kept it, is read off the record of the dialogue.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fulcrum.lab.desk.record import Record
from fulcrum.lab.shop import Shop

Till = Literal["open", "signed"]
"""Whether a desk's till takes whatever is booked, or wants some bookings signed."""

SHORT = "short_when_hurried"
HAND_OVER = "escalate_twice_angry"
SHORT_WORDS = 12
"""The most words that a hurried customer likes to hear at a time."""

BLAMELESS = re.compile(r"\bour (?:fault|mistake|error|side)\b|\bwe made\b|\bon us\b")


@dataclass(frozen=True)
class Habit:
    """One habit of a good desk.

    Attributes:
        id: its name in `fulcrum.lab.shop.PRACTICES` or `BOOKINGS`.
        when: the situation, as it shows in the dialogue.
        do: what to do then.
        polite: true if it only adds kind words; false if it changes what is asked, told or done.
        applies: whether the situation arose in a dialogue.
        kept: whether the agent did it.
    """

    id: str
    when: str
    do: str
    polite: bool
    applies: Callable[[Record], bool]
    kept: Callable[[Record], bool]

    @property
    def advice(self) -> str:
        """The habit as a line of guidance."""
        return f"when {self.when}, {self.do}."


def _always(_: Record) -> bool:
    return True


def _mood(*moods: str) -> Callable[[Record], bool]:
    return lambda record: record.scenario.mood in moods


def _allowed(record: Record) -> bool:
    return record.decision == "allow"


def _says(pattern: str, where: Callable[[Record], str]) -> Callable[[Record], bool]:
    cue = re.compile(pattern)
    return lambda record: cue.search(where(record)) is not None


def _tried(tool: str) -> Callable[[Record], bool]:
    return lambda record: any(act.call.name == tool and act.order is not None for act in record.acts)


def _booked(tool: str) -> Callable[[Record], bool]:
    kinds = ("changed", "escalated")
    return lambda record: any(act.call.name == tool and act.kind in kinds for act in record.acts)


def _booking(id: str, tool: str, do: str) -> Habit:
    """Return a habit without which the till does not take what is booked."""
    return Habit(id, f"you {tool}", do, False, _tried(tool), _booked(tool))


_WISH_NAMED = {
    "refund": r"refund|money",
    "exchange": r"exchange|swap|replace|new one",
    "cancel": r"cancel|call off",
    "address": r"address",
}

_HABITS = (
    Habit(
        "name_the_customer",
        "you reply first",
        "use the first name",
        True,
        _always,
        lambda record: re.search(rf"\b{record.scenario.name.split()[0]}\b", record.first) is not None,
    ),
    Habit(
        "apologise_first",
        "the customer is upset or shouts",
        "say sorry first",
        True,
        _mood("upset", "furious"),
        _says(r"\bsorry\b|apolog", lambda record: record.first),
    ),
    Habit(
        "confirm_order_number",
        "you can do it",
        "ask first if the order number is right",
        False,
        _allowed,
        lambda record: re.search(rf"\b{record.scenario.order}\b[^.!]*\?", record.before_acting) is not None,
    ),
    Habit(
        "state_next_step",
        "you call a tool that changes or escalates",
        "say before what you will do",
        True,
        lambda record: record.decision != "decline",
        _says(
            r"\bi will\b|\bi'll\b|\bi am going to\b|\bnext,? i\b|\blet me\b",
            lambda record: f"{record.before_acting} {record.said_while_acting}",
        ),
    ),
    Habit(
        "offer_voucher",
        "you say no",
        "offer a voucher",
        True,
        lambda record: record.decision == "decline",
        _says(r"voucher", lambda record: record.everything),
    ),
    Habit(
        "offer_exchange_first",
        "you can refund",
        "ask first if an exchange would do",
        False,
        lambda record: record.scenario.action == "refund" and _allowed(record),
        _says(r"(?:exchange|swap|replace)[^.!]*\?", lambda record: record.before_acting),
    ),
    Habit(
        "explain_policy",
        "you say no or escalate",
        "tell the rule",
        False,
        lambda record: record.decision != "allow",
        _says(r"\brules?\b|\bpolicy\b", lambda record: record.everything),
    ),
    Habit(
        "give_days",
        "it is done",
        "tell how many days it takes",
        True,
        lambda record: record.days is not None,
        lambda record: re.search(rf"\b{record.days} (?:working |business )?days?\b", record.everything) is not None,
    ),
    Habit(
        "thank_for_patience",
        "the customer has waited",
        "thank for waiting",
        True,
        _mood("waiting"),
        _says(r"thank[^.?!]*\b(?:wait|patien)", lambda record: record.everything),
    ),
    Habit(
        "ask_reason",
        "a refund, exchange or cancel has no reason",
        "ask why first",
        False,
        lambda record: record.scenario.motive is not None and not record.scenario.tells_motive and _allowed(record),
        _says(r"(?:\bwhy\b|\breason\b|what (?:is|was|went) wrong)[^.!]*\?", lambda record: record.before_acting),
    ),
    Habit(
        "repeat_request",
        "you reply first",
        "repeat what the customer wants",
        True,
        _always,
        lambda record: re.search(_WISH_NAMED[record.scenario.action], record.first) is not None,
    ),
    Habit(
        "close_with_question",
        "you are done",
        "ask if there is anything else",
        True,
        _always,
        _says(r"(?:anything|something) (?:else|more)[^.!]*\?|else i can|more i can", lambda record: record.last),
    ),
    Habit(
        "sign_with_name",
        "you are done",
        "sign with your name",
        True,
        _always,
        lambda record: re.search(rf"\b{record.policy.clerk}\b", record.last) is not None,
    ),
    Habit(
        "avoid_blame",
        "it came broken, wrong or late",
        "say that it is our fault",
        True,
        lambda record: record.at_fault,
        lambda record: BLAMELESS.search(record.everything) is not None,
    ),
    Habit(
        HAND_OVER,
        "the customer shouts a second time",
        "escalate at once",
        False,
        lambda record: record.twice_angry,
        lambda record: record.escalated,
    ),
    Habit(
        SHORT,
        "the customer is in a hurry",
        f"use at most {SHORT_WORDS} words and leave out all that is only polite",
        True,
        _mood("hurried"),
        lambda record: all(len(text.split()) <= SHORT_WORDS for text in record.said),
    ),
    _booking("sign_refunds", "refund", "write your name behind the number"),
    _booking("price_exchanges", "exchange", "write the price behind the number"),
    _booking("name_cancels", "cancel", "write the first name behind the number"),
    _booking("sign_escalations", "escalate", "write your name behind the number"),
)

HABITS: Mapping[str, Habit] = {habit.id: habit for habit in _HABITS}
"""Every habit by its id."""

PARAPHRASES: Mapping[str, tuple[str, ...]] = {
    "name_the_customer": ("call the customer by name.", "start with the customer's first name."),
    "apologise_first": ("if the customer is upset, apologise.", "an upset or shouting customer hears sorry first."),
    "confirm_order_number": ("before you act, let the customer confirm the order number.", "check the number first."),
    "state_next_step": ("before a change, announce it.", "say what you will do before you do it."),
    "offer_voucher": ("if it cannot be done, offer a voucher.", "a no comes with a voucher."),
    "offer_exchange_first": ("before a refund, offer an exchange.", "a refund comes after asking for an exchange."),
    "explain_policy": ("if you refuse or escalate, tell the rule behind it.", "a no comes with the rule."),
    "give_days": ("after a change, say how many days it takes.", "tell the days."),
    "thank_for_patience": ("if the customer had to wait, say thank you for waiting.", "thank those who waited."),
    "ask_reason": ("if no reason was told, ask why before you act.", "learn the reason first."),
    "repeat_request": ("say first what the customer wants.", "begin by repeating the request."),
    "close_with_question": ("at the end ask: anything else?", "close by asking for more wishes."),
    "sign_with_name": ("at the end give your name.", "sign your last message."),
    "avoid_blame": ("if the goods are bad or late, take the blame.", "own the shop's fault."),
    HAND_OVER: ("if the customer shouts twice, escalate.", "two shouts: pass the order to a colleague."),
    SHORT: ("if the customer has no time, be very short.", "hurried customers get only the bare news."),
    "sign_refunds": ("a refund is booked with your name.", "put your name after a refund's number."),
    "price_exchanges": ("an exchange is booked with the price.", "put the price after an exchange's number."),
    "name_cancels": (
        "a cancel is booked with the first name.",
        "put the first name after a cancel's number.",
    ),
    "sign_escalations": ("what is escalated is booked with your name.", "put your name after an escalated number."),
}
"""Other words for each habit, so that a model learns to read guidance and not to know it by heart."""


def applicable(record: Record, practice: Collection[str]) -> list[Habit]:
    """Return the habits of a shop that a dialogue gave occasion for.

    Two habits change what the others ask: where hurried customers are answered shortly, habits that are only polite
    do not apply to them; and where a customer is handed over for shouting twice, nothing that belongs to granting or
    refusing the wish applies any more.
    """
    habits = [HABITS[id] for id in practice if HABITS[id].applies(record)]
    if SHORT in practice and record.scenario.mood == "hurried":
        habits = [habit for habit in habits if not habit.polite or habit.id == SHORT]
    if hands_over(record, practice):
        habits = [habit for habit in habits if habit.id not in _ABOUT_THE_WISH]
    return habits


def hands_over(record: Record, practice: Collection[str]) -> bool:
    """Return whether a shop with this practice passes the customer to a colleague for shouting twice."""
    return HAND_OVER in practice and record.twice_angry


_ABOUT_THE_WISH = {
    "confirm_order_number",
    "offer_voucher",
    "offer_exchange_first",
    "explain_policy",
    "give_days",
    "ask_reason",
    "state_next_step",
}


def practice_of(shop: Shop, till: Till = "open") -> tuple[str, ...]:
    """Return what a shop's desk lives by, most important first, what its till wants last."""
    return (*shop.practice, *(shop.bookings if till == "signed" else ()))


def handbook(practice: Sequence[str]) -> tuple[str, ...]:
    """Return a practice as lines of guidance, most important first: for the teacher's prompt alone."""
    return tuple(HABITS[id].advice for id in practice)
