"""What the review page needs of a society: questions with the agents' answers, and a place for what people say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Word:
    """One thing that a person says about a question.

    Attributes:
        kind: `label`: the right answer is `answer`. `prefer`: `agent` should rather say `chosen` than `rejected`.
            `veto`: `agent` shall not learn from this question.
        by: who says it.
        agent: whom it concerns; empty for a label.
        answer: the right answer; None says that the question has none.
        chosen: what the agent should say.
        rejected: what it said.
    """

    kind: Literal["label", "prefer", "veto"]
    by: str
    agent: str = ""
    answer: str | None = None
    chosen: str = ""
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one agent said.

    Attributes:
        agent: its name.
        text: what it said; why it said nothing, if the call failed.
        answer: the answer in it; None if there is none.
        round: of the debate, from 1.
        failed: true if the call failed: then there is no text that it could have said better.
    """

    agent: str
    text: str
    answer: str | None
    round: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A question on which a person's word may help.

    Attributes:
        id: its name.
        text: what the agents were asked.
        votes: how often each answer was given in the last round.
        label: the answer that training takes for right; None if it has none.
        source: who says so: `vote`, `person`, ...
        statements: what the agents said, round by round.
        words: what people have said of it, the first first; what was said again stands there again.
        steered: whether these agents learn what people prefer, and not what they veto; else labels only count.
    """

    id: str
    text: str
    votes: Mapping[str, int]
    label: str | None
    source: str
    statements: Sequence[Statement] = ()
    words: Sequence[Word] = ()
    steered: bool = True

    @property
    def revision(self) -> int:
        """How much people have said of it: who answers names what they have seen."""
        return len(self.words)

    @property
    def agreement(self) -> float:
        """Share of the votes that the strongest answer has, 0..1; 0 if nobody voted."""
        return max(self.votes.values()) / sum(self.votes.values()) if self.votes else 0.0


class FeedbackQueue(Protocol):
    """Questions for people, and their answers."""

    def questions(self) -> Sequence[Question]:
        """Return all questions, those whose votes are most split first."""
        ...

    def say(self, id: str, word: Word, revision: int) -> bool:
        """Keep what a person says of a question.

        Args:
            id: the question, one of `questions`.
            word: what is said.
            revision: `Question.revision` as the person saw it.

        Returns:
            False, and nothing is kept, if others have spoken since then.

        Raises:
            RunError: an answer is none that the task can read.
        """
        ...
