"""Pseudo-labels: what the last round agrees on stands in for the answer that nobody knows."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from fulcrum.errors import TaskError
from fulcrum.evaluation.baselines import majority
from fulcrum.evaluation.statistics import wilson
from fulcrum.hashing import seed_from
from fulcrum.society.debate import Transcript
from fulcrum.society.settings import SocietySettings
from fulcrum.task import Example, Split, Task


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """The answer that a question's training rows must give.

    Attributes:
        question_id: the question.
        answer: its key; None if there is no label.
        votes: how often each answer was given in the last round.
        margin: lead of the winner over the runner-up, as a share of the participants.
        source: who says so: the agents' `vote`, a `person`, or the `gold` target (STaR only).
    """

    question_id: str
    answer: str | None
    votes: Mapping[str, int]
    margin: float
    source: Literal["vote", "person", "gold"] = "vote"

    def to_json(self) -> dict[str, Any]:
        """Return the label as JSON."""
        return {**asdict(self), "votes": dict(self.votes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**data)


def label(transcript: Transcript, settings: SocietySettings, seed: int) -> PseudoLabel:
    """Return the majority of a debate's last round.

    Answers that failed or cannot be read do not vote, but the margin is a share of all participants: two of three
    that agree lead by two thirds if the third said nothing, by one third if it said something else.
    """
    lead = margin(transcript)
    answer = majority([statement.key for statement in transcript.last], seed_from(seed, transcript.question_id))
    if lead < settings.min_margin or (lead == 0 and settings.tie == "drop"):
        answer = None
    return PseudoLabel(transcript.question_id, answer, dict(transcript.votes), lead)


def margin(transcript: Transcript) -> float:
    """Return the lead of the most frequent last answer over the next, as a share of the participants."""
    counts = [*sorted(transcript.votes.values(), reverse=True), 0, 0]
    return (counts[0] - counts[1]) / len(transcript.last)


def gold_label(task: Task, example: Example, transcript: Transcript) -> PseudoLabel:
    """Return the target as a label, for STaR.

    Raises:
        TaskError: the example has no target.
    """
    return PseudoLabel(example.id, task.answer_key(task.gold(example)), dict(transcript.votes), 1.0, "gold")


def all_said(label: PseudoLabel, debates: Iterable[Transcript]) -> bool:
    """Return whether every participant gave the label's answer, at first in some debate and at last in some."""
    held = [debate for debate in debates if debate.question_id == label.question_id]
    return all(
        any(debate.track(participant)[place].key == label.answer for debate in held)
        for participant in range(len(held[0].first))
        for place in (0, -1)
    )


def by_chance(labels: Sequence[PseudoLabel]) -> bool:
    """Return whether no two agents agreed on any question, so that their votes are chance."""
    return all(max(label.votes.values(), default=0) < 2 for label in labels)


def without_chance(labels: Sequence[PseudoLabel]) -> list[PseudoLabel]:
    """Return the labels; where all votes are chance, only what people said is still one."""
    if not by_chance(labels):
        return list(labels)
    return [replace(label, answer=None) if label.source == "vote" else label for label in labels]


def nothing_to_learn(debates: Sequence[Transcript], labels: Sequence[PseudoLabel]) -> str | None:
    """Return why these debates teach nothing, in a sentence; None if they do.

    A base that is always right, or always wrong in one way, never disagrees; one that is never right finds no two
    agents that agree, or no answer at all: then only a person's answers are left to learn.
    """
    taught = any(label.source == "person" and label.answer is not None for label in labels)
    if not taught and not any(label.votes for label in labels):
        return (
            f"None of the agents gave a final answer that can be read, on any of {len(debates)} questions: there is "
            "nothing to vote on. Look at the answers in the debates, and let the task's prompt ask for the form that "
            "its scorer reads."
        )
    if not taught and by_chance(labels):
        return (
            f"No two agents agreed on any of {len(debates)} questions: their votes are chance, and would be learnt as "
            "such. Take easier questions, a stronger model, or a lower debate.temperature."
        )
    if not any(label.answer is not None for label in labels):
        return (
            f"No question of {len(debates)} has a label: every vote is tied or below min_margin. Lower min_margin, or "
            'set tie to "random".'
        )
    answers = {label.question_id: label.answer for label in labels}
    firsts = [(said.key, answers[debate.question_id]) for debate in debates for said in debate.first]
    if all(key == answer for key, answer in firsts):
        return (
            f"All agents gave the same answer to each of {len(debates)} questions, before and after the debate: they "
            "have nothing to teach each other. Take harder questions, or a higher debate.temperature."
        )
    return None


def right_answers(task: Task, split: Split) -> dict[str, str | None]:
    """Return the right answers of a split by question, where they can be told: for measures, never for training."""
    found: dict[str, str | None] = {}
    for example in task.examples(split):
        with suppress(TaskError):  # it has no target, or its scorer does not tell what would be right
            found[example.id] = task.answer_key(task.gold(example))
    return found


def label_report(known: Mapping[str, str | None], labels: Sequence[PseudoLabel]) -> list[dict[str, Any]]:
    """Return how often the labels are right by margin. Nothing is learnt from this.

    Args:
        known: the right answers, as far as they are known.
        labels: what the agents voted for.

    Returns:
        A row for each margin and one for all: labels, right ones, share with its 95 % interval (Wilson).
    """
    labelled = [label for label in labels if label.answer is not None and label.question_id in known]
    rows: list[dict[str, Any]] = []
    for margin in [*sorted({round(label.margin, 4) for label in labelled}), None]:
        chosen = [label for label in labelled if margin is None or round(label.margin, 4) == margin]
        if not chosen:
            continue
        right = sum(label.answer == known[label.question_id] for label in chosen)
        share = wilson(right, len(chosen))
        rows.append(
            {"margin": margin, "labels": len(chosen), "right": right}
            | {"share": share.estimate, "low": share.low, "high": share.high}
        )
    return rows
