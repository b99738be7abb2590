"""Supplements tried in front of the actor, and the store that keeps them: one line of JSON each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fulcrum.atomic import read_lines, write_lines
from fulcrum.chat import Message
from fulcrum.supplement.forms import NONE, Supplement
from fulcrum.task import Verdict

State = tuple[str, tuple[Message, ...]]
"""What a supplement was written for: the question's id, and what had been said since."""


@dataclass(frozen=True, slots=True)
class Written:
    """One supplement and what it was written for.

    Attributes:
        since: messages of the dialogue after the question's prompt; empty for its first turn.
        supplement: what the generator wrote.
    """

    since: tuple[Message, ...]
    supplement: Supplement


@dataclass(frozen=True, slots=True)
class Trial:
    """What one draft of the generator led to.

    Attributes:
        query: id of the question.
        asked: what the generator was asked for.
        written: its supplement; empty if the generator failed. Of the actor alone nothing, in every state that a
            supplement could be written for.
        values: score of each of the actor's attempts; None where the call failed, which is no label.
        verdicts: the scorer's word for each.
        answers: the actor's last text in each.
        calls: calls of the actor, from the supplement on.
        failure: kind of the generator's failure, if it failed.
    """

    query: str
    asked: str
    written: tuple[Written, ...]
    values: tuple[float | None, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    answers: tuple[str, ...] = ()
    calls: int = 0
    failure: str | None = None

    @property
    def said(self) -> list[tuple[State, Supplement]]:
        """What was written, and for which state."""
        return [((self.query, one.since), one.supplement) for one in self.written]

    @property
    def labels(self) -> list[float]:
        """The scores that label what was said: of all attempts that did not fail, if any of them could be judged.

        Beside answers that can be judged, one that cannot is worth 0, as in an evaluation: were it left out, to keep
        the actor from answering where it errs would seem to help. On its own it tells nothing about what was said.
        """
        if set(self.verdicts) <= {"unparsable", "failed"}:
            return []
        return [value for value in self.values if value is not None]

    def with_attempts(self, other: "Trial") -> Self:
        """Return the trial with the attempts of another one of the same."""
        return replace(
            self,
            values=self.values + other.values,
            verdicts=self.verdicts + other.verdicts,
            answers=self.answers + other.answers,
            calls=self.calls + other.calls,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the trial as a line of the store holds it."""
        return {
            "query": self.query,
            "asked": self.asked,
            "written": [
                {
                    "since": [message.to_json() for message in one.since],
                    "form": one.supplement.form,
                    "body": one.supplement.body,
                }
                for one in self.written
            ],
            "values": self.values,
            "verdicts": self.verdicts,
            "answers": self.answers,
            "calls": self.calls,
            "failure": self.failure,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        written = tuple(
            Written(tuple(Message.from_json(message) for message in one["since"]), Supplement(one["form"], one["body"]))
            for one in data["written"]
        )
        several = {name: tuple(data[name]) for name in ("values", "verdicts", "answers")}
        return cls(data["query"], data["asked"], written, **several, calls=data["calls"], failure=data["failure"])


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """Write a store, whole or not at all."""
    write_lines(path, (trial.to_json() for trial in trials))


def read_trials(path: Path) -> list[Trial]:
    """Read a store."""
    return [Trial.from_json(row) for row in read_lines(path)]


def asked_about(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials that the actor had to be asked about: equal words are one, and silence is known already."""
    found = {
        (trial.query, trial.written): trial
        for trial in trials
        if any(one.supplement.form != NONE for one in trial.written)
    }
    return list(found.values())


def actor_calls(trials: Iterable[Trial]) -> int:
    """Return the calls of the actor that some trials took."""
    return sum(trial.calls for trial in asked_about(trials))
