"""Measure a run: all its contenders on one split, each paired against the baseline."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fulcrum.evaluation.results import write_results
from fulcrum.evaluation.rollouts import SolverRollouts, roll_out
from fulcrum.evaluation.table import EvaluationRow, oracle_row, rows_from, write_evaluation
from fulcrum.hashing import content_hash
from fulcrum.methods import Contender
from fulcrum.runs.run import Run
from fulcrum.task import Split, Task


def evaluate_run(
    run: Run, split: Split = "test", limit: int | None = None, task: Task | None = None
) -> tuple[Sequence[EvaluationRow], Sequence[SolverRollouts]]:
    """Answer a split with every contender of the run's method, and write `evaluation.json` and the rollouts.

    Args:
        run: an open run that has learned.
        split: the held-out examples; only this function ever touches `test`.
        limit: answer only this many questions.
        task: another task than the run's own, to see what transfers; its results go below `transfer/`.

    Returns:
        The rows, and the rollouts that they were made from.

    Raises:
        BudgetSpent: the budget ended before all was answered; the same call continues.
        TooManyFailures: more calls failed than the budget allows.
    """
    elsewhere = task is not None
    task = run.recorded(task) if task else run.task
    folder = run.folder / "transfer" / content_hash(task.name, 8) if elsewhere else run.folder
    rows, results = measure(run, run.recipe.method.contenders(run), task, split, folder, limit)
    run.log("evaluated", task=task.name, split=split, solvers=[row.solver for row in rows])
    return rows, results


def measure(
    run: Run, contenders: Iterable[Contender], task: Task, split: Split, folder: Path, limit: int | None = None
) -> tuple[list[EvaluationRow], list[SolverRollouts]]:
    """Answer a split with the contenders, one of them the baseline; write table and rollouts to `folder`.

    Raises:
        BudgetSpent: the budget ended before all was answered; the same call continues.
        TooManyFailures: more calls failed than the budget allows.
    """
    results: list[SolverRollouts] = []
    oracles: list[tuple[SolverRollouts, int]] = []
    for contender in contenders:
        run.log("evaluate/start", solver=contender.solver.name, task=task.name)
        result = roll_out(
            contender.solver,
            task,
            split,
            role=contender.role,
            ledger=run.ledger,
            budget=run.budget,
            seed=run.recipe.seed,
            samples=contender.draws,
            limit=limit,
        )
        if contender.draws > 1:
            oracles.append((result, contender.draws))
        else:
            results.append(result)
    baseline = next(result for result in results if result.role == "baseline")
    rows = rows_from(results, baseline.solver)
    rows += [oracle_row(draws, count, baseline) for draws, count in oracles]
    write_results(folder, results)
    write_evaluation(folder / "evaluation.json", rows)
    return rows, results
