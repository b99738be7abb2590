"""Several runs on the same task, paired across runs by example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from fulcrum.errors import RunError
from fulcrum.evaluation.diagnosis import failed_calls, failures_could_decide
from fulcrum.evaluation.pairing import Pairing, outcomes, pair
from fulcrum.evaluation.results import pool_seeds, refuse_different_tasks
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.table import EvaluationRow, row_of


@dataclass(frozen=True, slots=True)
class RunDifference:
    """What the method of one run achieves more than that of another, on the examples that both answered.

    Attributes:
        first: name of the one.
        second: name of the other.
        pairing: second minus first.
        undone: how failed calls of the better one could undo the difference; None if they could not.
    """

    first: str
    second: str
    pairing: Pairing
    undone: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        rows: the first run's baseline, then each run's methods (of a run that trains none: its controls), all paired
            against that one baseline. Solvers are named `run: solver`.
        differences: every two methods against each other, second minus first.
        undone: how failed calls could undo the gain of a row over the baseline, by its name.
        notes: what a reader must know before believing the rows.
    """

    rows: list[EvaluationRow]
    differences: list[RunDifference]
    undone: dict[str, str]
    notes: list[str]


def compare(runs: Mapping[str, Sequence[SolverRollouts]]) -> Comparison:
    """Compare the methods of several runs.

    Args:
        runs: results by the name to show. Runs of one recipe with several seeds belong under one name: their
            attempts are averaged by example.

    Raises:
        RunError: fewer than two runs, a run with nothing to compare, or different tasks or splits.
    """
    if len(runs) < 2:
        raise RunError(f"a comparison needs at least two runs, not {len(runs)}")
    pooled = {name: list(pool_seeds(results).values()) for name, results in runs.items()}
    contenders = {name: _contenders(name, results) for name, results in pooled.items()}
    refuse_different_tasks({name: results[0] for name, results in pooled.items()})
    baselines = {name: next(r for r in results if r.role == "baseline") for name, results in pooled.items()}
    methods = [_named(name, result) for name, results in contenders.items() for result in results]
    reference = _named(*next(iter(baselines.items())))
    before = outcomes(reference.rollouts)
    rows = [row_of(reference, before, None)]
    rows += [row_of(result, outcomes(result.rollouts), before) for result in methods]
    differences = [found for one, other in combinations(methods, 2) if (found := _difference(one, other)) is not None]
    undone = {result.solver: said for result in methods if (said := failures_could_decide(result, reference))}
    notes = [*_other_baselines(baselines), *_other_examples(methods)]
    notes += [note for result in methods if (note := _seed_spread(result, reference))]
    notes += [note for result in (reference, *methods) for note in failed_calls(result.solver, result.rollouts)]
    notes += [*undone.values(), *(difference.undone for difference in differences if difference.undone)]
    return Comparison(rows, differences, undone, notes)


def _named(run: str, result: SolverRollouts) -> SolverRollouts:
    return replace(result, solver=f"{run}: {result.solver}")


def _difference(first: SolverRollouts, second: SolverRollouts) -> RunDifference | None:
    pairing = pair(outcomes(first.rollouts), outcomes(second.rollouts))
    if pairing is None:
        return None
    undone = failures_could_decide(second, first) or failures_could_decide(first, second)
    return RunDifference(first.solver, second.solver, pairing, undone)


def _contenders(name: str, results: Sequence[SolverRollouts]) -> list[SolverRollouts]:
    """Return a run's methods; of a run that trains none, the controls that it measures instead."""
    if not any(result.role == "baseline" for result in results):
        raise RunError(f"{name} has no baseline among its results; evaluate it again")
    for role in ("method", "control"):
        if found := [result for result in results if result.role == role]:
            return found
    raise RunError(f"{name} has nothing but a baseline among its results; there is nothing to compare")


def _other_baselines(baselines: Mapping[str, SolverRollouts]) -> list[str]:
    """Say where a run's own baseline is not the one that all rows are paired against."""
    (reference_name, reference), *others = baselines.items()
    before = outcomes(reference.rollouts)
    notes: list[str] = []
    for name, baseline in others:
        pairing = pair(before, outcomes(baseline.rollouts))
        if pairing and (pairing.broken or pairing.rescued):
            notes.append(
                f"The baseline of {name} is not that of {reference_name}: {100 * pairing.difference.estimate:+.1f} "
                "points, so models or settings differ. All differences in the table are against the baseline of "
                f"{reference_name}."
            )
    return notes


def _other_examples(methods: Sequence[SolverRollouts]) -> list[str]:
    """Say where runs answered different examples, of which only the shared ones are paired."""
    answered = {result.solver: {rollout.question_id for rollout in result.rollouts} for result in methods}
    if len({frozenset(ids) for ids in answered.values()}) == 1:
        return []
    counts = ", ".join(f"{label} {len(ids)}" for label, ids in answered.items())
    return [
        f"The runs answered different examples ({counts}); means are over each run's own, differences over the "
        f"{len(set[str].intersection(*answered.values()))} or more that two have in common."
    ]


def _seed_spread(result: SolverRollouts, reference: SolverRollouts) -> str | None:
    """Say how far single seeds lie apart: the interval is over examples, and does not know of training luck."""
    seeds = sorted({rollout.seed for rollout in result.rollouts})
    before = outcomes(reference.rollouts)
    single = [
        pairing.difference.estimate
        for seed in seeds
        if (pairing := pair(before, outcomes(r for r in result.rollouts if r.seed == seed))) is not None
    ]
    if len(single) < 2:
        return None
    return (
        f"{result.solver}: {len(single)} seeds, whose differences go from {100 * min(single):+.1f} to "
        f"{100 * max(single):+.1f} points; the interval is over examples and does not hold this spread."
    )
