"""What a person's labels add to a society: 60 on the questions whose votes are most split, or 60 on random ones.

    python benchmarks/society.py --seeds 0 1 2

The recipe's --quick (one iteration, 150 questions) with a simulated person, who fixes the label of a question by its
target. For each seed the first debate is the same, and drawn once. Writes benchmarks/results/society-labels.json; runs
are kept below runs/benchmark-society, so that the same command continues.
"""

import argparse
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from _result import record

from fulcrum.evaluation.pairing import Outcome, mean_of, outcomes, pair
from fulcrum.evaluation.rollouts import Rollout
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run, open_run
from fulcrum.runs.evaluate import evaluate_run

RECIPE = Path("recipes/society-lab-arithmetic.toml")
RUNS = Path("runs/benchmark-society")
LABELS = 60
PEOPLE = {"none": (0, "split"), "split": (LABELS, "split"), "random": (LABELS, "random")}


def answers(person: str, seed: int, limit: int | None) -> tuple[Rollout, ...]:
    """Train a society with a person's labels, and return its answers on test."""
    labels, choose = PEOPLE[person]
    flags = {
        "seed": str(seed),
        "settings.arms": '["society"]',
        "settings.measure": "0",
        "settings.annotator.labels": str(labels),
        "settings.annotator.choose": choose,
    }
    recipe = read_recipe(RECIPE, flags, quick=True)
    folder, first = RUNS / f"{seed}-{person}", RUNS / f"{seed}-none"
    if not folder.exists() and first.exists():
        Run(folder, recipe).close()
        shutil.copy(first / "calls.sqlite", folder)  # the debate before anyone is trained
    with open_run(recipe, folder) as run:
        run.recipe.method.learn(run)
        _, results = evaluate_run(run, limit=limit)
    (method,) = (result for result in results if result.role == "method")
    print(f"seed {seed}, {person}: {mean_of(outcomes(method.rollouts))}", flush=True)
    return method.rollouts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=150)
    given = parser.parse_args()
    by_seed = {seed: {person: answers(person, seed, given.limit) for person in PEOPLE} for seed in given.seeds}
    pooled: dict[str, dict[str, Outcome]] = {  # a question counts once, the mean of its seeds
        person: outcomes(rollout for found in by_seed.values() for rollout in found[person]) for person in PEOPLE
    }
    differences = {
        f"{one} minus {other}": asdict(pairing.difference)
        for other, one in (("none", "split"), ("none", "random"), ("random", "split"))
        if (pairing := pair(pooled[other], pooled[one]))
    }
    record(
        "society-labels",
        shlex.join(["python", "benchmarks/society.py", *sys.argv[1:]]),
        labels=LABELS,
        right={person: asdict(mean) for person, found in pooled.items() if (mean := mean_of(found))},
        by_seed={
            seed: {person: asdict(mean) for person, rollouts in found.items() if (mean := mean_of(outcomes(rollouts)))}
            for seed, found in by_seed.items()
        },
        differences=differences,
    )


if __name__ == "__main__":
    main()
