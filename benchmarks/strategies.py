"""What a library of strategies is worth on the lab, over shops that nothing was tuned on, and elsewhere.

    python benchmarks/strategies.py shops --seeds 30 40 50 --desks 3 --till signed
    python benchmarks/strategies.py transfer --seeds 30 40 50 --desks 3 --till signed --students lab:large

`shops` trains and evaluates the recipe on each shop and pools the test dialogues: score, success, satisfaction and
violations of every solver against the student alone, and of the method against every control; per shop the effect of
each strategy, the curve over the rounds, the cost by role, and the break-even. `transfer` gives each library to other
students, at another shop with the same practice, and at another shop with its own. `--quick` runs the short version,
`--till signed` at a till that wants some bookings signed, `--desks N` with an agent that works for N shops, those
that follow on the seed, `--set KEY=VALUE ...` with other settings of the recipe. Writes
benchmarks/results/strategies-WHAT.json (-signed, -N-desks, -quick); runs are kept below runs/benchmark-strategies, so
that the same command continues.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from _pooled import ahead, told
from _result import record, seconds_of_stages

from fulcrum.atomic import read_json
from fulcrum.evaluation.pairing import Outcome, outcomes
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.hashing import content_hash
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn, learning_cost
from fulcrum.strategies.bench import kept
from fulcrum.strategies.lab import desk_handbooks
from fulcrum.strategies.library import Library
from fulcrum.strategies.metrics import break_even, metric_rows
from fulcrum.strategies.transfer import transfer
from fulcrum.strategies.words import ALTERNATIVE

RECIPE = Path("recipes/strategies-lab-desk.toml")
RUNS = Path("runs/benchmark-strategies")
METHOD, BASELINE = "retrieved", "student"


def trained(seed: int, given: argparse.Namespace) -> Run:
    """Return the open run of one shop, learned."""
    flags = {"task": desk(seed, given), "seed": str(seed), **dict(flag.split("=", 1) for flag in given.flags)}
    run = Run(RUNS / "-".join([str(seed), *kind_of(given)]), read_recipe(RECIPE, flags, quick=given.quick))
    learn(run)
    return run


def desk(seed: int, given: argparse.Namespace) -> str:
    """Return the task at the desks of the shops from a seed on."""
    return f"lab:desk?seed={seed}&shops={given.desks}&till={given.till}"


def kind_of(given: argparse.Namespace) -> list[str]:
    """Return what tells one kind of training from another, for the names of folders and files."""
    others = [content_hash(given.flags, 6)] if given.flags else []
    signed = ["signed"] if given.till == "signed" else []
    desks = [f"{given.desks}-desks"] if given.desks > 1 else []
    return [*signed, *desks, *(["quick"] if given.quick else []), *others]


def shops(given: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, SolverRollouts] = {}
    achieved: dict[str, dict[str, Outcome]] = {}
    single: dict[str, Any] = {}
    for seed in given.seeds:
        with trained(seed, given) as run:
            _, found = evaluate_run(run, limit=given.limit)
            single[str(seed)] = shop_of(run) | {"practice": known_practice(run, desk(seed, given))}
        for result in found:
            known = results.get(result.solver)
            rollouts = (*(known.rollouts if known else ()), *result.rollouts)
            results[result.solver] = replace(result, rollouts=rollouts)
            own = {f"{seed}/{id}": outcome for id, outcome in outcomes(result.rollouts).items()}
            achieved.setdefault(result.solver, {}).update(own)
            single[str(seed)].setdefault("score", {})[result.solver] = told(own)
        before = {id: outcome for id, outcome in achieved[BASELINE].items() if id.startswith(f"{seed}/")}
        single[str(seed)]["against_student"] = {
            solver: ahead(before, found) for solver, found in achieved.items() if solver != BASELINE
        }
    return {
        "score": {solver: told(found) for solver, found in achieved.items()},
        "against_student": {
            solver: ahead(achieved[BASELINE], found) for solver, found in achieved.items() if solver != BASELINE
        },
        "method_minus_control": {
            solver: ahead(found, achieved[METHOD])
            for solver, found in achieved.items()
            if solver not in (METHOD, BASELINE)
        },
        "metrics": [row.to_json() for row in metric_rows(list(results.values()))],
        "shops": single,
    }


def shop_of(run: Run) -> dict[str, Any]:
    """Return what one shop's run left beside its scores."""
    library = Library(run.artifact / "library.jsonl")
    return {
        "commit": read_json(run.folder / "environment.json")["commit"],
        "seconds_of_stages": {name: round(seconds) for name, seconds in seconds_of_stages(run.folder).items()},
        "strategies": [
            {
                "advice": strategy.advice.guidance,
                "scenario": strategy.advice.scenario,
                "effects": [effect.model_dump() for effect in strategy.effects.values()],
            }
            for strategy in kept(library)
        ],
        "rounds": read_json(run.artifact / "rounds.json"),
        "learning": {role: asdict(taken) for role, taken in learning_cost(run.folder).items()},
        "break_even": break_even(run.folder, read_results(run.folder)).to_json(),
    }


def known_practice(run: Run, task: str) -> dict[str, int]:
    """Return how many habits of the desks the library holds at the desks that live by them, and how many elsewhere."""
    handbooks = desk_handbooks(task)
    wanted = {(clerk, line) for clerk, lines in handbooks.items() for line in lines}
    held: set[tuple[str, str]] = set()
    for strategy in kept(Library(run.artifact / "library.jsonl")):
        named = {clerk for clerk in handbooks if f"at-{clerk}" in strategy.advice.scenario.split(ALTERNATIVE)}
        held |= {(clerk, strategy.advice.guidance) for clerk in named or handbooks}
    return {"habits": len(wanted), "held": len(held & wanted), "held_elsewhere": len(held - wanted)}


def matrix(given: argparse.Namespace) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for seed in given.seeds:
        with trained(seed, given) as run:
            strategies = kept(Library(run.artifact / "library.jsonl"))
            elsewhere = desk(seed + 100, given)
            tasks = [f"{elsewhere}&practice={seed}", elsewhere]
            found = transfer(run, strategies, given.students, tasks, limit=given.limit)
            cells[str(seed)] = [asdict(cell) for cell in found]
    return {"cells": cells}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("shops", "transfer"))
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--desks", type=int, default=1)
    parser.add_argument("--till", choices=("open", "signed"), default="open")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--students", nargs="*", default=[])
    parser.add_argument("--set", dest="flags", nargs="*", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    figures = shops(given) if given.what == "shops" else matrix(given)
    command = shlex.join(["python", "benchmarks/strategies.py", *arguments])
    record("-".join(["strategies", given.what, *kind_of(given)]), command, **figures)


if __name__ == "__main__":
    main(sys.argv[1:])
