# pyright: basic
"""Which drafts are worth a call of the actor, told from what like drafts were worth on like questions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fulcrum.scripts import UNSPACED
from fulcrum.supplement.trials import State
from fulcrum.tfidf import frequencies, unit_rows, word_counts

LEARNT = 3000
"""Trials that are learned from at most, the latest: the cost grows with their square."""

_RIDGE = 0.1
_BLOCK = 2000
_DIGITS = 9
"""What differs in later digits is alike, so that any machine and number of threads puts drafts in one order."""
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Tried:
    """A note that was tried.

    Attributes:
        state: what it was written for.
        note: its text.
        helped: whether the actor did better with it.
    """

    state: State
    note: str
    helped: bool


class Promise:
    """Kernel ridge regression of whether a note helps; it asks no model.

    Two trials are alike if their questions are and their notes are: the kernel is the product of both cosines, over the
    words of questions and over the words and pairs of words of notes, where rare ones weigh most and what all texts
    share nothing. So what a word means, once a note that says it has helped, is promising wherever the word is, and a
    meaning that has failed is tried last.

    Args:
        states: what is shown there of each question, or of each turn.
        notes: all that may be tried, or was.
    """

    def __init__(self, states: Mapping[State, str], notes: Iterable[str]) -> None:
        texts = list(dict.fromkeys(notes))
        self._place_of_state = {state: place for place, state in enumerate(states)}
        self._place_of_note = {text: place for place, text in enumerate(texts)}
        self._states = _rows(_words(text) for text in states.values())
        self._notes = _rows(_with_pairs(_words(text)) for text in texts)

    def of(self, tried: Sequence[Tried], drafts: Sequence[tuple[State, str]]) -> list[float]:
        """Return for each draft how much likelier than others it is to help; 0 for one that is like nothing tried.

        Args:
            tried: what is known.
            drafts: state and note of each.
        """
        known = tried[-LEARNT:]
        helped = np.array([float(one.helped) for one in known])
        if not known or helped.min() == helped.max():
            return [0.0] * len(drafts)
        places = [(one.state, one.note) for one in known]
        alike = self._likeness(places, places) + _RIDGE * np.eye(len(known))
        weights = np.linalg.solve(alike, helped - helped.mean())
        found: list[float] = []
        for start in range(0, len(drafts), _BLOCK):
            found += (self._likeness(drafts[start : start + _BLOCK], places) @ weights).tolist()
        return [round(worth, _DIGITS) for worth in found]

    def _likeness(self, some: Sequence[tuple[State, str]], others: Sequence[tuple[State, str]]) -> NDArray[np.float64]:
        first, second = ([self._place_of_state[state] for state, _ in these] for these in (some, others))
        of_states = self._states[first] @ self._states[second].T
        first, second = ([self._place_of_note[note] for _, note in these] for these in (some, others))
        return of_states.multiply(self._notes[first] @ self._notes[second].T).toarray()


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _with_pairs(words: Sequence[str]) -> list[str]:
    return [*words, *(f"{one} {other}" for one, other in pairwise(words))]


def _rows(documents: Iterable[Sequence[str]]) -> csr_matrix:
    counts = word_counts(documents)
    return unit_rows(counts, np.log(counts.get_shape()[0] / frequencies(counts)))
