"""What supplements achieve on the lab, over worlds that nothing was tuned on.

    python benchmarks/supplement.py worlds --seeds 11 12 13
    python benchmarks/supplement.py desks --seeds 70 80 90
    python benchmarks/supplement.py trainers --seeds 11 12 13
    python benchmarks/supplement.py schedules --seeds 11 12 13
    python benchmarks/supplement.py transfer --seeds 11 12 13 --actors lab:teacher --tasks lab:arithmetic

`worlds` trains and evaluates the recipe on each world, and pools the test questions: all, those with house words,
those without. `desks` does so with the recipe for dialogues, each world three desks from a seed on, and adds what
dialogues are judged by beyond their score.
`trainers` measures every generator of the recipe, of the paper's five rounds of preferences and of
GRPO on test, and compares each with the recipe's that took no more calls of the actor, and what is deployed of each.
`schedules` does so with the adaptive schedule, which is the recipe's, and the fixed one, each with a fourth round.
`transfer` puts each generator before other actors and tasks. `--quick` runs the short version. Writes
benchmarks/results/supplement-WHAT.json (supplement-WHAT-quick.json); runs are kept below runs/benchmark-supplement, so
that the same command continues.
"""

import argparse
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from _pooled import ahead, told
from _result import record, seconds_of_stages

from fulcrum.atomic import read_json
from fulcrum.evaluation.pairing import Outcome, mean_of, outcomes, pair
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.strategies.metrics import metric_rows
from fulcrum.supplement.audit import audit
from fulcrum.supplement.curve import Measured, measure_generators, points_of
from fulcrum.supplement.transfer import transfer

RECIPES = {
    "lab:sql?seed={}": Path("recipes/supplement-lab-sql.toml"),
    "lab:desk?seed={}&shops=3": Path("recipes/supplement-lab-desk.toml"),
}
SQL, DESK = RECIPES
RUNS = Path("runs/benchmark-supplement")
NOTHING_ELSE: Mapping[str, str] = {}
TRAINERS = {"sft": {}, "dpo": {"trainer": "dpo", "rounds": "5"}, "grpo": {"trainer": "grpo"}}
"""Settings that make another run of the recipe, which comes first."""
SCHEDULES = {"adaptive": {"rounds": "4", "spend": "0.378"}, "fixed": {"schedule": "fixed", "rounds": "4"}}
"""A fourth round after the recipe's three; with this `spend` every pool may take as many calls as with three."""

Outcomes = dict[str, dict[tuple[int, str], Outcome]]


def trained(seed: int, quick: bool, settings: Mapping[str, str] = NOTHING_ELSE, task: str = SQL) -> tuple[Run, float]:
    """Return the open run of one world, learned, and the seconds that its stages took."""
    flags = {"task": task.format(seed), "seed": str(seed)}
    flags |= {f"settings.{name}": value for name, value in settings.items()}
    recipe = read_recipe(RECIPES[task], flags, quick=quick)
    place = [str(seed)] if task == SQL else ["desk", str(seed)]
    folder, first = (
        RUNS / "-".join([*place, *values, *(["quick"] if quick else [])]) for values in (settings.values(), ())
    )
    if not folder.exists() and first.exists():
        Run(folder, recipe).close()
        begin_as(first, folder, "schedule" not in settings)
    run = Run(folder, recipe)
    learn(run)
    return run, sum(seconds_of_stages(run.folder).values())


def begin_as(first: Path, folder: Path, warm: bool) -> None:
    """Let a variant of a world begin with the calls of its first run and, if `warm`, with its warm start."""
    shutil.copy(first / "calls.sqlite", folder)
    for stage in first.glob("stages/warm-start-*") if warm else ():
        shutil.copytree(stage, folder / "stages" / stage.name)


def curve_of(run: Run) -> list[dict[str, Any]]:
    return read_json(run.artifact / "rounds.json")


def figures(found: Mapping[tuple[int, str], Outcome], before: Mapping[tuple[int, str], Outcome]) -> dict[str, Any]:
    mean, pairing = mean_of(found), pair(before, found)
    return {
        "n": len(found),
        "mean": asdict(mean) if mean else None,
        "difference": asdict(pairing.difference) if pairing else None,
        "harm": asdict(pairing.harm) if pairing and pairing.harm else None,
    }


def worlds(seeds: Sequence[int], quick: bool, limit: int | None) -> dict[str, Any]:
    achieved: Outcomes = {}
    jargon: dict[tuple[int, str], bool] = {}
    known: dict[tuple[int, str], bool] = {}
    singles: dict[str, Any] = {}
    generators: list[list[Measured]] = []
    for seed in seeds:
        run, seconds = trained(seed, quick)
        with run:
            _, results = evaluate_run(run, limit=limit)
            examples = run.task.examples("test")
            jargon |= {(seed, example.id): bool(example.metadata["jargon"]) for example in examples}
            singles[str(seed)] = {
                "begun_at_commit": read_json(run.folder / "environment.json")["commit"],
                "learning_seconds": round(seconds),
                "curve": curve_of(run),
                "audit": asdict(audit(run.task, results)),
            }
            _add(achieved, seed, results)
            known |= {(seed, id): sure for id, sure in always_solved(results).items()}
            generators.append(of_world(seed, measure_generators(run, "test", limit)))
    with_words = restricted(achieved, jargon)
    without_words = restricted(achieved, {key: not value for key, value in jargon.items()})
    return {
        "questions": against_direct(achieved),
        "with_house_words": against_direct(with_words),
        "without_house_words": against_direct(without_words),
        "solved_alone_in_all_of_four_answers": against_direct(restricted(achieved, known)),
        "method_minus_control": ahead_of_controls(achieved),
        "method_minus_control_with_house_words": ahead_of_controls(with_words),
        "curve_on_test": [asdict(point) for point in points_of(pooled_measures(generators))],
        "worlds": singles,
    }


def desks(seeds: Sequence[int], quick: bool, limit: int | None) -> dict[str, Any]:
    achieved: Outcomes = {}
    dialogues: dict[str, SolverRollouts] = {}
    singles: dict[str, Any] = {}
    generators: list[list[Measured]] = []
    for seed in seeds:
        run, seconds = trained(seed, quick, task=DESK)
        with run:
            _, results = evaluate_run(run, limit=limit)
            own: Outcomes = {}
            _add(own, seed, results)
            singles[str(seed)] = {
                "begun_at_commit": read_json(run.folder / "environment.json")["commit"],
                "learning_seconds": round(seconds),
                "curve": curve_of(run),
                "score": against_direct(own),
            }
            _add(achieved, seed, results)
            for result in results:
                known = dialogues.get(result.solver)
                rollouts = (*(known.rollouts if known else ()), *result.rollouts)
                dialogues[result.solver] = replace(result, rollouts=rollouts)
            generators.append(of_world(seed, measure_generators(run, "test", limit)))
    return {
        "score": against_direct(achieved),
        "method_minus_control": ahead_of_controls(achieved),
        "metrics": [row.to_json() for row in metric_rows(list(dialogues.values()))],
        "curve_on_test": [asdict(point) for point in points_of(pooled_measures(generators))],
        "worlds": singles,
    }


def always_solved(results: Sequence[SolverRollouts]) -> dict[str, bool]:
    """Return whether the actor alone solves a question greedily and in every draw, so that it was hardly luck."""
    (alone,) = (result.rollouts for result in results if result.solver == "direct")
    (votes,) = (result.rollouts for result in results if result.solver.startswith("self-consistency"))
    agreed = {vote.question_id: vote.score.solved and _unanimous(vote.traces[0]) for vote in votes}
    return {rollout.question_id: rollout.score.solved and agreed[rollout.question_id] for rollout in alone}


def _unanimous(trace: Mapping[str, Any]) -> bool:
    return len(trace["votes"]) == 1 and not trace["failures"]


def restricted(achieved: Outcomes, wanted: Mapping[tuple[int, str], bool]) -> Outcomes:
    return {name: {key: outcome for key, outcome in found.items() if wanted[key]} for name, found in achieved.items()}


def against_direct(achieved: Outcomes) -> dict[str, Any]:
    return {name: figures(found, achieved["direct"]) for name, found in achieved.items()}


def ahead_of_controls(achieved: Outcomes) -> dict[str, Any]:
    return {
        name: asdict(pairing.difference)
        for name, found in achieved.items()
        if name not in ("direct", "supplemented") and (pairing := pair(found, achieved["supplemented"])) is not None
    }


def variants(
    seeds: Sequence[int], quick: bool, limit: int | None, kinds: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Measure every generator of some variants of the recipe; the first is compared with the others."""
    found: dict[str, list[list[Measured]]] = {kind: [] for kind in kinds}
    worlds: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
    for kind, settings in kinds.items():
        for seed in seeds:
            run, seconds = trained(seed, quick, settings)
            with run:
                found[kind].append(of_world(seed, measure_generators(run, "test", limit)))
                worlds[kind][str(seed)] = {"learning_seconds": round(seconds), "curve": curve_of(run)}
    pooled = {kind: pooled_measures(measured) for kind, measured in found.items()}
    by_calls = {kind: dev_by_calls([one["curve"] for one in all_.values()]) for kind, all_ in worlds.items()}
    chosen = {kind: deployed(measured) for kind, measured in found.items()}
    recipe, *others = kinds
    return {
        kind: {
            "curve_on_test": [asdict(point) for point in points_of(pooled[kind])],
            "dev_by_calls": by_calls[kind],
            "recipe_minus_this": behind(pooled[kind], by_calls[kind], pooled[recipe], by_calls[recipe])
            if kind in others
            else [],
            "deployed": told_of_deployed(chosen[kind], list(worlds[kind].values()))
            | ({"recipe_minus_this": ahead(chosen[kind].achieved, chosen[recipe].achieved)} if kind in others else {}),
            "worlds": worlds[kind],
        }
        for kind in kinds
    }


def deployed(worlds: Sequence[Sequence[Measured]]) -> Measured:
    """Return what the generators achieve that are deployed: of each world the one that is best on dev."""
    (pooled,) = pooled_measures([[one for one in measured if one.chosen] for measured in worlds])
    return pooled


def told_of_deployed(measured: Measured, worlds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of deployed generators, and the calls of the whole training; mean of the worlds."""
    best = [max(world["curve"], key=lambda one: one["dev/difference"]) for world in worlds]
    return {
        "rounds": [one["round"] for one in best],
        "actor_calls": round(fmean(world["curve"][-1]["actor/calls"] for world in worlds)),
        "dev_questions": sum(one["dev/n"] for one in best),
        "dev_mean": sum(one["dev/mean"] * one["dev/n"] for one in best) / sum(one["dev/n"] for one in best),
        "test": told(measured.achieved),
    }


def dev_by_calls(curves: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return after each round the calls of the actor so far, mean of the worlds, and the score on all dev questions."""
    return [
        {
            "round": rounds[0]["round"],
            "actor_calls": round(fmean(one["actor/calls"] for one in rounds)),
            "dev_questions": sum(one["dev/n"] for one in rounds),
            "dev_mean": sum(one["dev/mean"] * one["dev/n"] for one in rounds) / sum(one["dev/n"] for one in rounds),
        }
        for rounds in zip(*curves, strict=False)
    ]


def behind(
    measured: Sequence[Measured],
    by_calls: Sequence[Mapping[str, Any]],
    recipe: Sequence[Measured],
    recipe_by_calls: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return how much better the recipe's last generator is that took no more calls, give or take one in a hundred."""
    found: list[dict[str, Any]] = []
    for one, spent in zip(trained_ones(measured), by_calls, strict=True):
        rivals = [
            (other, its["actor_calls"])
            for other, its in zip(trained_ones(recipe), recipe_by_calls, strict=True)
            if its["actor_calls"] <= 1.01 * spent["actor_calls"]
        ]
        if rivals and (pairing := pair(one.achieved, rivals[-1][0].achieved)) is not None:
            place = {"generator": one.generator, "actor_calls": spent["actor_calls"]}
            rival = {"recipe": rivals[-1][0].generator, "recipe_calls": rivals[-1][1]}
            found.append({**place, **rival, **asdict(pairing.difference)})
    return found


def trained_ones(measured: Sequence[Measured]) -> Sequence[Measured]:
    """Leave out the actor alone and the untrained generator."""
    return measured[2:]


def of_world(seed: int, measured: Sequence[Measured]) -> list[Measured]:
    """Return what was measured with each question named after its world too."""
    return [
        replace(one, achieved={f"{seed} {question}": outcome for question, outcome in one.achieved.items()})
        for one in measured
    ]


def pooled_measures(worlds: Sequence[Sequence[Measured]]) -> list[Measured]:
    """Return what was measured over the questions of all worlds, as far as the rounds of each go."""
    return [
        Measured(
            generators[0].generator,
            False,
            {question: outcome for one in generators for question, outcome in one.achieved.items()},
            [form for one in generators for form in one.forms],
        )
        for generators in zip(*worlds, strict=False)
    ]


def _add(achieved: Outcomes, seed: int, results: Sequence[SolverRollouts]) -> None:
    for result in results:
        found = outcomes(result.rollouts)
        achieved.setdefault(result.solver, {}).update({(seed, key): outcome for key, outcome in found.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("worlds", "desks", "trainers", "schedules", "transfer"))
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--actors", nargs="*", default=[])
    parser.add_argument("--tasks", nargs="*", default=[])
    given = parser.parse_args()
    match given.what:
        case "worlds":
            result = worlds(given.seeds, given.quick, given.limit)
        case "desks":
            result = desks(given.seeds, given.quick, given.limit)
        case "trainers":
            result = variants(given.seeds, given.quick, given.limit, TRAINERS)
        case "schedules":
            result = variants(given.seeds, given.quick, given.limit, SCHEDULES)
        case _:
            result = {}
            for seed in given.seeds:
                run, _ = trained(seed, given.quick)
                with run:
                    cells = transfer(run, given.actors, given.tasks, limit=given.limit)
                    result[str(seed)] = [asdict(cell) for cell in cells]
    name = f"supplement-{given.what}{'-quick' if given.quick else ''}"
    record(name, shlex.join(["python", "benchmarks/supplement.py", *sys.argv[1:]]), **{given.what: result})


if __name__ == "__main__":
    main()
