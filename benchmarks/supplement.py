"""What supplements achieve on the lab, over worlds that nothing was tuned on.

    python benchmarks/supplement.py worlds --seeds 11 12 13
    python benchmarks/supplement.py trainers --seeds 11
    python benchmarks/supplement.py schedules --seeds 11
    python benchmarks/supplement.py transfer --seeds 11 --actors lab:teacher --tasks "lab:sql?seed=14"

`worlds` trains and evaluates the recipe on each world, and pools the test questions: all, those with house words, those
without. `trainers` compares SFT, DPO and GRPO, and `schedules` adaptive with fixed, by dev score and actor calls.
`--quick` runs the short version. Writes benchmarks/results/supplement-WHAT.json (supplement-WHAT-quick.json); runs are
kept below runs/benchmark-supplement, so that the same command continues.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _result import record

from fulcrum.atomic import read_json
from fulcrum.evaluation.pairing import Outcome, mean_of, outcomes, pair
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.supplement.audit import audit
from fulcrum.supplement.transfer import transfer

RECIPE = Path("recipes/supplement-lab-sql.toml")
RUNS = Path("runs/benchmark-supplement")

Outcomes = dict[str, dict[tuple[int, str], Outcome]]


def trained(seed: int, quick: bool, **settings: str) -> tuple[Run, float]:
    """Return the open run of one world, learned, and the seconds that its stages took."""
    flags = {"task": f"lab:sql?seed={seed}", "seed": str(seed)}
    flags |= {f"settings.{name}": value for name, value in settings.items()}
    name = "-".join([str(seed), *settings.values(), *(["quick"] if quick else [])])
    run = Run(RUNS / name, read_recipe(RECIPE, flags, quick=quick))
    learn(run)
    return run, sum(read_json(path)["seconds"] for path in run.folder.glob("stages/*/finished.json"))


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
    singles: dict[str, Any] = {}
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
    baseline = achieved["direct"]

    def part(wanted: Mapping[tuple[int, str], bool]) -> dict[str, Any]:
        kept = {
            name: {key: outcome for key, outcome in found.items() if wanted[key]} for name, found in achieved.items()
        }
        return {name: figures(found, kept["direct"]) for name, found in kept.items()}

    method = achieved["supplemented"]
    rivals = {
        name: asdict(pairing.difference)
        for name, found in achieved.items()
        if name not in ("direct", "supplemented") and (pairing := pair(found, method)) is not None
    }
    return {
        "questions": {name: figures(found, baseline) for name, found in achieved.items()},
        "with_house_words": part(jargon),
        "without_house_words": part({key: not value for key, value in jargon.items()}),
        "method_minus_control": rivals,
        "worlds": singles,
    }


def _add(achieved: Outcomes, seed: int, results: Sequence[SolverRollouts]) -> None:
    for result in results:
        found = outcomes(result.rollouts)
        achieved.setdefault(result.solver, {}).update({(seed, key): outcome for key, outcome in found.items()})


def curves(seeds: Sequence[int], quick: bool, setting: str, values: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for value in values:
        for seed in seeds:
            run, seconds = trained(seed, quick, **{setting: value})
            with run:
                found.setdefault(value, {})[str(seed)] = {"seconds": round(seconds), "curve": curve_of(run)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("worlds", "trainers", "schedules", "transfer"))
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--actors", nargs="*", default=[])
    parser.add_argument("--tasks", nargs="*", default=[])
    given = parser.parse_args()
    match given.what:
        case "worlds":
            result = worlds(given.seeds, given.quick, given.limit)
        case "trainers":
            result = curves(given.seeds, given.quick, "trainer", ("sft", "dpo", "grpo"))
        case "schedules":
            result = curves(given.seeds, given.quick, "schedule", ("adaptive", "fixed"))
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
