"""One trained generator in front of other actors, and on other tasks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from fulcrum.atomic import write_json
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.hashing import content_hash
from fulcrum.runs import Run
from fulcrum.runs.evaluate import measure
from fulcrum.supplement.method import SHUFFLED, SUPPLEMENTED, contenders
from fulcrum.task import Split
from fulcrum.task.load import load_task

_ASKED = (SUPPLEMENTED, SHUFFLED)


@dataclass(frozen=True, slots=True)
class Cell:
    """One actor on one task, with the supplements of a generator that was trained for an actor and a task.

    Attributes:
        actor: name of the model.
        task: name of the task.
        trained_for: true for the actor and task of the training.
        n: examples.
        alone: mean score of the actor alone.
        helped: mean score with supplements.
        difference: gain, on the examples where both have a score.
        low: lower end of its 95 % interval.
        high: upper end.
        shuffled: gain with another question's supplements.
        harm: share of what the actor solves alone that the supplements break.
    """

    actor: str
    task: str
    trained_for: bool
    n: int
    alone: float | None
    helped: float | None
    difference: float | None
    low: float | None
    high: float | None
    shuffled: float | None
    harm: float | None


def transfer(
    run: Run, actors: Sequence[str], tasks: Sequence[str], split: Split = "test", limit: int | None = None
) -> list[Cell]:
    """Evaluate the generator of a run in front of every actor on every task, its own ones first.

    Writes each cell's rollouts below `transfer/` in the run folder, and the whole as `transfer/matrix.json`.

    Args:
        run: that has learned.
        actors: names of other models.
        tasks: names of other tasks.
        split: the examples.
        limit: answer only this many questions of each task.

    Raises:
        RunError: the run has not learned.
        BudgetSpent: the budget ended meanwhile; the same call continues.
    """
    home = (run.recipe.models["actor"], run.recipe.keys.task)
    cells = [
        _cell(run, actor, task, split, limit, trained_for=(actor, task) == home)
        for task in dict.fromkeys([home[1], *tasks])
        for actor in dict.fromkeys([home[0], *actors])
    ]
    write_json(run.folder / "transfer" / "matrix.json", [asdict(cell) for cell in cells])
    return cells


def _cell(run: Run, actor: str, task_name: str, split: Split, limit: int | None, *, trained_for: bool) -> Cell:
    task = run.recorded(load_task(task_name))
    asked = [
        contender
        for contender in contenders(run, run.model("actor", actor), task)
        if contender.role == "baseline" or contender.solver.name in _ASKED
    ]
    folder = run.folder / "transfer" / content_hash([actor, task_name, split], 8)
    rows, _ = measure(run, asked, task, split, folder, limit)
    run.log("transferred", actor=actor, task=task_name)
    alone, helped, shuffled = (_row(rows, name) for name in (asked[0].solver.name, *_ASKED))
    return Cell(
        actor=actor,
        task=task_name,
        trained_for=trained_for,
        n=helped.n,
        alone=alone.mean,
        helped=helped.mean,
        difference=helped.difference,
        low=helped.difference_low,
        high=helped.difference_high,
        shuffled=shuffled.difference,
        harm=helped.harm,
    )


def _row(rows: Sequence[EvaluationRow], solver: str) -> EvaluationRow:
    return next(row for row in rows if row.solver == solver)
