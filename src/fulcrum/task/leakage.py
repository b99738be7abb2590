"""Do rows to train on hold what a task tests? Exact and near copies, found by shingles of words."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fulcrum.chat import Message
from fulcrum.scripts import UNSPACED
from fulcrum.task.example import Split
from fulcrum.task.task import Task

Shingle = tuple[str, ...]

SIZE = 3
"""Words in a shingle."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")

NEAR = 0.8
"""Share of an input's shingles that a row must hold to count as a near copy."""


@dataclass(frozen=True)
class Leakage:
    """What was found.

    Attributes:
        exact: pairs of row and input (their indices) where the row holds the whole input.
        near: pairs where it holds most of it.
        inputs: what was looked for.
    """

    exact: tuple[tuple[int, int], ...]
    near: tuple[tuple[int, int], ...]
    inputs: tuple[str, ...] = ()

    @property
    def rows(self) -> set[int]:
        """Indices of the rows that hold an input, or most of one."""
        return {row for row, _ in (*self.exact, *self.near)}

    @property
    def clean(self) -> bool:
        """True if nothing was found."""
        return not self.exact and not self.near


def task_leakage(
    task: Task, rows: Iterable[tuple[Sequence[Message], str]], splits: Sequence[Split] = ("dev", "test")
) -> Leakage:
    """Return which rows hold inputs of a task's held-out splits; what its template says of every input is no input."""
    examples = [example for split in splits for example in task.splits.get(split, ())]
    return find_leakage(rows, [task.shown(example) for example in examples])


def find_leakage(rows: Iterable[tuple[Sequence[Message], str]], inputs: Sequence[str], near: float = NEAR) -> Leakage:
    """Return which rows hold which inputs.

    A row may say more than the input (an instruction before it), so what counts is the share of the input's shingles
    that stand in the row, prompt and answer. Capitals, punctuation and spaces do not matter. One that is shorter than a
    shingle may stand anywhere by chance; it is found where a line says it and nothing else.

    Args:
        rows: the mixture.
        inputs: what must not be in it, such as the test split's messages.
        near: share of shingles from which on a row counts as a near copy.
    """
    wanted = [_words(text) for text in inputs]
    shingles = [_shingles(words) for words in wanted]
    homes = _rarest(shingles, near)
    exact: list[tuple[int, int]] = []
    close: list[tuple[int, int]] = []
    for row, (messages, answer) in enumerate(rows):
        said = [*(message.content for message in messages), answer]
        text = _words(" ".join(said))
        lines = (tuple(_words(line)) for part in said for line in part.splitlines())
        its = _shingles(text) | {line for line in lines if len(line) < SIZE}
        for index in sorted({index for shingle in its for index in homes.get(shingle, ())}):
            if f" {' '.join(wanted[index])} " in f" {' '.join(text)} ":
                exact.append((row, index))
            elif len(shingles[index] & its) >= near * len(shingles[index]):
                close.append((row, index))
    return Leakage(tuple(exact), tuple(close), tuple(inputs))


def _rarest(shingles: Sequence[set[Shingle]], near: float) -> dict[Shingle, list[int]]:
    """Return where the rarest shingles of each input stand: so many that a near copy must hold one of them."""
    frequency = Counter(shingle for its in shingles for shingle in its)
    homes: defaultdict[Shingle, list[int]] = defaultdict(list)
    for index, its in enumerate(shingles):
        needed = len(its) - math.ceil(near * len(its)) + 1
        for shingle in sorted(its, key=lambda one: (frequency[one], one))[:needed]:
            homes[shingle].append(index)
    return homes


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _shingles(words: Sequence[str]) -> set[Shingle]:
    """Return all runs of words; a text shorter than a run is one shingle of its own."""
    size = min(SIZE, len(words))
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)} if words else set()
