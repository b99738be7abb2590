"""Proof without a model that a task can be solved: every gold answer scores 1.0."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fulcrum.errors import TaskError
from fulcrum.task.example import SPLITS, Example, Split
from fulcrum.task.score import Score
from fulcrum.task.scorers import JudgeScorer
from fulcrum.task.task import Expert, Task

_LONGEST_EPISODE = 200
"""Turns after which a dialogue is held not to end."""
_FEW_TESTED = 50
_WANTED_FOR: Mapping[Split, str] = {
    "train": "no method learns without them, and solved examples in prompts come from them",
    "dev": "methods choose by them",
    "test": "`fulcrum evaluate` asks them",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a task.

    Attributes:
        source: `file:line` of the example, its id if it has none, or the task.
        message: what is wrong.
        split: where the example stands; None if the problem is the task's.
    """

    source: str
    message: str
    split: Split | None = None

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"

    def to_json(self) -> dict[str, str | None]:
        """Return the problem for machines."""
        return {"split": self.split, "source": self.source, "message": self.message}


def validate(task: Task) -> list[Problem]:
    """Score the gold answer of every example of every split, and name those that do not score 1.0.

    Train examples without a target are no problem: some methods need none.
    In a dialogue task the task's expert plays every dialogue instead. No model is called; `unchecked` says what that
    leaves open.
    """
    if not any(task.splits.get(split) for split in SPLITS):
        return [Problem(task.name, "there is no example in any split")]
    unanswered = {example.id for example in task.unlabelled("train")}
    return [
        Problem(example.source or example.id, message, split)
        for split in SPLITS
        for example in task.splits.get(split, ())
        for message in _faults(task, example, answered=example.id not in unanswered)
    ]


def unchecked(task: Task) -> str | None:
    """Return what `validate` cannot check of this task, None if it checks all."""
    if isinstance(task.scorer, JudgeScorer):
        return "the judge is a model, so what gold answers score was not checked"
    if task.environment is not None and task.expert is None:
        return "the task has no expert, so that its dialogues can be won was not checked"
    if missing := len(task.unlabelled("train")):
        return f"{missing} train examples have no target, so what gold answers to them score was not checked"
    return None


def gaps(task: Task) -> list[str]:
    """Return what is amiss though no example is wrong: empty splits, a small test split, prompts in two splits."""
    said = [f"there are no {split} examples: {why}" for split, why in _WANTED_FOR.items() if not task.splits.get(split)]
    tested = len(task.splits.get("test", ()))
    if 0 < tested < _FEW_TESTED:
        within = 98 / math.sqrt(tested)  # 1.96 standard errors of a share of one half, in points
        said.append(f"{tested} test examples tell a score to within {within:.0f} points: only a large gain will show")
    if shared := [] if task.environment else _in_two_splits(task):
        said.append(
            f"{len(shared)} examples have a prompt that stands in another split (such as {' and '.join(shared[0])}), "
            "so a score may be memory: keep one of them, or leave out of fields what no prompt shows"
        )
    return said


def _in_two_splits(task: Task) -> list[tuple[str, str]]:
    """Return each pair of places where the prompt shows the same, in two splits."""
    found: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for split in SPLITS:
        shown = {task.shown(example): example.source or example.id for example in task.splits.get(split, ())}
        found += [(seen[text], source) for text, source in shown.items() if text in seen]
        seen |= shown
    return found


def proved(task: Task) -> str:
    """Return in a phrase what it means that `validate` found no problem."""
    return unchecked(task) or ("every gold answer scores 1.0" if task.scorer else "the expert solves every dialogue")


def _faults(task: Task, example: Example, *, answered: bool) -> Iterator[str]:
    try:
        task.question(example)
        if not answered:
            return
        if isinstance(task.scorer, JudgeScorer):
            task.scorer.check(example)
        elif task.scorer is not None:
            gold = task.gold(example)
            yield from _shortfall(task.scorer.score(example, gold), f"the gold answer {gold!r:.80}")
        elif task.expert is not None:
            yield from _play(task, example, task.expert)
    except TaskError as error:
        yield str(error).removeprefix(f"{example.source}: ")


def _play(task: Task, example: Example, expert: Expert) -> Iterator[str]:
    episode = task.open(example.id)
    for _ in range(_LONGEST_EPISODE):
        if episode.done:
            yield from _shortfall(episode.score(), "the expert")
            return
        episode.step(expert(episode))
    yield f"the dialogue with the expert does not end in {_LONGEST_EPISODE} turns"


def _shortfall(score: Score, who: str) -> Iterator[str]:
    if score.verdict != "right":
        worth = "nothing (failed)" if score.value is None else f"{score.value:g} ({score.verdict})"
        yield f"{who} scores {worth}" + (f": {score.feedback}" if score.feedback else "")
