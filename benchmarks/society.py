"""What a society gains, iteration by iteration beside every other arm, and what a person's labels add to it.

python benchmarks/society.py iterations --seeds 0 1 2    every arm of the recipe after each iteration, on test questions
python benchmarks/society.py once --seeds 0 1 2          the society after one iteration, beside what needs no training
python benchmarks/society.py labels --seeds 0 1 2        60 labels on the most split votes, or on random questions
python benchmarks/society.py letters --seeds 50 51 52    the same for agents that begin with what 64 letters taught them

Writes benchmarks/results/society-WHAT.json. Runs are kept below runs/benchmark-society, so that the same command
continues. A question counts once: what the seeds make of it is averaged.
"""

import argparse
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _pooled import Achieved, ahead, average, told
from _result import record, seconds_of_stages

from fulcrum.atomic import read_json
from fulcrum.evaluation.pairing import mean_of, outcomes
from fulcrum.recipe import Recipe, read_recipe
from fulcrum.runs import Run, open_run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.society.feedback import read_feedback
from fulcrum.society.history import read_history
from fulcrum.society.measure import Point
from fulcrum.society.method import measure_history
from fulcrum.society.records import counts_by_kind, last_debates, learned_rows

RECIPE = Path("recipes/society-lab-arithmetic.toml")
RUNS = Path("runs/benchmark-society")

AS_IT_IS: Mapping[str, str] = {}
"""The recipe's own settings: a line of agents ends at its plateau on dev questions."""

ONCE = {
    "settings.measure": "0",  # nothing is chosen by dev
    "settings.iterations": "1",
    "settings.questions": "150",
    "settings.distil": "false",
    "settings.arms": '["base", "majority", "debate", "self-consistency", "society"]',
}

LABELS = 60
PEOPLE: Mapping[str, Mapping[str, str]] = {
    "none": {"settings.annotator.labels": "0"},
    "split": {"settings.annotator.labels": str(LABELS), "settings.annotator.choose": "split"},
    "random": {"settings.annotator.labels": str(LABELS), "settings.annotator.choose": "random"},
}

SUMS = {"settings.arms": '["society"]', "settings.measure": "0"}
"""Over the recipe's --quick."""

START = Path("recipes/leverage-lab-triage.toml")
BEGUN = {"settings.anchor": "", "settings.controls": "[]"}
"""Over the recipe that makes the letters' agents: a society asks with the letter alone, so nothing else is learnt."""

LETTERS = {
    "method": "society",
    "settings.questions": "300",
    "settings.measure": "0",
    "settings.arms": '["society"]',
    "settings.debate.rounds": "1",  # a model that reads letters and nothing else cannot discuss them
    "settings.debate.temperature": "0.8",
    "settings.debate.top_p": "1",
    "settings.min_margin": "1",  # votes teach what all agree on, a person the rest
    "settings.again": "10",
    "settings.training.epochs": "4",
    "settings.training.learning_rate": "1e-3",
    "settings.training.dtype": "bfloat16",
}


def iterations(seeds: Sequence[int], limit: int, settings: Mapping[str, str] = AS_IT_IS) -> dict[str, Any]:
    """Train every line with each seed, and return every arm after each iteration, and how far the society is ahead.

    An arm whose line has ended with some seed stays there what it was.
    """
    name = "once" if settings is ONCE else "iterations"
    measured: dict[int, list[Point]] = {}
    used: dict[str, list[Achieved]] = {}
    seeds_told: dict[int, Any] = {}
    for seed in seeds:
        recipe = read_recipe(RECIPE, {"seed": str(seed), **settings})
        with open_run(recipe, RUNS / f"{name}-{seed}") as run:
            learn(run)
            measured[seed] = measure_history(run, "test", limit)
            for point in measured[seed]:
                print(f"seed {seed}, {point.arm} {point.iteration}: {point.right} of {point.n}", flush=True)
            _, results = evaluate_run(run, limit=limit)
            for result in results:
                used.setdefault(result.solver, []).append(outcomes(result.rollouts))
            seeds_told[seed] = about(run)
    last = max(point.iteration for points in measured.values() for point in points)
    trained = {point.arm for found in measured.values() for point in found if point.iteration}
    by_seed = {seed: carried_on(found, trained, last) for seed, found in measured.items()}
    points = {place: [found[place] for found in by_seed.values()] for place in by_seed[seeds[0]]}
    achieved = {place: average(point.outcomes for point in found) for place, found in points.items()}
    others = [arm for arm, iteration in points if not iteration and arm != "society"]
    return {
        "settings": settings,
        "questions_tested": limit,
        "arms": [
            {
                "arm": arm,
                "iteration": iteration,
                **told(achieved[arm, iteration]),
                "by_seed": [point.mean for point in found],
                "calls": found[0].calls,
                "diversity": [dict(point.diversity) for point in found],
            }
            for (arm, iteration), found in points.items()
        ],
        "society_ahead": [
            {
                "iteration": iteration,
                "of": other,
                "at": at,
                **ahead(achieved[other, at], achieved["society", iteration]),
            }
            for iteration in range(1, last + 1)
            for other, at in [
                *((other, iteration if other in trained else 0) for other in others),
                ("society", iteration - 1),
            ]
        ],
        "as_used": as_used({name: average(found) for name, found in used.items()}),
        "seeds": seeds_told,
    }


def carried_on(points: Sequence[Point], trained: set[str], last: int) -> dict[tuple[str, int], Point]:
    """Return the points of one seed by arm and iteration; what has ended stays what it was to the last iteration."""
    found = {(point.arm, point.iteration): point for point in points}
    for arm in trained:
        for iteration in range(1, last + 1):
            found.setdefault((arm, iteration), found[arm, iteration - 1])
    return dict(sorted(found.items(), key=lambda item: item[0][1]))


def about(run: Run) -> dict[str, Any]:
    """Return how long learning took, how each line ended, how right the society's labels were, and rows by kind."""
    stages, history = seconds_of_stages(run.folder), read_history(run.folder)
    return {
        "learning_seconds": round(sum(stages[name] for name in stages if not name.startswith("measure-test"))),
        "ended": history.ended,
        "used": history.best,
        "labels": [row for row in read_json(run.folder / "labels.json") if row["line"] == "society"],
        "rows_by_kind": counts_by_kind(learned_rows(run.folder)),
    }


def as_used(achieved: Mapping[str, Achieved]) -> list[dict[str, Any]]:
    """Return what each arm achieves with the weights of its best iteration, and how far the society is ahead of it."""
    society = achieved["society"]
    return [{"arm": name, **told(found), "society_ahead": ahead(found, society)} for name, found in achieved.items()]


def labels(seeds: Sequence[int], limit: int) -> dict[str, Any]:
    """Train the recipe's --quick with a simulated person's labels, who fixes a question's label by its target."""

    def recipe(seed: int, person: Mapping[str, str]) -> Recipe:
        return read_recipe(RECIPE, {"seed": str(seed), **SUMS, **person}, quick=True)

    return by_person(recipe, seeds, limit, "labels")


def letters(seeds: Sequence[int], limit: int) -> dict[str, Any]:
    """Go on from a model that leverage taught 64 letters of a shop, with 300 letters and a person's labels for some."""

    def recipe(seed: int, person: Mapping[str, str]) -> Recipe:
        return read_recipe(None, {**LETTERS, **shop(seed), "models.agent": f"hf:{begin(seed)}", **person})

    return {"begin": BEGUN, "settings": LETTERS, **by_person(recipe, seeds, limit, "letters")}


def begin(seed: int) -> Path:
    """Train what the agents of a shop's letters begin as, and return its folder."""
    with open_run(read_recipe(START, {**BEGUN, **shop(seed)}), RUNS / f"letters-{seed}-begin") as run:
        learn(run)
    return run.artifact / "model"


def shop(seed: int) -> dict[str, str]:
    return {"seed": str(seed), "task": f"lab:triage?seed={seed}"}


def by_person(
    recipe: Callable[[int, Mapping[str, str]], Recipe], seeds: Sequence[int], limit: int, name: str
) -> dict[str, Any]:
    """Return what a society achieves without a person and with one, and the differences, paired by question.

    Args:
        recipe: of a seed, with what the person does.
        seeds: of which each trains a society for each person.
        limit: test questions.
        name: the runs are called by it.
    """
    by_seed: dict[int, dict[str, Achieved]] = {}
    said: dict[str, Counter[str]] = {person: Counter() for person in PEOPLE}
    for seed in seeds:
        folders = {person: RUNS / f"{name}-{seed}-{person}" for person in PEOPLE}
        for person, flags in PEOPLE.items():
            results = answers(recipe(seed, flags), folders[person], folders["none"], limit)
            by_seed.setdefault(seed, {"before": results["baseline"]})[person] = results["method"]
            said[person] += what_labels_did(folders[person])
            print(f"seed {seed}, {person}: {mean_of(results['method'])}", flush=True)
    pooled = {who: average(found[who] for found in by_seed.values()) for who in ("before", *PEOPLE)}
    return {
        "labels": LABELS,
        "labels_did": said,
        "right": {who: told(found) for who, found in pooled.items()},
        "by_seed": {seed: {who: told(one) for who, one in found.items()} for seed, found in by_seed.items()},
        "differences": {
            f"{one} minus {other}": ahead(pooled[other], pooled[one])
            for other, one in (("before", "none"), ("none", "split"), ("none", "random"), ("random", "split"))
        },
    }


def answers(recipe: Recipe, folder: Path, first: Path, limit: int) -> dict[str, Achieved]:
    """Train a society, whose first debate another run may have held; return what it and its base achieve on test."""
    if not folder.exists() and first.exists():
        Run(folder, recipe).close()
        shutil.copy(first / "calls.sqlite", folder)  # the debate before anyone is trained
    with open_run(recipe, folder) as run:
        learn(run)
        _, results = evaluate_run(run, limit=limit)
    return {result.role: outcomes(result.rollouts) for result in results}


def what_labels_did(run: Path) -> Counter[str]:
    """Return how many of a person's labels confirmed what the agents said, mended it, or brought no rows."""
    learnt = {learned.row.label.question_id for learned in learned_rows(run)}
    debates = {debate.question_id: debate for debate in last_debates(run)}
    did = Counter[str]()
    for event in read_feedback(run).events:
        debate = debates[event.question_id]
        share = debate.votes[str(event.answer)] / len(debate.last)
        if event.question_id not in learnt:
            did["no agent ever said it"] += 1
        else:
            did[
                "all had said it" if share == 1 else "most had said it" if share > 0.5 else "few or none had said it"
            ] += 1
    return did


def once(seeds: Sequence[int], limit: int) -> dict[str, Any]:
    """Return what one iteration brings, as `iterations` does."""
    return iterations(seeds, limit, ONCE)


WHAT: Mapping[str, Callable[[Sequence[int], int], dict[str, Any]]] = {
    "iterations": iterations,
    "once": once,
    "labels": labels,
    "letters": letters,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=150)
    given = parser.parse_args()
    command = shlex.join(["python", "benchmarks/society.py", *sys.argv[1:]])
    record(f"society-{given.what}", command, **WHAT[given.what](given.seeds, given.limit))


if __name__ == "__main__":
    main()
