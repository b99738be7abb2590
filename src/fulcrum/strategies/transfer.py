"""What one library does for other students and at other desks: the transfer matrix."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fulcrum.calls import RecordedModel
from fulcrum.chat import Sampling, resolve
from fulcrum.evaluation.pairing import mean_of, outcomes, pair
from fulcrum.evaluation.rollouts import roll_out
from fulcrum.evaluation.statistics import Interval
from fulcrum.runs import Run
from fulcrum.strategies.bench import wording_for
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.solver import Student, retrieved
from fulcrum.task import Task
from fulcrum.task.load import load_task


@dataclass(frozen=True, slots=True)
class Cell:
    """One student at one desk.

    Attributes:
        student: name of the model.
        task: name of the task.
        n: dialogues of both.
        alone: its mean score without the library.
        guided: its mean score with it.
        difference: paired, with interval.
    """

    student: str
    task: str
    n: int
    alone: float
    guided: float
    difference: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the cell for machines."""
        return asdict(self)


def transfer(
    run: Run, strategies: Sequence[Strategy], students: Sequence[str], tasks: Sequence[str], limit: int | None
) -> list[Cell]:
    """Let every student answer the test split of every task, alone and with the library.

    Args:
        run: an open run; its store keeps the calls, its budget limits them.
        strategies: the library as served.
        students: names of models.
        tasks: names of dialogue tasks.
        limit: dialogues of each task; None takes all.

    Raises:
        BudgetSpent: the budget ended first; the same call continues.
    """
    loaded = [run.recorded(load_task(name)) for name in tasks]
    cells: list[Cell] = []
    for name in students:
        model = RecordedModel(resolve(name), "student", run.store, run.ledger, run.budget)
        cells += [cell for task in loaded if (cell := _cell(run, strategies, model, task, limit))]
        model.close()
    return cells


def _cell(run: Run, strategies: Sequence[Strategy], model: RecordedModel, task: Task, limit: int | None) -> Cell | None:
    settings = run.recipe.settings_as(StrategiesSettings)
    wording = wording_for(task.name, settings)
    sampling = Sampling(max_tokens=settings.max_tokens or task.max_tokens)
    advisers = (None, retrieved(Retriever(strategies, settings.retrieval), wording))
    alone, guided = (
        outcomes(
            roll_out(
                Student(model, sampling, wording, adviser, name="student"),
                task,
                "test",
                role="control",
                ledger=run.ledger,
                budget=run.budget,
                seed=run.recipe.seed,
                limit=limit,
            ).rollouts
        )
        for adviser in advisers
    )
    pairing, before, after = pair(alone, guided), mean_of(alone), mean_of(guided)
    if pairing is None or before is None or after is None:
        return None
    return Cell(model.name, task.name, pairing.n, before.estimate, after.estimate, pairing.difference)
