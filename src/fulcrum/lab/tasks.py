"""The lab's tasks by name: `lab:sql?seed=7`."""

from typing import Annotated, Literal

from pydantic import Field

from fulcrum.errors import TaskError
from fulcrum.lab.shop import WORLD_SEEDS
from fulcrum.lazy import load
from fulcrum.settings import Settings, nearest
from fulcrum.task import Task
from fulcrum.task.load import TaskSpec

TASKS = {
    "arithmetic": "fulcrum.lab.arithmetic:load_arithmetic",
    "desk": "fulcrum.lab.desk.task:load_desk",
    "sql": "fulcrum.lab.sql:load_sql",
    "triage": "fulcrum.lab.triage:load_triage",
}
"""Where each task is made, named by string; each is called with the whole spec and its options."""


ShopSeed = Annotated[int, Field(ge=0, lt=WORLD_SEEDS)]


class ShopOptions(Settings):
    """What can follow the question mark: the seed of the shop."""

    seed: ShopSeed = 0


class DeskOptions(ShopOptions):
    """Options of `lab:desk`: kind of customers, form of tools and till, how many shops, whose practice they live by."""

    customer: Literal["a", "b"] = "a"
    tools: Literal["text", "protocol"] = "text"
    till: Literal["open", "signed"] = "open"
    shops: Annotated[int, Field(ge=1, le=4)] = 1
    practice: ShopSeed | None = None


class TriageOptions(ShopOptions):
    """Options of `lab:triage`: how many training rows."""

    train: int = 1024


OPTIONS: dict[str, type[ShopOptions]] = {"desk": DeskOptions, "triage": TriageOptions}
"""Options of the tasks that have more than a seed."""


def load_task(spec: str) -> Task:
    """Return the task that `lab:NAME?seed=N` stands for.

    Raises:
        TaskError: the lab has no such task.
        SettingsError: an option is unknown, or the seed is not that of a shop.
    """
    parsed = TaskSpec.parse(spec)
    if parsed.path not in TASKS:
        known = ", ".join(f"lab:{name}" for name in sorted(TASKS))
        raise TaskError(f"{spec!r}: the lab has no such task{nearest(parsed.path, list(TASKS))}; there are {known}")
    options = parsed.read_options(OPTIONS.get(parsed.path, ShopOptions))
    return load(TASKS[parsed.path])(spec, **options.model_dump())
