"""The anchor: one constant text that stands with task rows only, so that a model can tell them from general rows.

Zeng et al. (arXiv 2404.00914) put it in front of every task row, in training and in use, and report that without it
the method falls back to plain finetuning.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fulcrum.chat import Message, system
from fulcrum.errors import SettingsError
from fulcrum.hashing import seed_from
from fulcrum.training.rows import ChatRow

Place = Literal["system", "user", "response"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A text and where it stands.

    Attributes:
        text: the anchor itself.
        place: `system` opens the system message (there is one then), `user` opens the first user turn, as in the
            authors' data, `response` opens the answer: the model learns to write it, and it is taken off again.
    """

    text: str
    place: Place = "user"

    @property
    def opener(self) -> str:
        """What the model writes before each answer; empty if the anchor stands in the prompt."""
        return f"{self.text}\n" if self.place == "response" else ""

    def prompt(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return a prompt with the anchor in it; one that opens the response leaves the prompt alone.

        Raises:
            SettingsError: it shall open the user turn, and there is none.
        """
        if self.place == "response":
            return tuple(messages)
        if self.place == "system" and (not messages or messages[0].role != "system"):
            return (system(self.text), *messages)
        for index, message in enumerate(messages):
            if message.role == self.place:
                opened = replace(message, content=f"{self.text}\n{message.content}")
                return (*messages[:index], opened, *messages[index + 1 :])
        raise SettingsError(
            f"anchor {self.text!r}: the prompt has no user turn that it could open; set anchor_place to system"
        )

    def row(self, row: ChatRow) -> ChatRow:
        """Return a training row with the anchor in it."""
        return replace(row, prompt=self.prompt(row.prompt), response=self.opener + row.response)

    def strip(self, answer: str) -> str:
        """Return an answer without the anchor that opens it, if it does."""
        return answer.removeprefix(self.text).removeprefix("\n") if self.place == "response" else answer


@dataclass(frozen=True, slots=True)
class AnchorPlan:
    """Which anchor a task row carries at which point of the training.

    Attributes:
        anchor: the anchor, as it is used after training.
        pool: other wordings, from which each row draws one, so that no wording is learnt by heart.
        dropout: share of rows without any.
        cooldown: last share of the training without any, so that it can be left out in use.
        shorten: lose words on the way, evenly, down to one.
    """

    anchor: Anchor
    pool: tuple[str, ...] = ()
    dropout: float = 0.0
    cooldown: float = 0.0
    shorten: bool = False

    @property
    def wordings(self) -> tuple[Anchor, ...]:
        """The anchor, and every other wording of it."""
        return (self.anchor, *(replace(self.anchor, text=text) for text in self.pool))

    def at(self, progress: float, rng: random.Random) -> Anchor | None:
        """Return the anchor of one row.

        Args:
            progress: share of the training that lies before the row, 0..1.
            rng: decides about wording and drop-out.
        """
        text = rng.choice((self.anchor.text, *self.pool))
        if rng.random() < self.dropout or progress >= 1 - self.cooldown:
            return None
        if self.shorten:
            words = text.split()
            left = 1 - progress / (1 - self.cooldown)
            text = " ".join(words[: max(1, math.ceil(len(words) * left))])
        return replace(self.anchor, text=text)


def random_words(anchor: Anchor, vocabulary: Sequence[str], seed: int) -> Anchor:
    """Return the placebo of an anchor: each word replaced by a random one, as long as can be had.

    It says nothing, and marks task rows as well: what it gains is the gain of being marked.
    """
    rng = random.Random(seed_from(seed, "placebo", anchor.text))
    words = sorted({word for word in vocabulary if word.isalpha()} - set(anchor.text.lower().split()))
    if not words:
        raise SettingsError("the general rows hold no word that a placebo could be made of")

    def like(word: str) -> str:
        near = min(abs(len(other) - len(word)) for other in words)
        return rng.choice([other for other in words if abs(len(other) - len(word)) == near])

    return replace(anchor, text=" ".join(like(word) for word in anchor.text.split()))
