"""The mix: anchored task rows, shuffled into general rows, as one list in the order of training.

The ratio is one of tokens that bear loss, not of rows: a short general answer weighs less than a long task answer.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, PositiveInt, model_validator

from fulcrum.atomic import write_text
from fulcrum.errors import SettingsError
from fulcrum.hashing import canonical_json, seed_from
from fulcrum.leverage.anchor import AnchorPlan
from fulcrum.settings import Settings
from fulcrum.training.rows import ChatRow

Source = Literal["task", "general"]
Schedule = Literal["shuffled", "interleaved", "general-then-task", "task-late"]
Anchored = Literal["task", "all"]


class MixSettings(Settings):
    """How task rows and general rows come together; the defaults are the paper's plain shuffle.

    Attributes:
        task_share: share of the loss tokens that task rows bear. Without it every task row stands once in each
            epoch. With it, task rows are repeated as often as that takes, but at least once and at most `repeat_cap`
            times in the whole training; where that binds, the ledger shows the share that came of it.
        repeat_cap: how often a task row may be seen in the whole training.
        epochs: passes over the general rows, each a fresh mix.
        schedule: `shuffled` mixes each epoch anew (the paper); `interleaved` draws each next row from either source by
            probability; `general-then-task` is training in two stages; `task-late` keeps the task to the second half.
    """

    task_share: float | None = Field(default=None, gt=0, lt=1)
    repeat_cap: PositiveInt = 20
    epochs: PositiveInt = 1
    schedule: Schedule = "shuffled"

    @model_validator(mode="after")
    def _within_cap(self) -> Self:
        if self.task_share is None and self.epochs > self.repeat_cap:
            raise ValueError(
                f"epochs {self.epochs} would show every task row {self.epochs} times, over repeat_cap "
                f"{self.repeat_cap}; raise repeat_cap, or set task_share"
            )
        return self


class Slot(NamedTuple):
    """A place in the mix: which row stands there, and in which pass over its source."""

    source: Source
    row: int
    turn: int


def plan_mix(task: Sequence[int], general: Sequence[int], settings: MixSettings, seed: int) -> list[Slot]:
    """Return the order of training.

    Args:
        task: loss tokens of each task row.
        general: loss tokens of each general row.
        settings: ratio, repeats, schedule.
        seed: the same seed gives the same mix.

    Raises:
        SettingsError: there is nothing to mix.
    """
    if not task or not general:
        missing = "task" if not task else "general"
        raise SettingsError(f"mix: there are no {missing} rows; a mix needs both")
    general_epochs, task_epochs = _deal(task, general, settings, seed)
    rng = random.Random(seed_from(seed, "mix", settings.schedule))
    if settings.schedule == "shuffled":
        epochs = [[*one, *other] for one, other in zip(task_epochs, general_epochs, strict=True)]
        for epoch in epochs:
            rng.shuffle(epoch)
        return list(itertools.chain.from_iterable(epochs))
    ours, others = (list(itertools.chain.from_iterable(epochs)) for epochs in (task_epochs, general_epochs))
    if settings.schedule == "general-then-task":
        return [*others, *ours]
    if settings.schedule == "task-late":
        middle = len(others) // 2
        late = [*others[middle:], *ours]
        rng.shuffle(late)
        return [*others[:middle], *late]
    return list(_interleave(ours, others, rng))


def repeat(source: Source, rows: int, length: int, seed: int) -> list[Slot]:
    """Return `length` rows of one source alone: pass after pass over its `rows` rows, each in a new order."""
    return list(itertools.islice(_deck(source, rows, seed), length))


def _deal(
    task: Sequence[int], general: Sequence[int], settings: MixSettings, seed: int
) -> tuple[list[list[Slot]], list[list[Slot]]]:
    """Return the general and the task rows of each epoch, at the wanted ratio."""
    others, ours = _deck("general", len(general), seed), _deck("task", len(task), seed)
    if settings.task_share is None:
        epochs = range(settings.epochs)
        return (
            [list(itertools.islice(others, len(general))) for _ in epochs],
            [list(itertools.islice(ours, len(task))) for _ in epochs],
        )
    once = sum(task)
    wanted = settings.task_share / (1 - settings.task_share) * settings.epochs * sum(general)
    wanted = min(max(wanted, once), settings.repeat_cap * once)
    ours = itertools.islice(ours, settings.repeat_cap * len(task))
    task_epochs: list[list[Slot]] = []
    dealt = 0
    for epoch in range(1, settings.epochs + 1):
        rows, dealt = _until(ours, task, wanted * epoch / settings.epochs, dealt)
        task_epochs.append(rows)
    return [list(itertools.islice(others, len(general))) for _ in task_epochs], task_epochs


def _until(slots: Iterator[Slot], tokens: Sequence[int], wanted: float, have: int) -> tuple[list[Slot], int]:
    """Take rows until their tokens, with those had before, reach `wanted`: less than one row too much."""
    taken: list[Slot] = []
    while have < wanted and (slot := next(slots, None)):
        taken.append(slot)
        have += tokens[slot.row]
    return taken, have


def _deck(source: Source, size: int, seed: int) -> Iterator[Slot]:
    """Deal rows for ever: pass after pass, each in a new order."""
    for turn in itertools.count():
        order = list(range(size))
        random.Random(seed_from(seed, source, turn)).shuffle(order)
        for index in order:
            yield Slot(source, index, turn)


def _interleave(ours: list[Slot], others: list[Slot], rng: random.Random) -> Iterator[Slot]:
    share = len(ours) / (len(ours) + len(others))
    left, right = iter(ours), iter(others)
    while True:
        first, second = (left, right) if rng.random() < share else (right, left)
        slot = next(first, None) or next(second, None)
        if slot is None:
            return
        yield slot


@dataclass(frozen=True, slots=True)
class MixedRow:
    """A row of the mix.

    Attributes:
        row: what is trained on.
        slot: where it comes from.
        anchor: the anchor's text in it, None if it has none.
    """

    row: ChatRow
    slot: Slot
    anchor: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row in TRL's prompt-completion form, with its origin beside it."""
        source, row, turn = self.slot
        return {**self.row.to_json(), "source": source, "row": row, "pass": turn, "anchor": self.anchor}


def fill(
    slots: Sequence[Slot],
    task: Sequence[ChatRow],
    general: Sequence[ChatRow],
    plan: AnchorPlan | None,
    seed: int,
    anchored: Anchored = "task",
) -> list[MixedRow]:
    """Return the rows of the mix, each with the anchor that the plan gives it.

    Args:
        slots: the order, from `plan_mix` or `repeat`.
        task: rows without anchor.
        general: rows of everything else.
        plan: None leaves all rows as they are.
        seed: of whatever in the plan is drawn.
        anchored: `all` is a placebo: the anchor tells nothing any more.
    """
    mixed: list[MixedRow] = []
    for place, slot in enumerate(slots):
        row = task[slot.row] if slot.source == "task" else general[slot.row]
        anchor = None
        if plan and (slot.source == "task" or anchored == "all"):
            anchor = plan.at(place / len(slots), random.Random(seed_from(seed, "anchor", place)))
        mixed.append(MixedRow(anchor.row(row) if anchor else row, slot, anchor.text if anchor else None))
    return mixed


def write_mix(path: Path, rows: Sequence[MixedRow]) -> None:
    """Write one row a line, for a person to read and for any trainer; the same mix always gives the same bytes."""
    write_text(path, "".join(canonical_json(row.to_json()) + "\n" for row in rows))
