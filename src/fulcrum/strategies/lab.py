"""The lab's wording, which its tiny models were trained on, and a teacher made of rules.

The lab has no model that could judge, so its recipe compares replies by what becomes of the dialogue; and its teachers
write `when ..., do ....` and no more, so scenarios are read off the dialogues in which they said so.
"""

import re
from collections.abc import Mapping, Sequence

from fulcrum.chat import Message, Request
from fulcrum.errors import LibraryError
from fulcrum.lab.desk.corpus import COMPARE, SAME, strategy_request, with_guidance
from fulcrum.lab.desk.expert import reply
from fulcrum.lab.desk.place import desks
from fulcrum.lab.desk.policy import clerk_in
from fulcrum.lab.desk.practice import HABITS, SHORT, handbook
from fulcrum.lab.desk.tools import ECHO
from fulcrum.lab.prompts import GUIDANCE
from fulcrum.lab.tasks import DeskOptions
from fulcrum.strategies.records import Advice, read_advice
from fulcrum.strategies.wording import Side, Situation
from fulcrum.strategies.words import EVERYWHERE
from fulcrum.task.load import TaskSpec

_GENERIC = ("name_the_customer", "repeat_request", "apologise_first", "close_with_question", "sign_with_name")
"""What any good desk does: the lab's teacher cannot give advice without a comparison, so these stand in for it."""

_ADVICE = re.compile(r"when (?P<when>[^,.]+), (?P<do>[^.]+)(?:\.\s*|$)")
_CALL = re.compile(r"@(\w+)")


def desk_handbooks(task: str) -> dict[str, tuple[str, ...]]:
    """Return the handbooks of a task's desks, by the name of the clerk."""
    options = TaskSpec.parse(task).read_options(DeskOptions)
    places = desks(options.seed, options.shops, options.till, options.practice)
    return {desk.policy.clerk: handbook(desk.practice) for desk in places}


def handbook_text(task: str) -> str:
    """Return the handbooks of a task's desks as one text, for a teacher that is spoken to in general words."""
    books = desk_handbooks(task)
    if len(books) == 1:
        return "\n".join(*books.values())
    return "\n\n".join("\n".join([f"At the desk of {clerk}:", *lines]) for clerk, lines in books.items())


class LabWording:
    """The wording of `lab:desk`.

    Args:
        handbooks: the practice of each desk, by the name of its clerk: the teacher alone is shown it.
    """

    writes_scenarios = False

    def __init__(self, handbooks: Mapping[str, Sequence[str]]) -> None:
        self._handbooks = dict(handbooks)

    def guide(self, messages: Sequence[Message], lines: Sequence[str]) -> tuple[Message, ...]:
        """Put the lines where training text has them."""
        return with_guidance(messages, lines)

    def teach(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Give the desk's handbook as guidance."""
        return with_guidance(messages, self._handbooks.get(clerk_in(messages), ()))

    def situation(self, messages: Sequence[Message]) -> Situation:
        """Return what the customer has said, and the last answer of a tool; calls stand in the text."""
        heard = [message.content for message in messages if message.role == "user"]
        said = [message.content for message in messages if message.role == "assistant"]
        customer = [text for text in heard if not text.startswith(ECHO)]
        spoken = any(text.partition("@")[0].strip() for text in said)
        after: tuple[str, ...] = ()
        if heard[-1].startswith(ECHO) and said:
            after = tuple(f"after-{name}" for name in _CALL.findall(said[-1]))
        echoes = [text.removeprefix(ECHO) for text in heard if text.startswith(ECHO)]
        shouts = ("shouting",) * any("!" in text for text in customer)
        marks = ("later-reply" if spoken else "first-reply", *shouts, *after)
        return Situation("\n".join([*customer, *echoes]), marks, f"at-{clerk_in(messages)}")

    def ask(self, messages: Sequence[Message], teacher: str, student: str) -> tuple[Message, ...]:
        """Ask as training text does."""
        return strategy_request(messages, teacher, student)

    def read(self, text: str) -> list[Advice]:
        """Read `when ..., do ....`, once or several times; `no difference.` is no strategy."""
        text = text.strip()
        if text.lower().startswith(SAME.rstrip(".")):
            return []
        found = list(_ADVICE.finditer(text))
        if not found or "".join(match[0] for match in found) != text:
            raise LibraryError("the teacher's answer is not of the form 'when ..., do ...'")
        return [read_advice({"scenario": EVERYWHERE, "when": match["when"], "do": match["do"]}) for match in found]

    def compare(self, messages: Sequence[Message], first: str, second: str) -> tuple[Message, ...]:
        """Refuse: no model of the lab can judge.

        Raises:
            LibraryError: always.
        """
        raise LibraryError(
            "the lab has no judge; leave models.judge out, and replies are judged by what becomes of them"
        )

    def verdict(self, text: str) -> Side | None:
        """Return nothing: no model of the lab can judge."""
        return None

    def generic(self, lines: int, messages: Sequence[Message]) -> tuple[Message, ...] | tuple[str, ...]:
        """Return advice that is good at most desks."""
        return tuple(HABITS[id].advice for id in _GENERIC[:lines])


def teacher(request: Request) -> str:
    """Play the teacher by rules: `python:fulcrum.strategies.lab:teacher`. It does all that its handbook says."""
    if request.messages[0].content == COMPARE:
        return _strategy(request.messages[-1].content)
    return student(request)


def student(request: Request) -> str:
    """Play a student by rules that does all that its guidance says: `python:fulcrum.strategies.lab:student`."""
    _, _, guidance = request.messages[0].content.partition(GUIDANCE)
    return reply(request.messages, [id for id, habit in HABITS.items() if habit.advice in guidance])


_CUES = {
    "apologise_first": r"\bsorry\b",
    "name_the_customer": r"^(?:sorry )?(?!sorry)[a-z]+\.",
    "thank_for_patience": r"thank you for waiting",
    "repeat_request": r"you want",
    "avoid_blame": r"our fault",
    "confirm_order_number": r"order \d+,? right\?",
    "ask_reason": r"why\?",
    "offer_exchange_first": r"exchange instead\?",
    "state_next_step": r"i am going to",
    "give_days": r"it takes \d",
    "explain_policy": r"rule:",
    "offer_voucher": r"voucher",
    "close_with_question": r"anything else\?",
    "sign_with_name": r"(?<=[.?] )[a-z]+\.$",
    "escalate_twice_angry": r"@escalate",
    "sign_refunds": r"@refund \d+ [a-z]",
    "price_exchanges": r"@exchange \d+ \d",
    "name_cancels": r"@cancel \d+ [a-z]",
    "sign_escalations": r"@escalate \d+ [a-z]",
}
"""How each habit shows in a reply made by rules."""


def _strategy(compared: str) -> str:
    """Return the habits that show in the teacher's reply and not in the student's, as lines of guidance."""
    *_, mine, theirs = re.split(r"\n(?:mine|theirs): ", compared)
    found = [
        (match.start(), HABITS[id].advice)
        for id, cue in _CUES.items()
        if (match := re.search(cue, mine)) and not re.search(cue, theirs)
    ]
    if found:
        return " ".join(advice for _, advice in sorted(found))
    shorter = len(mine.split()) < len(theirs.split()) and mine.split()
    return HABITS[SHORT].advice if shorter else SAME
