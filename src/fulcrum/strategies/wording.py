"""How the method speaks to its models: where guidance stands in a prompt, and how a strategy is asked for and read.

The lab's tiny models know one fixed wording (`fulcrum.strategies.lab`); every other model gets this one.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast, get_args

from fulcrum.chat import Message, system, user
from fulcrum.errors import LibraryError
from fulcrum.strategies.records import Advice, Level, read_advice
from fulcrum.strategies.words import negations
from fulcrum.task.scorers.json import find_json

Side = Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True)
class Situation:
    """A turn as words: what retrieval compares with a scenario.

    Attributes:
        text: what the customer and the tools have said.
        marks: what is known of the turn's place in the dialogue, such as `first-reply` or `after-refund`.
        place: where the dialogue is held, as a word such as `at-kim`, if the agent works at several places.
    """

    text: str
    marks: tuple[str, ...]
    place: str = ""

    @property
    def words(self) -> str:
        """Text, marks and place together."""
        return "\n".join([self.text, " ".join(self.marks), self.place])


class Wording(Protocol):
    """The words between the method and its models."""

    @property
    def writes_scenarios(self) -> bool:
        """Whether the teacher says where a strategy applies; if not, that is read off the turns where it named it."""
        ...

    def guide(self, messages: Sequence[Message], lines: Sequence[str]) -> tuple[Message, ...]:
        """Return a dialogue with lines of guidance for the student's next turn."""
        ...

    def teach(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return a dialogue as the teacher is shown it: with its handbook."""
        ...

    def situation(self, messages: Sequence[Message]) -> Situation:
        """Return the situation in which the agent speaks next."""
        ...

    def ask(self, messages: Sequence[Message], teacher: str, student: str) -> tuple[Message, ...]:
        """Return the request for a strategy by which the teacher's reply is better than the student's."""
        ...

    def read(self, text: str) -> Sequence[Advice | None]:
        """Return the strategies in the teacher's answer, None for an unreadable one; none if it saw no difference.

        Raises:
            LibraryError: the answer holds no strategy.
        """
        ...

    def compare(self, messages: Sequence[Message], first: str, second: str) -> tuple[Message, ...]:
        """Return the request to judge two replies, which does not say whose they are."""
        ...

    def verdict(self, text: str) -> Side | None:
        """Return which reply the judge prefers; None if it did not say."""
        ...

    def generic(self, lines: int, messages: Sequence[Message]) -> tuple[Message, ...] | tuple[str, ...]:
        """Return the request for general advice without any comparison, or that advice itself.

        `messages` is the start of a dialogue: what any agent is told.
        """
        ...


_ASK = """\
You teach a support agent. Below are a dialogue, a reply that a good agent gave, and the reply of your pupil. Write \
the strategy that the pupil lacks: one that helps in this and in similar situations. Do not copy sentences of the \
replies, names, numbers or other facts of this one customer, and stay within the agent's instructions.
Answer with JSON alone, an object or, if there are several independent differences, a list of objects:
{"scenario": "the situation, so that it can be recognised in other dialogues", "when": "the condition, one clause", \
"do": "what to do, in the imperative", "avoid": "what to leave, or empty", "why": "why it helps", \
"level": "general" or "specific"}
Answer [] if the replies are equally good."""

_COMPARE = """\
Two agents answer the same customer. Judge which reply serves the customer better within the agent's instructions: it \
is true, settles the matter, and is kind. Length in itself is no merit. Answer with one word: first, second, or tie."""

_GENERIC = """\
Write general advice for an agent with the instructions below: at most {lines} rules, each one short line that begins \
with "- ". No introduction."""

_GUIDANCE = "Guidance for your next message. Follow what applies; never mention it:"
_NAMES = {"user": "customer", "assistant": "agent", "tool": "tool"}


class GeneralWording:
    """The wording for models that follow instructions.

    Args:
        handbook: what the teacher reads beyond the agent's own instructions.
    """

    writes_scenarios = True

    def __init__(self, handbook: str = "") -> None:
        self._handbook = handbook

    def guide(self, messages: Sequence[Message], lines: Sequence[str]) -> tuple[Message, ...]:
        """Put the lines at the end of the system message."""
        if not lines:
            return tuple(messages)
        return _after_instructions(messages, "\n".join([_GUIDANCE, *(f"- {line}" for line in lines)]))

    def teach(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Put the handbook at the end of the system message."""
        return _after_instructions(messages, self._handbook) if self._handbook else tuple(messages)

    def situation(self, messages: Sequence[Message]) -> Situation:
        """Return all that customer and tools have said."""
        heard = [message.content for message in messages if message.role in ("user", "tool")]
        return Situation("\n".join(heard), marks(messages))

    def ask(self, messages: Sequence[Message], teacher: str, student: str) -> tuple[Message, ...]:
        """Show the dialogue and both replies, and ask for JSON."""
        shown = f"{transcript(messages)}\n\n[good reply]\n{teacher}\n\n[pupil's reply]\n{student}"
        return system(_ASK), user(shown)

    def read(self, text: str) -> Sequence[Advice | None]:
        """Read one JSON object, or a list of them. What is null, and a level that is none, count as left out."""
        try:
            found = find_json(text)
        except ValueError as error:
            raise LibraryError(f"the teacher's answer holds no JSON: {error}") from None
        entries = cast(list[object], found) if isinstance(found, list) else [found]
        return [_read_entry(entry) for entry in entries]

    def compare(self, messages: Sequence[Message], first: str, second: str) -> tuple[Message, ...]:
        """Show the dialogue and both replies."""
        return system(_COMPARE), user(f"{transcript(messages)}\n\n[first reply]\n{first}\n\n[second reply]\n{second}")

    def verdict(self, text: str) -> Side | None:
        """Return the verdict that stands alone, or else the reply that is said to be better; of several the last.

        A judge that reasons names both replies, but ends with its verdict.
        """
        sentences = [part for part in re.split(r"[\n.!?;]", text.lower()) if re.search("[a-z]", part)]
        clauses = [clause for sentence in sentences for clause in _CLAUSE_ENDS.split(sentence)]
        # `First, ...` counts reasons: within a sentence a word stands alone only after a colon, or at the very end.
        alone = [*(sentence.rpartition(":")[2] for sentence in sentences), *clauses[-1:]]
        verdicts = (*map(_preferred, clauses), *map(_alone, alone))
        return next((side for side in reversed(verdicts) if side is not None), None)

    def generic(self, lines: int, messages: Sequence[Message]) -> tuple[Message, ...] | tuple[str, ...]:
        """Show what every agent is told, and ask for rules."""
        told = "\n".join(message.content for message in messages if message.role == "system")
        return system(_GENERIC.format(lines=lines)), user(told or "You are a support agent.")


def _read_entry(entry: object) -> Advice | None:
    if isinstance(entry, dict):
        given = {key: value for key, value in cast(dict[str, object], entry).items() if value is not None}
        if (level := str(given.pop("level", "")).strip().lower()) in get_args(Level):
            given["level"] = level
        entry = given
    try:
        return read_advice(entry)
    except LibraryError:
        return None


_CLAUSE_ENDS = re.compile(r"[,:]|\b(?:but|while|whereas|although|though|because|since)\b")
_BESIDE_VERDICT = """
the a it s is so i say choose would my reply one verdict answer choice winner better best final overall
"""
_PREFERRED = re.compile(
    r"\b(first|second)\b.*\b(?:better|best|preferable|superior|stronger|wins)\b"
    r"|\b(?:prefer|choose|pick|favou?r)\b (?:the )?(first|second)\b"
)
_SIDES: dict[str, Side] = {"first": "first", "second": "second", "tie": "tie"}
_UNCLEAR = re.compile(r"\b(?:worse|less|weaker|poorer|if)\b")


def _alone(said: str) -> Side | None:
    """Return the verdict, if no word stands beside it but such as introduce it."""
    words = set(re.findall("[a-z]+", said)) - set(_BESIDE_VERDICT.split())
    return _SIDES.get(words.pop()) if len(words) == 1 else None


def _preferred(clause: str) -> Side | None:
    """Return the one reply that a clause calls better, than the other or without naming it."""
    praised = re.sub(r"\bthan (?:the )?(?:first|second)\b", "", clause)
    if negations(praised) or _UNCLEAR.search(praised) or len(set(re.findall(r"\b(?:first|second)\b", praised))) != 1:
        return None
    found = _PREFERRED.search(praised)
    return _SIDES[found[1] or found[2]] if found else None


def marks(messages: Sequence[Message]) -> tuple[str, ...]:
    """Return where in a dialogue the turn stands: the first reply, or after which tool."""
    spoken = any(message.role == "assistant" and message.content.strip() for message in messages)
    last_calls = next((message.tool_calls for message in reversed(messages) if message.role == "assistant"), ())
    after = tuple(f"after-{call.name}" for call in last_calls) if messages[-1].role == "tool" else ()
    return ("later-reply" if spoken else "first-reply", *after)


def transcript(messages: Sequence[Message]) -> str:
    """Return a dialogue as text; what the agent was told comes first."""
    parts: list[str] = []
    for message in messages:
        calls = [json.dumps([call.name, call.arguments], ensure_ascii=False) for call in message.tool_calls]
        said = " ".join(part for part in (message.content, *calls) if part)
        parts.append(f"[{_NAMES.get(message.role, 'instructions to the agent')}] {said}")
    return "\n".join(parts)


def lines_of(text: str, most: int) -> tuple[str, ...]:
    """Return the rules in a list of lines, without their bullets."""
    rules = [re.sub(r"^\s*(?:[-*•]|\d+[.)])\s*", "", line).strip() for line in text.splitlines()]
    return tuple(rule for rule in rules if rule)[:most]


def _after_instructions(messages: Sequence[Message], text: str) -> tuple[Message, ...]:
    if messages and messages[0].role == "system":
        first, *others = messages
        return (replace(first, content=f"{first.content}\n\n{text}"), *others)
    return (system(text), *messages)
