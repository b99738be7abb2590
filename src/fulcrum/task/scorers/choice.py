"""The answer is right if it names the target label, and no other."""

import re
from functools import cached_property
from typing import Annotated

from pydantic import Field, field_validator

from fulcrum.errors import TaskError
from fulcrum.settings import nearest
from fulcrum.task.example import Example
from fulcrum.task.score import Score, right, unparsable, wrong
from fulcrum.task.scorers.boxed import last_boxed
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_text

_MARKER = re.compile(
    r"\b(?:answer|label|category|class|choice|option|intent)\b\W{0,4}(?:is\b|:|=)"
    r"(?:(?![-+]\d)\W){0,4}(?P<rest>[^\n]*)"  # the sign of a label such as -1 is part of it
)
_JOINT = re.compile(r"(?<=\w)(?:[ \t]+|_+|-)(?=\w)")
_DECORATION = "_ \t.,;:!?\"'`*()[]{}<>"


class ChoiceScorer(ConfiguredScorer):
    r"""Finds one of the labels in the answer.

    It looks, in this order, at the whole text; the last `\boxed{...}`; what follows the last "answer:" or "answer
    is" (also label, category, ...); the last line; and the whole text again, for a label that is the only one
    mentioned. The first place that mentions a label decides; if it mentions several, the answer is unparsable.
    Capital and small letters are the same, and so are a space, `_` and `-` between words.

    Attributes:
        labels: all labels, distinct in that sense.
    """

    kind = "choice"
    labels: Annotated[tuple[str, ...], Field(min_length=2)]

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for label in labels:
            if not label.strip() or "\n" in label:
                raise ValueError(f"label {label!r} is blank or has a line break")
            other = seen.setdefault(_bare(label), label)
            if other is not label:
                raise ValueError(f"labels {other!r} and {label!r} cannot be told apart in an answer; rename one")
        return labels

    def score(self, example: Example, text: str) -> Score:
        """Return right, wrong, or unparsable if no label or more than one is found."""
        target, found = self._target(example), self.find(text)
        if not found:
            return unparsable("none of the labels found")
        if len(found) > 1:
            return unparsable(f"several labels found: {', '.join(found)}")
        return right() if found == [target] else wrong(f"expected {target!r}, not {found[0]!r}")

    def gold(self, example: Example) -> str:
        """Return the target label."""
        return self._target(example)

    def answer_key(self, text: str) -> str | None:
        """Return the label found, None if there is none or more than one."""
        found = self.find(text)
        return found[0] if len(found) == 1 else None

    def find(self, text: str) -> list[str]:
        """Return the labels that the answer gives: one if it is clear, none or several if it is not."""
        if text.strip() in self.labels:
            return [text.strip()]
        if (exact := self._by_bare_form.get(_bare(text))) is not None:
            return [exact]
        lines = [line for line in text.splitlines() if line.strip()]
        markers = list(_MARKER.finditer(_fold(text)))
        places = [last_boxed(text), markers[-1]["rest"] if markers else None, lines[-1] if lines else None, text]
        for place in places:
            if place is not None and (found := self._mentioned(place)):
                return found
        return []

    def _mentioned(self, text: str) -> list[str]:
        if (exact := self._by_bare_form.get(_bare(text))) is not None:
            return [exact]
        return list(dict.fromkeys(self._by_bare_form[match.group()] for match in self._pattern.finditer(_fold(text))))

    def _target(self, example: Example) -> str:
        target = target_text(example)
        if target not in self.labels:
            where = example.source or example.id
            raise TaskError(f"{where}: target {target!r} is none of the labels{nearest(target, self.labels)}")
        return target

    @cached_property
    def _by_bare_form(self) -> dict[str, str]:
        return {_bare(label): label for label in self.labels}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Return what matches any label as a whole word, the longest first; a label in a longer one is no mention."""
        ordered = sorted(self._by_bare_form, key=len, reverse=True)
        return re.compile("|".join(_word_pattern(label) for label in ordered))


def _fold(text: str) -> str:
    return _JOINT.sub(" ", text.strip()).casefold()


def _bare(text: str) -> str:
    """Return the text as it is told apart from others: folded, without punctuation around it unless that is all."""
    folded = _fold(text)
    return folded.strip(_DECORATION) or folded


def _word_pattern(label: str) -> str:
    before = r"(?<![^\W_])(?<!-)" if label[0].isalnum() else ""
    after = r"(?![^\W_]|\.\d)" if label[-1].isalnum() else ""
    # The article "a" and the pronoun "I" are no mention of the options A and I.
    article = r"(?!['\u2019]|\s+(?!is\b)[^\W\d_])" if label in ("a", "i") else ""
    return f"{before}{re.escape(label)}{after}{article}"
