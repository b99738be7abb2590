"""What an arm tries: every training that the settings ask for, known without loading a model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fulcrum.leverage.anchor import AnchorPlan
from fulcrum.leverage.arms import Arm
from fulcrum.leverage.mix import Anchored, MixSettings
from fulcrum.leverage.settings import LeverageSettings


@dataclass(frozen=True, slots=True)
class Cell:
    """Where on the map a training stands: how many rows of each kind there are, and the seed."""

    task_rows: int
    general_rows: int
    seed: int


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything that decides one training.

    Attributes:
        cell: rows to be had.
        mix: how they are mixed; None trains on one kind alone.
        length: rows trained on where there is no mix.
        general_only: that one kind is the general one.
        plan: the anchor; None for no anchor.
        anchored: which rows carry it.
        learning_rate: peak rate.
    """

    cell: Cell
    mix: MixSettings | None
    length: int
    general_only: bool
    plan: AnchorPlan | None
    anchored: Anchored
    learning_rate: float

    def to_json(self) -> dict[str, Any]:
        """Return what names the trial."""
        return {
            "cell": asdict(self.cell),
            "mix": self.mix.model_dump(mode="json") if self.mix else None,
            "length": self.length,
            "general_only": self.general_only,
            "plan": asdict(self.plan) if self.plan else None,
            "anchored": self.anchored,
            "learning_rate": self.learning_rate,
        }


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much a trial trains on, known before it does.

    Attributes:
        rows: rows in all.
        repeats: how often each task row is among them, on average.
    """

    rows: int
    repeats: float


def tries(
    settings: LeverageSettings, arm: Arm, cell: Cell, plan: AnchorPlan | None, method: Exposure | None = None
) -> list[Trial]:
    """Return the trainings that an arm tries.

    Args:
        settings: what is to be tried.
        arm: which arm.
        cell: with how many rows, and which seed.
        plan: the anchor that the arm's rows carry.
        method: what the method trained on, for arms that are matched to it.
    """
    if cell.general_rows == 0 and arm.rows == "mix":
        arm = replace(arm, rows="task")  # the mix of nothing with the task is the task
    rates = settings.tune.learning_rates or (settings.training.learning_rate,)
    epochs = settings.tune.epochs or (settings.mix.epochs,)
    if arm.rows == "mix":
        schedule = arm.schedule or settings.mix.schedule
        mixes = [
            settings.mix.model_copy(update={"schedule": schedule, "epochs": number, "repeat_cap": cap})
            for number in epochs
            for cap in settings.tune.repeat_caps or (settings.mix.repeat_cap,)
        ]
        return [Trial(cell, mix, 0, False, plan, arm.anchored, rate) for mix in mixes for rate in rates]
    if arm.rows == "general":
        lengths = [number * cell.general_rows for number in epochs]
    else:
        lengths = _lengths(arm, cell, settings, method)
    general_only = arm.rows == "general"
    return [Trial(cell, None, length, general_only, plan, arm.anchored, rate) for length in lengths for rate in rates]


def _lengths(arm: Arm, cell: Cell, settings: LeverageSettings, method: Exposure | None) -> Sequence[int]:
    """Return how many task rows an arm that sees nothing else is trained on: tuned, or matched to the method.

    Never longer than the method, so that neither has more steps than the other.
    """
    matched = [method.rows] if method else []
    if arm.length == "same-steps" and matched:
        return matched
    if arm.length == "same-epochs" and method:
        return [round(method.repeats * cell.task_rows)]
    tuned = [min([passes * cell.task_rows, *matched]) for passes in settings.tune.sft_passes]
    return sorted({*tuned, *matched}) if settings.tune.match_steps else sorted({*tuned})
