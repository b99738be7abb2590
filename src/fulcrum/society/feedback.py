"""People in the loop: append-only events that fix a label, prefer one answer to another, or veto a critic's edit.

The events of a run stand in its `feedback.jsonl`. They are part of the inputs of every stage that they change, so the
same command that made the run, called again after new feedback, trains again exactly what the feedback changes.
"""

import fcntl
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from fulcrum.chat import Message
from fulcrum.errors import RunError
from fulcrum.hashing import canonical_json, content_hash, seed_from
from fulcrum.society.arms import LINES
from fulcrum.society.debate import Transcript, asked, conversation
from fulcrum.society.labels import PseudoLabel, margin
from fulcrum.society.rows import Vetoes
from fulcrum.society.settings import AnnotatorSettings
from fulcrum.training.rows import PreferenceRow

FILE = "feedback.jsonl"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a person said.

    Attributes:
        kind: `label` (the right answer is `answer`), `prefer` (the agent should rather say `chosen` than `rejected`),
            `veto` (the agent shall not learn from its debate on the question).
        question_id: the question.
        by: who said it.
        agent: whom it concerns, such as `critic-2`; empty for a label.
        answer: key of the right answer; None says that the question has none, and it is left out.
        chosen: text that the agent should rather give.
        rejected: text that it gave.
    """

    kind: Literal["label", "prefer", "veto"]
    question_id: str
    by: str
    agent: str = ""
    answer: str | None = None
    chosen: str = ""
    rejected: str = ""

    @property
    def id(self) -> str:
        """Content hash: the same thing said twice counts once."""
        return content_hash(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the event as one line of `feedback.jsonl`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Feedback:
    """All that people said in a run.

    Attributes:
        said: every line, in the order in which they were given.
    """

    said: tuple[Event, ...] = ()

    @property
    def events(self) -> tuple[Event, ...]:
        """Each event once, where it was last said."""
        return tuple({event.id: event for event in reversed(self.said)}.values())[::-1]

    def correct(self, labels: Iterable[PseudoLabel]) -> list[PseudoLabel]:
        """Return the labels with those that a person fixed; the last word on a question counts."""
        said = {event.question_id: event.answer for event in self.events if event.kind == "label"}
        return [
            replace(label, answer=said[label.question_id], source="person") if label.question_id in said else label
            for label in labels
        ]

    @property
    def vetoes(self) -> Vetoes:
        """What agents shall not learn."""
        return frozenset((event.agent, event.question_id) for event in self.events if event.kind == "veto")

    def preferences(self, agent: str, debates: Sequence[Transcript], update: str) -> list[PreferenceRow]:
        """Return what one agent should rather say, as rows for preference training.

        Args:
            agent: one of the society's.
            debates: what it was asked in; a question that it was not asked makes no row.
            update: template of a critic's prompt.
        """
        known = {debate.question_id: debate for debate in reversed(debates)}  # what the person saw was held first
        return [
            PreferenceRow(prompt, event.chosen, event.rejected)
            for event in self.events
            if event.kind == "prefer" and event.agent == agent and event.question_id in known
            if (prompt := _prompt(event, known[event.question_id], update))
        ]


def _prompt(event: Event, debate: Transcript, update: str) -> tuple[Message, ...] | None:
    """Return what an agent saw before it said the rejected text; if it did not here, before its last word.

    A critic that heard nobody, or whose call came to nothing before, was not asked: there is no prompt then.
    """
    line = LINES["society"]
    for participant in range(len(debate.first)):
        if event.agent == line.generator(participant):
            return debate.messages
        if event.agent == line.critic(participant):
            said = asked(debate.track(participant)).values()
            prompts = conversation(debate.messages, said, update)
            turns = [(one.completion.text, prompt) for one, prompt in zip(said, prompts, strict=True)][1:]
            return dict(reversed(turns)).get(event.rejected, turns[-1][1]) if turns else None
    return None


def read_feedback(folder: Path) -> Feedback:
    """Return what was said in a run; a last line that a kill cut short is left out.

    Raises:
        RunError: a line is no event.
    """
    path = folder / FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    said: list[Event] = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            said.append(Event.from_json(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise RunError(f"{path}:{number}: not a feedback event ({error}); mend or remove the line") from error
    return Feedback(tuple(said))


def append_feedback(folder: Path, events: Sequence[Event], heard: int | None = None) -> bool:
    """Add events to a run, one writer at a time; a line that a kill left unfinished is cut off first.

    Args:
        folder: of the run.
        events: what was said.
        heard: how often the speaker has seen something said of these questions, what was said again included; None for
            whoever need not have seen any.

    Returns:
        False, and nothing is added, if others have spoken since.
    """
    with (folder / FILE).open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        about = {event.question_id for event in events}
        if heard is not None and heard != sum(event.question_id in about for event in read_feedback(folder).said):
            return False
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write("".join(canonical_json(event.to_json()) + "\n" for event in events).encode())
    return True


def most_split(debates: Sequence[Transcript]) -> list[Transcript]:
    """Return the debates by how split their votes are, the most split first: where a person's word tells most."""
    return sorted(debates, key=lambda debate: (margin(debate), debate.question_id))


def simulate(
    debates: Sequence[Transcript],
    gold: Mapping[str, str | None],
    settings: AnnotatorSettings,
    seed: int,
) -> list[Event]:
    """Return what a simulated person says of the labels.

    Args:
        debates: what the person sees.
        gold: the right answer of each question that has one; others are passed over.
        settings: how many questions, which, and how often the person is wrong.
        seed: of choice and error.

    Raises:
        RunError: labels are wanted, and no question has a right answer to go by.
    """
    generator = random.Random(seed_from(seed, "annotator"))
    order = [debate for debate in most_split(debates) if gold.get(debate.question_id) is not None]
    if not order and settings.labels:
        raise RunError(
            "settings.annotator: a simulated person answers by the targets, and no question debated has one; set "
            "labels to 0, or let people answer with `fulcrum review`"
        )
    if settings.choose == "random":
        generator.shuffle(order)
    events: list[Event] = []
    for debate in order[: settings.labels]:
        right = gold[debate.question_id]
        others = sorted({said.key for said in (*debate.first, *debate.last) if said.key not in (None, right)}, key=str)
        errs = generator.random() < settings.error_rate and others
        events.append(
            Event("label", debate.question_id, "simulated", answer=generator.choice(others) if errs else right)
        )
    return events
