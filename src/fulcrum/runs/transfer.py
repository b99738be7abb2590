"""What a run learned, for other models and on other tasks: the transfer matrix."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fulcrum.atomic import read_json, write_json
from fulcrum.chat import ChatModel
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.hashing import content_hash
from fulcrum.methods import Contender
from fulcrum.runs.evaluate import measure
from fulcrum.runs.run import Run
from fulcrum.task import Split, Task
from fulcrum.task.load import load_task

Beside = Callable[[ChatModel, Task], Sequence[Contender]]
"""What to measure for a model on a task: a baseline, one row of the method, and perhaps controls."""


@dataclass(frozen=True, slots=True)
class TransferCell:
    """One model on one task, with what was learned for a model and a task.

    Attributes:
        model: its name.
        task: name of the task.
        trained_for: true for the model and task of the training.
        n: examples.
        alone: mean score of the model alone.
        helped: mean score with what was learned.
        difference: gain, on the examples where both have a score.
        low: lower end of its 95 % interval.
        high: upper end.
        control: gain of the strongest control.
        harm: share of what the model solves alone that is broken.
    """

    model: str
    task: str
    trained_for: bool
    n: int
    alone: float | None
    helped: float | None
    difference: float | None
    low: float | None
    high: float | None
    control: float | None
    harm: float | None


def transfer(
    run: Run,
    role: str,
    beside: Beside,
    models: Sequence[str],
    tasks: Sequence[str],
    split: Split = "test",
    limit: int | None = None,
) -> list[TransferCell]:
    """Measure what a run learned for every model on every task, its own ones first.

    Writes each cell's rollouts below `transfer/` in the run folder, and the whole as `transfer/matrix.json`.

    Args:
        run: that has learned.
        role: of the model that is exchanged.
        beside: what to measure.
        models: names of other models.
        tasks: names of other tasks.
        split: the examples.
        limit: answer only this many questions of each task.

    Raises:
        RunError: the run has not learned.
        BudgetSpent: the budget ended meanwhile; the same call continues.
    """
    home = (run.recipe.models[role], run.recipe.keys.task)
    cells: list[TransferCell] = []
    for task_name in dict.fromkeys([home[1], *tasks]):
        task = run.recorded(load_task(task_name))
        for name in dict.fromkeys([home[0], *models]):
            folder = _folder(run.folder) / content_hash([name, task_name, split], 8)
            rows, _ = measure(run, beside(run.model(role, name), task), task, split, folder, limit)
            run.log("transferred", model=name, task=task_name)
            cells.append(_cell(rows, name, task_name, trained_for=(name, task_name) == home))
    write_json(_folder(run.folder) / "matrix.json", [asdict(cell) for cell in cells])
    return cells


def read_transfer(folder: Path) -> list[TransferCell]:
    """Return the matrix of a run folder as last measured; empty if it never was."""
    path = _folder(folder) / "matrix.json"
    return [TransferCell(**cell) for cell in read_json(path)] if path.is_file() else []


def _folder(run: Path) -> Path:
    return run / "transfer"


def _cell(rows: Sequence[EvaluationRow], model: str, task: str, *, trained_for: bool) -> TransferCell:
    alone, helped = (next(row for row in rows if row.role_of_solver == role) for role in ("baseline", "method"))
    controls = [row.difference for row in rows if row.role_of_solver == "control" and row.difference is not None]
    return TransferCell(
        model=model,
        task=task,
        trained_for=trained_for,
        n=helped.n,
        alone=alone.mean,
        helped=helped.mean,
        difference=helped.difference,
        low=helped.difference_low,
        high=helped.difference_high,
        control=max(controls, default=None),
        harm=helped.harm,
    )
