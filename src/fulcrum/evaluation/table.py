"""`evaluation.json`: one row a solver, every difference paired against the baseline."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fulcrum.atomic import write_text
from fulcrum.errors import RunError
from fulcrum.evaluation.pairing import Outcome, mean_of, outcomes, pair, pass_at
from fulcrum.evaluation.results import pool_seeds, refuse_different_tasks
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.solver import RoleOfSolver
from fulcrum.task import Split


class EvaluationRow(BaseModel):
    """What one solver achieved. Shares and scores are in 0..1; None stands where there is nothing to measure.

    Attributes:
        solver: name of the solver.
        role_of_solver: what it is in the comparison.
        task: name of the task.
        split: split of the examples.
        seed: seed of the run; None if several seeds are pooled.
        n: examples with at least one scored attempt.
        paired: those of them on which the baseline has one too, so what the difference, harm and rescue rest on; None
            for the baseline.
        mean: mean score over them, each example counting once.
        low: lower end of its 95 % interval.
        high: upper end.
        difference: mean score minus the baseline's, on the examples where both have one; None for the baseline.
        difference_low: lower end of its 95 % interval.
        difference_high: upper end.
        harm: share of what the baseline solved that this solver breaks.
        rescue: share of what the baseline did not solve that this solver solves.
        failures: attempts that ended in a failed call; they are in no mean and no difference.
        calls: calls behind the answers, those that the store answered included.
        tokens: tokens read and written in them.
        seconds: model time, summed over calls that ran side by side.
        cost: money; None if a price is unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    solver: str
    role_of_solver: RoleOfSolver
    task: str
    split: Split
    seed: int | None
    n: int
    paired: int | None = None
    mean: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    harm: float | None
    rescue: float | None
    failures: int
    calls: int
    tokens: int
    seconds: float
    cost: float | None


def rows_from(results: Sequence[SolverRollouts], baseline: str) -> list[EvaluationRow]:
    """Return one row a solver, in the order given; results of one solver with several seeds become one row.

    Raises:
        RunError: no solver has the baseline's name, or the results are of different tasks or splits.
    """
    pooled = pool_seeds(results)
    if baseline not in pooled:
        near = difflib.get_close_matches(baseline, pooled, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RunError(f"no solver is called {baseline!r}{hint} There are: {', '.join(pooled)}")
    refuse_different_tasks({result.solver: result for result in results})
    before = outcomes(pooled[baseline].rollouts)
    return [
        row_of(result, outcomes(result.rollouts), None if result.solver == baseline else before)
        for result in pooled.values()
    ]


def oracle_row(result: SolverRollouts, k: int, baseline: SolverRollouts) -> EvaluationRow:
    """Return the row of the oracle best-of-k over a solver's draws: a ceiling, see `pass_at`.

    What it took is what all the draws took, so draw `k` samples, not more, where cost matters.
    """
    refuse_different_tasks({result.solver: result, baseline.solver: baseline})
    ceiling = replace(result, solver=f"{result.solver} pass@{k}", role="ceiling")
    return row_of(ceiling, pass_at(result.rollouts, k), outcomes(baseline.rollouts))


def row_of(
    result: SolverRollouts, achieved: Mapping[str, Outcome], before: Mapping[str, Outcome] | None
) -> EvaluationRow:
    """Return the row of one solver.

    Args:
        result: its attempts.
        achieved: its outcome on each example.
        before: the baseline's outcomes; None if this is the baseline itself.
    """
    mean = mean_of(achieved)
    pairing = pair(before, achieved) if before is not None else None
    seeds = {rollout.seed for rollout in result.rollouts}
    spend = result.total
    return EvaluationRow(
        solver=result.solver,
        role_of_solver=result.role,
        task=result.task,
        split=result.split,
        seed=seeds.pop() if len(seeds) == 1 else None,
        n=len(achieved),
        paired=pairing and pairing.n,
        mean=mean and mean.estimate,
        low=mean and mean.low,
        high=mean and mean.high,
        difference=pairing and pairing.difference.estimate,
        difference_low=pairing and pairing.difference.low,
        difference_high=pairing and pairing.difference.high,
        harm=pairing and pairing.harm and pairing.harm.estimate,
        rescue=pairing and pairing.rescue and pairing.rescue.estimate,
        failures=result.failures,
        calls=spend.answers,
        tokens=spend.tokens,
        seconds=round(spend.seconds, 6),
        cost=spend.cost,
    )


def baseline_of(rows: Sequence[EvaluationRow]) -> EvaluationRow | None:
    """Return the row that all differences are measured against."""
    return next((row for row in rows if row.role_of_solver == "baseline" and row.difference is None), None)


def rivals_of(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Return what could explain a gain away: the controls, and any other baseline, such as a vote at equal cost."""
    baseline = baseline_of(rows)
    return [row for row in rows if row.role_of_solver in ("baseline", "control") and row is not baseline]


def strongest(rows: Iterable[EvaluationRow]) -> EvaluationRow | None:
    """Return the row with the largest difference; None if none has a difference."""
    return max((row for row in rows if row.difference is not None), key=lambda row: row.difference or 0.0, default=None)


def write_evaluation(path: Path, rows: Sequence[EvaluationRow]) -> None:
    """Write `evaluation.json`, the whole file or nothing."""
    write_text(path, json.dumps(to_json(rows), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def to_json(rows: Sequence[EvaluationRow]) -> list[dict[str, Any]]:
    """Return the rows as `evaluation.json` holds them."""
    return [row.model_dump() for row in rows]


def read_evaluation(path: Path) -> list[EvaluationRow]:
    """Read what `write_evaluation` wrote.

    Raises:
        RunError: the file is missing or is not a list of rows.
    """
    try:
        return TypeAdapter(list[EvaluationRow]).validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); `fulcrum evaluate RUN` writes it") from error
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise RunError(
            f"{path}: not an evaluation ({place}: {problem['msg']}); run `fulcrum evaluate` again"
        ) from error
