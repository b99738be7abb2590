"""The task-token ledger: what a tuning spent, the scarce task tokens above all."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fulcrum.leverage.mix import MixedRow
from fulcrum.leverage.tokens import Size


@dataclass(frozen=True, slots=True)
class TokenLedger:
    """Tokens of one tuning; all but `*_loss` are tokens read, prompts included.

    Attributes:
        task_rows: different task rows.
        task_unique: tokens of these, anchor not counted: the scarce good, by which efficiency is measured.
        task_seen: the same, counted each time.
        task_loss: tokens of task answers that bore loss, counted each time.
        repeats: how often a task row was seen, on average.
        general_rows: different general rows.
        general_unique: tokens of these.
        general_seen: the same, counted each time.
        general_loss: tokens of general answers that bore loss, counted each time.
        anchor_seen: tokens that anchors added.
        steps: optimizer steps.
        flops: floating-point operations, estimated: 6 a weight and token read where all weights learn, 4 under an
            adapter, whose own weights are few.
    """

    task_rows: int
    task_unique: int
    task_seen: int
    task_loss: int
    repeats: float
    general_rows: int
    general_unique: int
    general_seen: int
    general_loss: int
    anchor_seen: int
    steps: int
    flops: float

    @property
    def task_share(self) -> float:
        """Share of the loss tokens that task rows bore."""
        return self.task_loss / max(1, self.task_loss + self.general_loss)

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {**asdict(self), "task_share": self.task_share}


def count(
    mix: Sequence[MixedRow],
    sizes: Sequence[Size],
    task: Sequence[Size],
    general: Sequence[Size],
    *,
    batch_size: int,
    parameters: int,
    full: bool,
) -> TokenLedger:
    """Count a mix.

    Args:
        mix: what is trained on, in order.
        sizes: of each of its rows, anchors included.
        task: sizes of the task rows without anchor.
        general: sizes of the general rows.
        batch_size: rows of a step.
        parameters: weights of the model.
        full: true if all of them learn.
    """
    ours = [(row.slot.row, size) for row, size in zip(mix, sizes, strict=True) if row.slot.source == "task"]
    others = [(row.slot.row, size) for row, size in zip(mix, sizes, strict=True) if row.slot.source == "general"]
    task_seen = sum(task[index].read for index, _ in ours)
    general_seen = sum(general[index].read for index, _ in others)
    read = sum(size.read for size in sizes)
    different, others_different = {index for index, _ in ours}, {index for index, _ in others}
    return TokenLedger(
        task_rows=len(different),
        task_unique=sum(task[index].read for index in different),
        task_seen=task_seen,
        task_loss=sum(size.loss for _, size in ours),
        repeats=len(ours) / max(1, len(different)),
        general_rows=len(others_different),
        general_unique=sum(general[index].read for index in others_different),
        general_seen=general_seen,
        general_loss=sum(size.loss for _, size in others),
        anchor_seen=read - task_seen - general_seen,
        steps=-(-len(mix) // batch_size),
        flops=float((6 if full else 4) * parameters * read),
    )
