"""An agent made of rules: the ceiling when it keeps the shop's practice, the floor when it keeps none.

It reads the messages that any agent is shown, and nothing else.
"""

from collections.abc import Callable, Collection, Sequence

from fulcrum.chat import Completion, Message
from fulcrum.lab.desk.policy import Reason
from fulcrum.lab.desk.practice import HAND_OVER
from fulcrum.lab.desk.replies import Replies
from fulcrum.lab.desk.till import word_behind
from fulcrum.lab.desk.view import View, view
from fulcrum.task import Episode


def reply(messages: Sequence[Message], habits: Collection[str]) -> str:
    """Return what an agent with these habits says and calls next.

    Raises:
        ValueError: these messages are no dialogue at the desk.
    """
    seen = view(messages)
    write = Replies(seen, habits)
    if seen.days is not None:
        return write.report_change()
    if seen.escalated:
        return write.report_escalation(_objection(seen))
    if seen.not_booked:
        return write.refuse(None)
    if HAND_OVER in habits and seen.shouts >= 2 and seen.number is not None:
        return _act(write, seen, habits, "escalate")
    if seen.number is None:
        return f"@customer {seen.name}" if seen.lost_number else write.ask_number()
    if seen.order is None:
        return f"@order {seen.number} {seen.name}"
    objection = _objection(seen)
    if objection == "limit":
        return _act(write, seen, habits, "escalate")
    if objection is not None:
        return write.refuse(objection)
    if not seen.asked and (questions := write.ask_first()):
        return questions
    return _act(write, seen, habits, "exchange" if seen.agrees_to_exchange else seen.action)


def rule_agent(habits: Collection[str]) -> Callable[[Episode], Completion]:
    """Return an expert with these habits; without any it is the floor that a strategy has to rise above."""

    def speak(episode: Episode) -> Completion:
        return Completion(reply(episode.messages, habits), model="rules")

    return speak


def _objection(seen: View) -> Reason | None:
    return seen.policy.objection(seen.order, seen.action, seen.name) if seen.order else None


def _act(write: Replies, seen: View, habits: Collection[str], tool: str) -> str:
    """Return the call of a tool on the order, with what is said beside it."""
    word = seen.address if tool == "address" else word_behind(tool, habits, seen.order, seen.policy.clerk)
    call = f"@{tool} {seen.number} {word}".rstrip()
    said = write.announce()
    return f"{said} {call}" if said else call
