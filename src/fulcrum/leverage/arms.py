"""The arms: what the method trains, and everything that could explain its gain away.

The first four are the 2 x 2 of anchor and mix. Arms that see the task alone have their passes tuned on dev, the
step-matched number among what they try, so that the mix is compared with plain finetuning at its best.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from fulcrum.leverage.mix import Anchored, Schedule

ArmName = Literal[
    "tell",
    "shuffle-only",
    "anchor-only",
    "sft",
    "sft-same-epochs",
    "sft-same-steps",
    "general-only",
    "sequential",
    "placebo-random",
    "placebo-all",
    "placebo-other",
]
Length = Literal["tuned", "same-epochs", "same-steps"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to spend the same task rows.

    Attributes:
        about: what it is, for tables.
        anchor: `own`, `random` words, that of an `other` task, or `none`.
        rows: `mix` of both, `task` alone, `general` alone.
        anchored: which rows carry the anchor.
        schedule: instead of the mix's own.
        length: how long an arm of task rows trains: `tuned` by dev, or matched to the method.
    """

    about: str
    anchor: Literal["own", "random", "other", "none"] = "own"
    rows: Literal["mix", "task", "general"] = "mix"
    anchored: Anchored = "task"
    schedule: Schedule | None = None
    length: Length = "tuned"


ARMS: Mapping[ArmName, Arm] = {
    "tell": Arm("anchored task rows shuffled into general rows"),
    "shuffle-only": Arm("the same mix without the anchor", anchor="none"),
    "anchor-only": Arm("anchored task rows and no general ones", rows="task"),
    "sft": Arm("task rows alone, passes chosen by dev", anchor="none", rows="task"),
    "sft-same-epochs": Arm("task rows alone, each seen as often", anchor="none", rows="task", length="same-epochs"),
    "sft-same-steps": Arm("task rows alone, as many steps", anchor="none", rows="task", length="same-steps"),
    "general-only": Arm("general rows and not one of the task", anchor="none", rows="general"),
    "sequential": Arm("general rows first, anchored task rows after", schedule="general-then-task"),
    "placebo-random": Arm("random words of equal length for an anchor", anchor="random"),
    "placebo-all": Arm("the anchor on all rows, so that it tells nothing", anchored="all"),
    "placebo-other": Arm("another task's anchor", anchor="other"),
}
"""Every arm by name."""

assert tuple(ARMS) == cast(tuple[str, ...], get_args(ArmName))
