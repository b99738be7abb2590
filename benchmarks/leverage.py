"""What leverage gains on lab:triage, with every control: figures for benchmarks/results/leverage-*.json.

python benchmarks/leverage.py curve          data efficiency over nested sizes, from lab:base, or from another --actor
python benchmarks/leverage.py arms           the 2 x 2 of anchor and mix, placebos and all controls, at 64 rows
python benchmarks/leverage.py general-sizes  0 to 20,000 general rows beside 64 letters, each seen 40 times: a jump?
python benchmarks/leverage.py anchors        written by rule, by hand, and changing in training, at 64 rows
python benchmarks/leverage.py auto-anchor    written by rule and by hand, 64 rows among 8,000, 256 among 4,000
python benchmarks/leverage.py schedules      when the task's rows come: all along, late, last, at 64 rows

Each is a sweep of three seeds, four for anchors among 8,000 rows, that continues after a kill.
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any, get_args

from _result import record
from scipy.stats import ttest_1samp

from fulcrum.leverage.arms import ARMS
from fulcrum.leverage.mix import Schedule
from fulcrum.leverage.sweep import Row, run_sweep
from fulcrum.recipe import read_recipe
from fulcrum.runs import open_run

RECIPE = Path(__file__).parents[1] / "recipes" / "leverage-lab-triage.toml"
HAND_WRITTEN = "shop desk: name the queue of this letter, as json with queue, order, item, urgent."
AT_64 = {"settings.sweep.task_sizes": "[64]"}
ALL_ARMS = json.dumps(list(ARMS))
LOOKS = "40"
MANY_GENERAL_ROWS = {
    **AT_64,
    "settings.general": "lab:general?rows=20256",
    "settings.mix.task_share": "0.99",  # more than the cap lets through: every letter is seen LOOKS times at any size
    "settings.mix.repeat_cap": LOOKS,
    "settings.tune.sft_passes": f"[{LOOKS}]",
    "settings.sweep.arms": '["tell"]',
}
GENERAL_SIZES = {
    "settings.general_rows": "20000",
    "settings.sweep.general_sizes": "[0, 500, 1000, 2000, 4000, 8000, 20000]",
    "settings.sweep.general_at": "64",
}
BY_HAND = {"settings.anchor": HAND_WRITTEN}
AT_256 = {"settings.sweep.task_sizes": "[256]", "settings.sweep.arms": '["tell"]'}
FOUR_SEEDS = {"settings.general_rows": "8000", "settings.sweep.seeds": "[0, 1, 2, 3]"}
SWEEPS: dict[str, dict[str, dict[str, str]]] = {
    "curve": {"curve": {}},
    "arms": {"arms": {**AT_64, "settings.sweep.arms": ALL_ARMS}},
    "general-sizes": {"general-sizes": {**MANY_GENERAL_ROWS, **GENERAL_SIZES}},
    "anchors": {
        name: {**AT_64, "settings.sweep.arms": '["tell"]', **flags}
        for name, flags in {
            "auto": {},
            "by hand": BY_HAND,
            "cooldown": {"settings.dynamic.cooldown": "0.3"},
            "drop-out": {"settings.dynamic.dropout": "0.3"},
            "shortened": {"settings.dynamic.shorten": "true"},
        }.items()
    },
    "schedules": {
        schedule: {**AT_64, "settings.sweep.arms": '["tell"]', "settings.mix.schedule": schedule}
        for schedule in get_args(Schedule)
    },
    "auto-anchor": {
        "auto": {**MANY_GENERAL_ROWS, **FOUR_SEEDS},
        "by hand": {**MANY_GENERAL_ROWS, **FOUR_SEEDS, **BY_HAND},
        "auto 256": AT_256,
        "by hand 256": {**AT_256, **BY_HAND},
    },
}


def show(done: int, total: int, row: Row) -> None:
    cell = row.planned.cell
    print(f"{done}/{total} {row.planned.arm} {cell} test {row.score:.3f} dev {row.result.score:.3f}", flush=True)


def run(name: str, flags: dict[str, str], runs: Path) -> dict[str, Any]:
    recipe = read_recipe(RECIPE, flags)
    with open_run(recipe, runs / name.replace(" ", "-")) as opened:
        return {"settings": recipe.resolved(), **run_sweep(opened, show)}


def scores(sweep: dict[str, Any], arm: str = "tell") -> list[float]:
    return [row["score"] for row in sweep["rows"] if row["arm"] == arm]


def ahead(ones: list[float], others: list[float]) -> dict[str, Any]:
    """Return by how much one scores above another, with Student's 95 % interval over the seeds."""
    gaps = [one - other for one, other in zip(ones, others, strict=True)]
    low, high = ttest_1samp(gaps, 0.0).confidence_interval()
    return {"by_seed": gaps, "mean": sum(gaps) / len(gaps), "low": low, "high": high}


def differences(what: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what a benchmark is about, pair by pair."""
    if what == "arms":
        sweep = found["arms"]
        arms = [arm for arm in ARMS if arm != "tell"]
        pairs = {f"tell minus {arm}": (scores(sweep), scores(sweep, arm)) for arm in arms}
        pairs["placebo-random minus shuffle-only"] = scores(sweep, "placebo-random"), scores(sweep, "shuffle-only")
    elif what == "schedules":
        shuffled = scores(found["shuffled"])
        pairs = {f"{name} minus shuffled": (scores(one), shuffled) for name, one in found.items() if name != "shuffled"}
    elif what == "auto-anchor":
        pairs = {
            f"auto{size} minus by hand{size}": (scores(found[f"auto{size}"]), scores(found[f"by hand{size}"]))
            for size in ("", " 256")
        }
    else:
        return {}
    return {"differences": {pair: ahead(*both) for pair, both in pairs.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=SWEEPS)
    parser.add_argument("--actor", default="lab:base")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    start = options.actor.partition(":")[2]
    found = {
        name: run(f"leverage-{start}-{name}", {"models.actor": options.actor, **flags}, options.runs)
        for name, flags in SWEEPS[options.what].items()
    }
    actor = [] if start == "base" else ["--actor", options.actor]
    command = ["python", "benchmarks/leverage.py", options.what, *actor]
    name = f"leverage-{options.what}-{start}"
    record(name, shlex.join(command), sweeps=found, **differences(options.what, found))


if __name__ == "__main__":
    main()
