"""`fulcrum demo`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import fulcrum
from fulcrum.atomic import write_text
from fulcrum.calls import Spend, Watcher
from fulcrum.cli.common import console, log
from fulcrum.cli.progress import watchers
from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.render import conclusions, evaluation_table
from fulcrum.evaluation.summary import Summary, summarize, summary_table
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.lazy import load
from fulcrum.recipe import read_recipe
from fulcrum.runs import default_folder, open_run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.workers import Tell, processes_for, spread

MethodName = Literal["supplement", "strategies", "leverage", "society"]

_RECIPES: dict[MethodName, tuple[str, int]] = {
    "society": ("society-lab-arithmetic", 60),
    "leverage": ("leverage-lab-triage", 100),
    "strategies": ("strategies-lab-desk", 60),
    "supplement": ("supplement-lab-sql", 100),
}
"""Recipe of each method's demo, and how many test examples it is measured on; the longest first."""

_PARAMETERS = 3_000_000
"""Size of the largest model of the lab, which decides whether methods go side by side."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What the demo of one method came to."""

    folder: Path
    page: Path
    rows: Sequence[EvaluationRow]
    sentences: Sequence[str]
    summary: Summary


def demo(*methods: MethodName, output: Path = Path("runs/demo")) -> None:
    """Train and measure all four methods on the lab, as many at a time as there are cores. No key, no GPU, no download.

    Args:
        methods: Only these.
        output: Where the run folders go.
    """
    names: list[MethodName] = [name for name in _RECIPES if not methods or name in methods]
    done: dict[MethodName, _Done] = {}
    with watchers() as watcher:
        shown: dict[MethodName, Watcher] = {name: watcher(f"{name} ") for name in names}
        jobs = spread(partial(_run, output), names, processes_for(len(names), _PARAMETERS), _hear(shown))
        for name, one in jobs:
            done[name] = one
            log.print(f"{name}: {one.summary.verdict.kind} after {one.summary.minutes:.1f} minutes", highlight=False)
    for name in names:
        _show(done[name])
    console.print(summary_table([done[name].summary for name in names]))
    page = output / "report.html"
    write_text(page, load("fulcrum.report:render_overview")([done[name].folder for name in names], output))
    console.print(f"All of it in one page: {page}", highlight=False, soft_wrap=True)


def _show(done: _Done) -> None:
    console.print(evaluation_table(done.rows))
    for sentence in done.sentences:
        console.print(sentence, highlight=False)
    learned = f"Examples, controls and what was learned: {done.page}"
    console.print(learned, highlight=False, soft_wrap=True)


def _run(output: Path, name: MethodName, tell: Tell) -> _Done:
    """Train and measure one method; the calls on the way are told."""
    file, questions = _RECIPES[name]
    recipe = read_recipe(_shipped(file), quick=True)
    # The hash of the settings, so that a demo of another version does not stand in the way.
    folder = output / f"{name}-{default_folder(recipe).name.rpartition('-')[2]}"
    started = time.monotonic()
    with open_run(recipe, folder) as run:
        run.ledger.watcher = _Teller(name, tell)
        learn(run)
        rows, results = evaluate_run(run, limit=questions)
        calls = run.ledger.total().calls
    page = load("fulcrum.report:write_report")(folder)
    summary = summarize(name, rows, results, calls, (time.monotonic() - started) / 60)
    return _Done(folder, page, rows, [*conclusions(rows), *diagnose(results, rows)], summary)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells of calls in one process what is shown in another."""

    name: MethodName
    tell: Tell

    def expect(self, role: str, answers: int) -> None:
        self.tell((self.name, "expect", (role, answers)))

    def record(self, role: str, spend: Spend) -> None:
        self.tell((self.name, "record", (role, spend)))

    def train(self, role: str, step: int, steps: int) -> None:
        self.tell((self.name, "train", (role, step, steps)))


def _hear(watchers: Mapping[MethodName, Watcher]) -> Tell:
    def hear(told: tuple[MethodName, str, tuple[Any, ...]]) -> None:
        name, what, facts = told
        getattr(watchers[name], what)(*facts)

    return hear


def _shipped(recipe: str) -> Path:
    """Return a recipe of the package, or of the checkout that it was installed from."""
    package = Path(fulcrum.__file__).parent
    inside = package / "recipes" / f"{recipe}.toml"
    return inside if inside.exists() else package.parents[1] / "recipes" / inside.name
