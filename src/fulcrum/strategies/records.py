"""What a strategy says, what it was learned from, what it does, and every event that a library can hold.

Text of models is hostile until shown otherwise: it is cleaned of control characters when it enters a record, and
refused when it is too long. Records never interpret it.
"""

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from fulcrum.chat import Message
from fulcrum.errors import LibraryError
from fulcrum.hashing import content_hash

FIELD_LIMIT = 1_000
"""Most characters in one field of a strategy."""

TEXT_LIMIT = 20_000
"""Most characters of one text of the evidence; what is longer is cut, and says so."""

Level = Literal["general", "specific"]
Status = Literal["proposed", "approved", "rejected", "retired"]
STATUSES: tuple[Status, ...] = ("proposed", "approved", "rejected", "retired")

_CUT = " [cut]"
_KEPT = frozenset("\n\t\u200c\u200d")
"""Lines, tabs, and the joiners without which Persian, Hindi and many emoji are misspelt."""

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Unicode categories without a form: control, format (such as changes of direction), half surrogates, unassigned."""


def clean(text: str) -> str:
    """Return text without characters that could deceive a reader or break a terminal; lines and tabs stay."""
    if text.replace("\n", "").isprintable():
        return text  # as nearly all text is: a look at every character would make a large library slow to open
    unified = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(char for char in unified if char in _KEPT or unicodedata.category(char) not in _DROPPED)


def one_line(text: str) -> str:
    """Return clean text on one line: a strategy that goes into a prompt cannot open a new section of it."""
    return " ".join(clean(text).split())


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - len(_CUT)] + _CUT


def _line_of(given: Any) -> Any:
    return one_line(given) if isinstance(given, str) else given


Line = Annotated[str, BeforeValidator(_line_of)]
"""Clean text on one line."""

Text = Annotated[str, AfterValidator(lambda text: clean(_cut(text)))]
"""Clean text of at most `TEXT_LIMIT` characters."""

Short = Annotated[str, Field(max_length=FIELD_LIMIT), BeforeValidator(_line_of)]
Needed = Annotated[str, Field(min_length=1, max_length=FIELD_LIMIT), BeforeValidator(_line_of)]
Name = Annotated[str, Field(min_length=1, max_length=100), BeforeValidator(_line_of)]


class Record(BaseModel):
    """Base of everything in a library: unknown keys are refused, values never change."""

    # A record is checked again when another takes it in: what stands in a file can always be read back.
    model_config = ConfigDict(extra="forbid", frozen=True, revalidate_instances="always")


class Advice(Record):
    """What a strategy says. A change of it is a new version.

    Attributes:
        scenario: the situation in a few sentences: what retrieval compares with a dialogue.
        when: the condition, as one clause.
        do: what to do then.
        avoid: what to leave, if anything.
        why: the reason, for people; it is never shown to a student.
        level: `general` ("show empathy before you ask") or `specific` ("use the customer's name").
    """

    scenario: Needed
    when: Short = ""
    do: Needed
    avoid: Short = ""
    why: Short = ""
    level: Level = "general"

    @property
    def guidance(self) -> str:
        """The strategy as the line that a student reads."""
        said = f"when {self.when}, {self.do}" if self.when else self.do
        said = said if said.endswith((".", "!", "?")) else f"{said}."
        return f"{said} avoid: {self.avoid}" if self.avoid else said

    @property
    def id(self) -> str:
        """Name of a strategy that begins with this advice: the same advice is one strategy, not two."""
        return content_hash([self.scenario, self.when, self.do, self.avoid], 10)


class Said(Record):
    """One message of a dialogue or prompt, as evidence."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text


class Evidence(Record):
    """Where a strategy comes from.

    Attributes:
        source: who wrote it: a teacher model, a person, or logs of people.
        dialogue: id of the example whose dialogue it was, or the name of a log.
        turn: the agent's turn at which the two replies were compared, from 0.
        messages: the dialogue up to that turn.
        student: what the student said.
        teacher: what the teacher said.
        verdict: how the comparison came out, in words.
        models: name of the model of each role that took part.
        prompt: what the teacher was asked; empty for a person.
    """

    source: Literal["model", "person", "logs"] = "model"
    dialogue: Text = ""
    turn: int = Field(default=0, ge=0)
    messages: tuple[Said, ...] = ()
    student: Text = ""
    teacher: Text = ""
    verdict: Text = ""
    models: dict[Name, Line] = Field(default_factory=dict)
    prompt: tuple[Said, ...] = ()


class Effect(Record):
    """What a strategy does to the student, with a 95 % interval, on the scale of the score or preference measured.

    Attributes:
        measure: what was compared: `state` (turns like the one it was learned at), `on-off` (dialogues with it
            against none), `leave-one-out` (the library with it against the library without it), `release` (a library
            against the one released before).
        estimate: mean paired difference, with minus without.
        low: lower end of the interval.
        high: upper end.
        n: pairs compared.
        better: pairs that were better with it.
        worse: pairs that were worse with it.
    """

    measure: Name
    estimate: float = Field(allow_inf_nan=False)
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    n: int = Field(ge=0)
    better: int = Field(default=0, ge=0)
    worse: int = Field(default=0, ge=0)

    @property
    def helps(self) -> bool:
        """True if the whole interval is above zero."""
        return self.low > 0

    @property
    def harms(self) -> bool:
        """True if the whole interval is below zero."""
        return self.high < 0


class Finding(Record):
    """What a check found against a strategy.

    Attributes:
        check: name of the check.
        severity: `block` (not to be approved without a reason) or `warn`.
        text: what was found.
    """

    check: Name
    severity: Literal["block", "warn"]
    text: Text


class Event(Record):
    """One line of a library.

    Attributes:
        strategy: id of the strategy that it is about.
        who: who did it: a person, or the part of Fulcrum.
        at: when: a time (ISO 8601, UTC), or the round of a training.
        reason: why, in the words of who did it.
    """

    strategy: Name
    who: Name
    at: Name
    reason: Short = ""


class Proposed(Event):
    """A strategy enters the library as version 1."""

    kind: Literal["proposed"] = "proposed"
    advice: Advice
    evidence: Evidence = Evidence()
    parents: tuple[Name, ...] = ()


class Decided(Event):
    """A strategy was approved, rejected or retired, or, rejected once, proposed again."""

    kind: Literal["approved", "rejected", "retired", "reopened"]


class Edited(Event):
    """A strategy got new words: version `parent + 1`, proposed and untested."""

    kind: Literal["edited"] = "edited"
    advice: Advice
    parent: int = Field(ge=1)


class Merged(Event):
    """A strategy was retired because another one, `into`, says the same."""

    kind: Literal["merged"] = "merged"
    into: Name


class Measured(Event):
    """The effect of one version was measured."""

    kind: Literal["effect"] = "effect"
    version: int = Field(ge=1)
    effect: Effect


class Checked(Event):
    """One version was checked; no finding is a result too."""

    kind: Literal["checked"] = "checked"
    version: int = Field(ge=1)
    findings: tuple[Finding, ...] = ()


class Note(Event):
    """Somebody wrote something down; `reason` holds it."""

    kind: Literal["note"] = "note"


AnyEvent = Annotated[Proposed | Decided | Edited | Merged | Measured | Checked | Note, Field(discriminator="kind")]
EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
"""Reads and writes one line."""


def read_advice(data: Any) -> Advice:
    """Return advice from what a form, a model or a log gave.

    Raises:
        LibraryError: a field is missing, unknown, empty or too long; the text names it.
    """
    try:
        return Advice.model_validate(data)
    except ValidationError as error:
        raise LibraryError(problem_of(error)) from None


def problem_of(error: ValidationError) -> str:
    """Return the first problem of a record in one sentence, without the text that was given."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def said(messages: Sequence[Message]) -> tuple[Said, ...]:
    """Return the messages of a dialogue or prompt as evidence; calls of tools are written out in the text."""
    return tuple(Said(role=message.role, content=_written(message)) for message in messages)


def _written(message: Message) -> str:
    calls = [f"[{call.name} {call.arguments}]" for call in message.tool_calls]
    return " ".join(part for part in (message.content, *calls) if part)
