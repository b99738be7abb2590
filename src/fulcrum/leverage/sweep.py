"""The sweep: task sizes x general sizes x arms x seeds as one plan, of which a killed run repeats nothing.

Tiny models train side by side, one on each core: first the method in every cell, then what is matched to it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fulcrum.atomic import read_json, write_json
from fulcrum.errors import RunError, SettingsError
from fulcrum.evaluation.statistics import mean_interval
from fulcrum.leverage.anchor import Anchor
from fulcrum.leverage.arms import ARMS, ArmName
from fulcrum.leverage.curve import Curve, Factor, factors, overall_factor
from fulcrum.leverage.jump import shape
from fulcrum.leverage.learn import before, check_ahead, find_anchor, tune, untuned_solvers
from fulcrum.leverage.settings import LeverageSettings
from fulcrum.leverage.trial import Bench, TrialResult, cut_off_share, scores_of
from fulcrum.leverage.tries import Cell, Exposure
from fulcrum.runs import Run
from fulcrum.runs.catalog import reopen
from fulcrum.workers import Tell, processes_for, spread

SWEEP = "sweep.json"
"""File of a run that holds every row of the sweep, the factors and the verdicts."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One training of the plan, with what it tries out on dev."""

    arm: ArmName
    cell: Cell


@dataclass(frozen=True, slots=True)
class Row:
    """What one arm achieved in one cell.

    Attributes:
        planned: where it stands in the plan.
        result: what dev chose.
        scores: by test example; an answer cut off counts nothing.
    """

    planned: Planned
    result: TrialResult
    scores: Mapping[str, float]

    @property
    def score(self) -> float:
        """Mean over the test examples."""
        return sum(self.scores.values()) / len(self.scores)

    def to_json(self) -> dict[str, Any]:
        """Return all but the single examples."""
        ledger = self.result.ledger
        return {
            "arm": self.planned.arm,
            **asdict(self.planned.cell),
            **self.result.facts(),
            "dev_score": self.result.score,
            "score": self.score,
            "points_per_1000_task_tokens": 1e5 * self.score / ledger["task_unique"] if ledger["task_unique"] else None,
        }


OnRow = Callable[[int, int, Row], None]
"""Told about each finished row: how many are done, how many there are, and the row."""


def plan_sweep(settings: LeverageSettings, task_rows: int, general_rows: int, first_seed: int = 0) -> list[Planned]:
    """Return everything to train, in order: the method before the arms that are matched to it.

    Args:
        settings: whose sweep.
        task_rows: how many there are.
        general_rows: how many there are.
        first_seed: added to each seed of the sweep.

    Raises:
        SettingsError: a size is larger than what there is.
    """
    sweep = settings.sweep
    for name, sizes, there in (
        ("task_sizes", sweep.task_sizes, task_rows),
        ("general_sizes", sweep.general_sizes, general_rows),
        ("general_at", (sweep.general_at,) if sweep.general_sizes else (), task_rows),
    ):
        if max(sizes, default=0) > there:
            raise SettingsError(f"sweep.{name}: {max(sizes)} rows wanted, there are {there}; take smaller sizes")
    general = min(settings.general_rows or general_rows, general_rows)
    wanted: set[ArmName] = {"tell", *sweep.arms}
    arms: list[ArmName] = [arm for arm in ARMS if arm in wanted]
    planned = [
        Planned(arm, Cell(size, general, first_seed + seed))
        for seed in sweep.seeds
        for size in sorted(sweep.task_sizes)
        for arm in arms
    ]
    planned += [
        Planned("tell", Cell(sweep.general_at, size, first_seed + seed))
        for seed in sweep.seeds
        for size in sorted(sweep.general_sizes)
    ]
    return list(dict.fromkeys(planned))


def run_sweep(run: Run, on_row: OnRow | None = None) -> dict[str, Any]:
    """Train and test everything in the plan, write `sweep.json`, and return what stands in it."""
    bench = Bench(run)
    settings = bench.settings
    plan = plan_sweep(settings, len(run.task.examples("train")), len(bench.general.rows), run.recipe.seed)
    first = Cell(min(settings.sweep.task_sizes), plan[0].cell.general_rows, run.recipe.seed)
    anchor = find_anchor(bench, first)
    check_ahead(bench, [(planned.arm, planned.cell) for planned in plan], anchor)
    done: dict[Planned, Row] = {}
    for arms in (["tell"], [arm for arm in ARMS if arm != "tell"]):
        jobs = [
            _Job(
                planned, anchor, method.result.exposure if (method := done.get(replace(planned, arm="tell"))) else None
            )
            for planned in sorted(plan, key=_how_early)
            if planned.arm in arms
        ]
        alone = run.recipe.keys.budget.counted
        processes = 1 if alone else processes_for(len(jobs), bench.counter.parameters)
        work = partial(_work, bench) if processes == 1 else partial(_help, run.folder)
        for job, row in spread(work, jobs, processes):
            done[job.planned] = row
            if on_row:
                on_row(len(done), len(plan), row)
    rows = [done[planned] for planned in plan]
    figures = {
        "task": run.recipe.keys.task,
        "model": bench.model_name,
        "anchor": asdict(anchor) if anchor else None,
        "before": {**before(bench, anchor), "test": _untuned(bench, anchor)},
        "rows": [row.to_json() for row in rows],
        **summary(rows, settings),
    }
    write_json(run.folder / SWEEP, figures)
    run.log("swept", rows=len(rows))
    return figures


def _how_early(planned: Planned) -> tuple[int, int, bool]:
    """Sort the longest trainings first; what may only look up a training of another arm comes after it."""
    return -planned.cell.task_rows, -planned.cell.general_rows, ARMS[planned.arm].length == "same-steps"


@dataclass(frozen=True, slots=True)
class _Job:
    """One training of the plan, with what it needs to know of others."""

    planned: Planned
    anchor: Anchor | None
    method: Exposure | None


def _work(bench: Bench, job: _Job, tell: Tell) -> Row:
    planned = job.planned
    result = tune(bench, planned.arm, planned.cell, job.anchor, job.method)[1]
    return Row(planned, result, _test(bench, result))


def _help(folder: Path, job: _Job, tell: Tell) -> Row:
    """Do the same in a process of its own."""
    return _work(_bench_of_helper(folder), job, tell)


@cache
def _bench_of_helper(folder: Path) -> Bench:
    return Bench(Run(folder, reopen(folder), helper=True))


def _test(bench: Bench, result: TrialResult) -> dict[str, float]:
    """Return the score of every test example; an answer cut off counts nothing."""

    def work(folder: Path) -> None:
        opened = bench.open(result.weights, result.anchor)
        measured = bench.measure(opened, "test")
        opened.close()
        write_json(folder / "scores.json", scores_of(measured))

    inputs = {"trial": result.weights.parent.name, "task": bench.task.fingerprint}
    return read_json(bench.run.stage("test", inputs, work) / "scores.json")


def _untuned(bench: Bench, anchor: Anchor | None) -> list[dict[str, Any]]:
    """Return how the model does on test before anything is trained: asked plainly, with the anchor, shown examples."""

    def work(folder: Path) -> None:
        rows: list[dict[str, Any]] = []
        for solver in untuned_solvers(bench, anchor):
            found = bench.roll_out(solver, "test")
            interval = mean_interval(list(scores_of(found).values()))
            score = {"score": interval.estimate, "low": interval.low, "high": interval.high}
            rows.append({"arm": solver.name, **score, "cut_off": cut_off_share(found)})
        write_json(folder / "untuned.json", {"rows": rows})

    inputs = {
        "model": bench.fingerprint,
        "task": bench.task.fingerprint,
        "anchor": asdict(anchor) if anchor else None,
        "shots": bench.settings.shots,
        "seed": bench.run.recipe.seed,
        "max_tokens": bench.max_tokens,
    }
    return read_json(bench.run.stage("untuned", inputs, work) / "untuned.json")["rows"]


def summary(rows: Sequence[Row], settings: LeverageSettings) -> dict[str, Any]:
    """Return the table of arms and sizes, the factors of the method over each other arm, and the general-size fits."""
    curves = {arm: curve for arm in ARMS if (curve := curve_of(rows, arm, settings)) is not None}
    found: dict[str, Any] = {"table": list(_table(rows))}
    if "tell" in curves:
        found["factors"] = {
            arm: {
                "at": [_factor_json(factor) for factor in factors(curves["tell"], curve)],
                "overall": _factor_json(overall_factor(curves["tell"], curve)),
            }
            for arm, curve in curves.items()
            if arm not in ("tell", "general-only") and len(curve.tokens) > 1
        }
    found["general_sizes"] = _general_shapes(rows, settings)
    return found


def curve_of(rows: Sequence[Row], arm: ArmName, settings: LeverageSettings) -> Curve | None:
    """Return the curve of an arm over the task sizes; None if it was not swept.

    Raises:
        RunError: a cell is missing.
    """
    general = rows[0].planned.cell.general_rows  # the plan begins with the task sizes
    mine = {row.planned.cell: row for row in rows if row.planned.arm == arm}
    method = {row.planned.cell: row for row in rows if row.planned.arm == "tell"}
    sizes = sorted(set(settings.sweep.task_sizes))
    seeds = sorted({cell.seed for cell in mine})
    cells = [[Cell(size, general, seed) for seed in seeds] for size in sizes]
    if not mine:
        return None
    if missing := [cell for row in cells for cell in row if cell not in mine]:
        raise RunError(f"{arm}: the sweep has no result at {missing[0]}; run `fulcrum leverage sweep` to its end")
    examples = _judged(rows)
    scores = [[[mine[cell].scores[example] for example in examples] for cell in row] for row in cells]
    tokens = [float(np.mean([method[cell].result.ledger["task_unique"] for cell in row])) for row in cells]
    return Curve(tokens, np.array(scores))


def _table(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Yield each arm at each size, its seeds pooled: an example counts once."""
    judged = _judged(rows)
    groups: dict[tuple[str, int, int], list[Row]] = {}
    for row in rows:
        cell = row.planned.cell
        groups.setdefault((row.planned.arm, cell.task_rows, cell.general_rows), []).append(row)
    for (arm, task_rows, general_rows), group in groups.items():
        pooled = {example: [row.scores[example] for row in group] for example in judged}
        interval = mean_interval([sum(values) / len(values) for values in pooled.values()])
        yield {
            "arm": arm,
            "task_rows": task_rows,
            "general_rows": general_rows,
            "seeds": len(group),
            "score": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "by_seed": [row.score for row in group],
            "general_loss": sum(row.result.general_loss for row in group) / len(group),
            "cut_off": sum(row.result.cut_off for row in group) / len(group),
        }


def _judged(rows: Sequence[Row]) -> list[str]:
    """Return the test examples that have a score in every row, so that all arms are compared on the same.

    Raises:
        RunError: there are none.
    """
    first, *others = rows
    if found := [example for example in first.scores if all(example in row.scores for row in others)]:
        return found
    raise RunError("no test example could be judged in every cell of the sweep; mend the judge, and run it again")


def _general_shapes(rows: Sequence[Row], settings: LeverageSettings) -> dict[str, Any] | None:
    """Return how score and loss of the method depend on the number of general rows; None with too few sizes."""
    at = settings.sweep.general_at
    mine = [row for row in rows if row.planned.arm == "tell" and row.planned.cell.task_rows == at]
    sizes = [row.planned.cell.general_rows for row in mine]
    if not settings.sweep.general_sizes or len(set(sizes)) < 4:
        return None
    return {
        "task_rows": at,
        "score": asdict(shape(sizes, [row.score for row in mine])),
        "dev_loss": asdict(shape(sizes, [row.result.dev_loss for row in mine])),
    }


def _factor_json(factor: Factor | None) -> dict[str, Any] | None:
    """Return a factor; infinity, which JSON has no word for, is null, with the text saying "not reached"."""
    if factor is None:
        return None
    values = asdict(factor)
    finite = {name: None if value == float("inf") else value for name, value in values.items()}
    return {**finite, "text": str(factor)}
