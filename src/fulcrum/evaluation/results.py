"""Results of several solvers as files, and what may be put together."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fulcrum.atomic import write_text
from fulcrum.calls.ledger import Spend
from fulcrum.errors import RunError
from fulcrum.evaluation.rollouts import Rollout, SolverRollouts

ROLLOUTS = "rollouts.jsonl"
SOLVERS = "solvers.json"


def write_results(folder: Path, results: Sequence[SolverRollouts]) -> None:
    """Write `rollouts.jsonl`, a line an attempt, and `solvers.json`, what each solver is and spent by role.

    Raises:
        RunError: see `pool_seeds`.
    """
    pooled = pool_seeds(results).values()
    lines = "".join(
        json.dumps(rollout.to_json(), ensure_ascii=False, allow_nan=False) + "\n"
        for result in pooled
        for rollout in result.rollouts
    )
    # Half a surrogate pair, as a cut emoji leaves it, is no UTF-8; as a JSON escape it survives.
    write_text(folder / ROLLOUTS, re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", lines))
    solvers: list[dict[str, Any]] = [
        {
            "solver": result.solver,
            "role": result.role,
            "task": result.task,
            "task_fingerprint": result.task_fingerprint,
            "split": result.split,
            "spend": {role: asdict(spend) for role, spend in result.spend.items()},
        }
        for result in pooled
    ]
    write_text(folder / SOLVERS, json.dumps(solvers, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_results(folder: Path) -> list[SolverRollouts]:
    """Read what `write_results` wrote.

    Raises:
        RunError: a file is missing or damaged; the text says where.
    """
    rollouts: dict[str, list[Rollout]] = {}
    for number, line in enumerate(_read(folder / ROLLOUTS).removesuffix("\n").split("\n"), start=1):
        try:
            rollout = Rollout.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(_damaged(folder / ROLLOUTS, f":{number}", error)) from error
        rollouts.setdefault(rollout.solver, []).append(rollout)
    try:
        return [_result(data, tuple(rollouts[data["solver"]])) for data in json.loads(_read(folder / SOLVERS))]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(_damaged(folder / SOLVERS, "", error)) from error


def _result(data: Mapping[str, Any], rollouts: tuple[Rollout, ...]) -> SolverRollouts:
    spend = {role: Spend(**spent) for role, spent in data["spend"].items()}
    known: dict[str, Any] = {**data, "rollouts": rollouts, "spend": spend}
    return SolverRollouts(**known)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); `fulcrum evaluate RUN` writes it") from error


def _damaged(path: Path, place: str, error: Exception) -> str:
    return f"{path}{place}: damaged ({type(error).__name__}: {error}); `fulcrum evaluate RUN` writes it anew"


def pool_seeds(results: Sequence[SolverRollouts]) -> dict[str, SolverRollouts]:
    """Return the results by solver, those of several seeds put together.

    Raises:
        RunError: two results are the same attempts of the same solver, or of different tasks.
    """
    pooled: dict[str, SolverRollouts] = {}
    for result in results:
        known = pooled.get(result.solver)
        if known is None:
            pooled[result.solver] = result
            continue
        refuse_different_tasks({f"{known.solver} (first)": known, f"{result.solver} (second)": result})
        attempts = {(rollout.question_id, rollout.seed, rollout.sample) for rollout in known.rollouts}
        if any((rollout.question_id, rollout.seed, rollout.sample) in attempts for rollout in result.rollouts):
            raise RunError(f"two solvers are called {result.solver!r} and have the same seed; give one another name")
        spend = {
            role: known.spend.get(role, Spend()) + result.spend.get(role, Spend())
            for role in {**known.spend, **result.spend}
        }
        pooled[result.solver] = replace(known, rollouts=(*known.rollouts, *result.rollouts), spend=spend)
    return pooled


def refuse_different_tasks(results: Mapping[str, SolverRollouts]) -> None:
    """Refuse to compare what is not comparable; `results` are named for the message.

    Raises:
        RunError: tasks, their content, or splits differ.
    """
    first_name, first = next(iter(results.items()))
    for name, result in results.items():
        if result.split != first.split:
            raise RunError(
                f"{first_name} was evaluated on split {first.split!r} and {name} on {result.split!r}; "
                "evaluate both on the same split"
            )
        if result.task_fingerprint != first.task_fingerprint:
            raise RunError(
                f"{first_name} ({first.task}) and {name} ({result.task}) were evaluated on different tasks: data, "
                "prompt or scorer differ; evaluate both on the same task"
            )
