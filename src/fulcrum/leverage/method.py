"""`method = "leverage"`: how the command line sees it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from fulcrum.artifact import Artifact, Deployed, OpenModel
from fulcrum.atomic import read_json
from fulcrum.errors import RunError
from fulcrum.evaluation.baselines import Direct
from fulcrum.evaluation.solver import Solver
from fulcrum.lazy import load
from fulcrum.leverage.anchor import Anchor
from fulcrum.leverage.arms import ARMS, ArmName
from fulcrum.leverage.settings import LeverageSettings
from fulcrum.leverage.solver import AnchoredModel
from fulcrum.leverage.tries import Cell, Exposure, tries
from fulcrum.methods import Contender, PlannedCalls, Role, asked_by_the_task, prompt_tokens
from fulcrum.recipe import Recipe
from fulcrum.runs import Run
from fulcrum.training.source import trained_name

if TYPE_CHECKING:  # it loads torch
    from fulcrum.leverage.trial import Opened


class LeverageMethod:
    """`method = "leverage"`."""

    name = "leverage"
    summary = "Tune on a few anchored task rows shuffled into many general rows (TELL)."
    settings = LeverageSettings
    quick: ClassVar[Mapping[str, str]] = {
        "general_rows": "1500",
        "controls": '["sft"]',
        "tune.sft_passes": "[40]",  # in the lab that is as many steps as the method takes; with ten it is weak
        "tune.match_steps": "false",
        "tune.dev_rows": "100",
        "shots": "0",
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "actor": Role("answers the task, and is tuned", default="lab:base", trained=True),
        "writer": Role("writes candidates for anchor = 'auto'", required=False),
    }

    def plan(self, recipe: Recipe) -> Sequence[PlannedCalls]:
        """Return the calls of tuning (every trial answers dev) and of the evaluation on test."""
        settings, task = recipe.settings_as(LeverageSettings), recipe.task
        answer = settings.max_tokens or task.max_tokens
        prompt = prompt_tokens(task, answer)
        dev = min(settings.tune.dev_rows or len(task.examples("dev")), len(task.examples("dev")))
        cell, longest = Cell(1, 1, recipe.seed), Exposure(sys.maxsize, 1.0)  # how many are tried depends on no size
        arms: Sequence[ArmName] = ("tell", *settings.controls)
        trials = sum(len(tries(settings, ARMS[name], cell, None, longest)) for name in arms)
        questions = len(task.examples("test"))
        rows = [
            PlannedCalls("choosing by dev", "actor", dev * trials, prompt, answer),
            PlannedCalls("tuned models", "actor", questions * (2 + len(settings.controls)), prompt, answer),
            PlannedCalls("untuned, with and without anchor", "actor", 2 * questions, prompt, answer),
        ]
        if settings.shots:
            shown = prompt + settings.shots * (prompt + answer)
            rows.append(PlannedCalls("few-shot", "actor", questions, shown, answer))
        rows += asked_by_the_task(recipe, answer, sum(row.calls for row in rows))
        if "writer" in recipe.models:
            rows.append(PlannedCalls("writing anchors", "writer", settings.candidates, 8 * (prompt + answer), 120))
        return rows

    def learn(self, run: Run) -> None:
        """Tune with leverage and in every way that it must beat; see `fulcrum.leverage.learn`."""
        load("fulcrum.leverage.learn:learn")(run)

    def contenders(self, run: Run) -> Sequence[Contender]:
        """Return plain finetuning first, as the baseline to beat, then leverage and every control.

        Raises:
            RunError: the run has not learned yet.
        """
        path = run.folder / "leverage.json"
        if not path.is_file():
            raise RunError(f"{run.folder}: has not learned yet; run the same recipe with `fulcrum train` first")
        return sorted(_contenders(run, read_json(path)), key=lambda one: one.role != "baseline")

    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Deployed:
        """Open the tuned model, with the anchor in front of what it is asked."""
        kind = artifact.facts["weights"]
        name = trained_name(artifact.models["actor"], artifact.folder / kind, "full" if kind == "model" else "lora")
        anchor = artifact.facts["anchor"]
        opener_tokens = artifact.facts.get("opener_tokens", 0)  # older artifacts do not say
        return AnchoredModel(open_model(name), Anchor(**anchor) if anchor else None, opener_tokens=opener_tokens)


def _contenders(run: Run, learned: dict[str, Any]) -> Iterator[Contender]:
    from fulcrum.leverage.learn import untuned_solvers
    from fulcrum.leverage.trial import Bench

    bench = Bench(run)
    arms = cast(dict[ArmName, dict[str, Any]], learned["arms"])
    own = Anchor(**learned["anchor"]) if learned["anchor"] else None
    baseline = "sft" if "sft" in arms else "untuned"

    def contender(solver: Solver) -> Contender:
        role = "method" if solver.name == "tell" else "baseline" if solver.name == baseline else "control"
        return Contender(solver, role)

    def alone(name: str, opened: "Opened") -> Contender:
        return contender(Direct(bench.recorded(opened), bench.greedy, name=name))

    for name, facts in arms.items():
        tuned = bench.open(run.folder / facts["weights"], Anchor(**facts["anchor"]) if facts["anchor"] else None)
        yield alone(name, tuned)
        if name == "tell" and own and not own.opener:  # one that opens answers is not asked for
            yield alone(*_turned(tuned, own))
    yield from map(contender, untuned_solvers(bench, own))


def _turned(tell: "Opened", own: Anchor) -> tuple[str, "Opened"]:
    """Return the tuned model asked the other way: without its anchor, or with the one that it can do without."""
    if tell.anchor:
        return "tell without anchor", replace(tell, anchor=None)
    return "tell with anchor", replace(tell, anchor=own)


METHOD = LeverageMethod()
