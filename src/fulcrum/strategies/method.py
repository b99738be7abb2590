"""`method = "strategies"`: what it needs, what it costs, what it is compared with, and how it is deployed."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fulcrum.artifact import CARD, Artifact, Deployed, OpenModel, write_card
from fulcrum.atomic import write_json, write_text
from fulcrum.errors import RunError, SettingsError
from fulcrum.methods import Contender, PlannedCalls, Role
from fulcrum.recipe import Recipe
from fulcrum.runs import Run
from fulcrum.strategies.bench import LIBRARY, Bench, kept, served, served_or_refused, wording_for
from fulcrum.strategies.effects import measure_library
from fulcrum.strategies.finetuned import REPLIES, finetuned_student, tune
from fulcrum.strategies.lab import LabWording
from fulcrum.strategies.learn import learn_library
from fulcrum.strategies.library import Library
from fulcrum.strategies.logs import Logs, take_in
from fulcrum.strategies.markdown import to_markdown
from fulcrum.strategies.placebo import placebo
from fulcrum.strategies.plan import planned_calls
from fulcrum.strategies.release import refuse_unreleased
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.solver import StrategyRewriter, fixed, retrieved, whole
from fulcrum.strategies.suggestions import Asked

ROUNDS = "rounds.json"
"""File of the artifact with a record for each round."""


class StrategiesMethod:
    """A library of strategies for a frozen student, written by a frozen teacher."""

    name = "strategies"
    summary = "An auditable library of strategies that a teacher writes and a student is given turn by turn."
    settings = StrategiesSettings
    quick: ClassVar[Mapping[str, str]] = {
        "rounds": "2",
        "dialogues": "80",
        "requests": "130",
        "trial_dialogues": "80",
        "gap_dialogues": "0",
        "effect_dialogues": "0",
        "finetune": "false",
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "student": Role("answers customers, with the library's help"),
        "teacher": Role("shows how, and writes strategies"),
        "judge": Role("compares replies; without it what becomes of the dialogue decides", required=False),
    }

    def plan(self, recipe: Recipe) -> Sequence[PlannedCalls]:
        """Return the calls of learning and of evaluation; `fulcrum.strategies.plan` says what is estimated.

        Raises:
            SettingsError: the recipe cannot work.
            RunError: the teacher's handbook is not what it was.
        """
        _refuse_what_cannot_work(recipe)
        return planned_calls(recipe)

    def learn(self, run: Run) -> None:
        """Run the rounds, measure what they kept, and write the library, its page, its curve and its card."""
        _refuse_what_cannot_work(run.recipe)
        if (run.artifact / LIBRARY).exists() and not _has_begun(run):
            raise RunError(
                f"{run.folder}: holds strategies that people brought, and what is learned would not reach them; train "
                "with another --output and import them there"
            )
        bench = Bench(run)
        learned, curve = learn_library(run)
        inputs = {"recipe": run.recipe.resolved(), "library": learned.parent.name}
        folder = run.stage("effects", inputs, lambda place: _measure(bench, learned, place))
        if bench.settings.finetune:
            tune(bench, sorted(run.folder.glob(f"stages/round-*/{REPLIES}")))
        target = run.artifact / LIBRARY
        if not target.exists():  # people may have decided since: their library stays
            draft = target.with_name(f".{LIBRARY}.partial")
            draft.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / LIBRARY, draft)
            draft.replace(target)
        library = Library(target)
        write_json(run.artifact / ROUNDS, curve)
        write_json(run.artifact / "curve.json", _points(curve))
        _describe(run, library, curve)
        run.log("learned", artifact=LIBRARY, strategies=len(kept(library)), **_next(run, library))

    def contenders(self, run: Run) -> Sequence[Contender]:
        """Return the student alone, with the library, with each control, and the teacher as ceiling.

        Raises:
            RunError: nothing is learned, or nothing of it is approved.
        """
        bench = Bench(run)
        library = Library(_library_of(run))
        strategies = bench.measured(library)
        retriever = Retriever(strategies, bench.settings.retrieval)
        wording = bench.wording
        advisers = {
            "generic-advice": fixed(bench.generic_advice()),
            "whole-library": whole(strategies),
        }
        if (other := placebo(library, retriever, wording, bench.settings, bench.seed)) is not None:
            advisers["shuffled"] = other
        contenders = [
            Contender(bench.student(name="student"), "baseline"),
            Contender(bench.student(retrieved(retriever, wording), name="retrieved"), "method"),
            *(Contender(bench.student(adviser, name=name), "control") for name, adviser in advisers.items()),
        ]
        if bench.settings.finetune:
            contenders.append(Contender(finetuned_student(bench), "control"))
        return [*contenders, Contender(bench.teacher(), "ceiling")]

    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Deployed:
        """Return what puts the approved strategies into requests; the student itself stands behind the endpoint.

        Raises:
            RunError: nothing is approved or released, so that nothing may be served.
        """
        settings = StrategiesSettings.model_validate(artifact.settings)
        library = Library(artifact.folder / LIBRARY)
        strategies = served_or_refused(artifact.folder, library, settings)
        refuse_unreleased(artifact.folder, strategies)
        wording = wording_for(artifact.task, settings)
        return StrategyRewriter(retrieved(Retriever(strategies, settings.retrieval), wording), wording)


def import_logs(run: Run, logs: Logs, who: str) -> tuple[Library, list[str], Asked]:
    """Propose what people teach to the library of a run, which is begun if the run has not learned.

    Returns:
        The library, the ids of the new strategies, and what came of asking the teacher.

    Raises:
        SettingsError: the recipe cannot work.
        RunError: the run is in the middle of learning.
        BudgetSpent: a call was not made.
    """
    if not isinstance(run.recipe.settings, StrategiesSettings):
        raise SettingsError(f"{run.folder}: its method is {run.recipe.method.name}, which holds no strategies")
    _refuse_what_cannot_work(run.recipe)
    path = run.artifact / LIBRARY
    if _has_begun(run) and not path.exists():
        raise RunError(f"{run.folder}: is in the middle of learning; finish `fulcrum train` with its recipe first")
    library = Library(path)
    new, asked = take_in(Bench(run), library, logs, who)
    run.log("imported", strategies=new, unreadable=asked.unreadable, unanswered=asked.failed)
    if not (run.artifact / CARD).exists():
        _describe(run, library, ())
    return library, new, asked


def _has_begun(run: Run) -> bool:
    return any(run.folder.glob("stages/round-*"))


def _refuse_what_cannot_work(recipe: Recipe) -> None:
    if recipe.task.environment is None:
        raise SettingsError(
            f"task: {recipe.keys.task} asks single questions; strategies are learned from dialogues: lab:desk, or "
            "dialogue:FILE.toml with your policy and customers"
        )
    wording = wording_for(recipe.keys.task, recipe.settings_as(StrategiesSettings))
    if "judge" in recipe.models and isinstance(wording, LabWording):
        raise SettingsError(
            "models.judge: the lab's wording has no words for a judge; leave it out, and replies are judged by what "
            'becomes of them, or set settings.wording = "general" for models that follow instructions'
        )


def _library_of(run: Run) -> Path:
    path = run.artifact / LIBRARY
    if not path.exists():
        raise RunError(f"{run.folder}: has not learned a library yet; run `fulcrum train` with its recipe first")
    return path


def _measure(bench: Bench, learned: Path, place: Path) -> None:
    path = place / LIBRARY
    shutil.copyfile(learned, path)  # over what a kill left
    library = Library(path, clock=lambda: "after the last round")
    if bench.settings.effect_dialogues:
        measure_library(bench, library, kept(library))


def _points(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a report draws of the rounds, in its format of curves."""
    drawn = {
        "covered": ("turns that a strategy fits", "share of turns, points", 100.0),
        "novelty": ("suggestions unlike any before", "share of suggestions, points", 100.0),
        "library": ("library", "strategies kept", 1.0),
    }
    points = [
        {"series": series, "x": row["round"], "y": scale * row[key], "x_label": "round", "y_label": label}
        for key, (series, label, scale) in drawn.items()
        for row in rounds
        if row[key] is not None
    ]
    by_size = {row["library"]: 100 * row["student"] for row in rounds if "student" in row}  # the latest of a size
    return points + [
        {"series": "retrieved", "x": size, "y": score, "x_label": "strategies kept", "y_label": "dev score, points"}
        for size, score in by_size.items()
    ]


def _next(run: Run, library: Library) -> dict[str, str]:
    """Return what to say and what to do next where nothing that was learned is served yet."""
    if served(library, run.recipe.settings_as(StrategiesSettings)):
        return {}
    if not (waiting := len(kept(library))):
        return {"sentence": "No strategy passed its trial.", "next": f"fulcrum strategies list {run.folder}"}
    return {
        "sentence": f"Waiting for review: {waiting}; none is served yet, so that an evaluation could show nothing.",
        "next": f"fulcrum review {run.folder}, then fulcrum evaluate {run.folder}",
    }


def _describe(run: Run, library: Library, curve: Sequence[Mapping[str, Any]]) -> None:
    """Write the library's page and the artifact's card."""
    write_text(run.artifact / "STRATEGIES.md", to_markdown(library.strategies(), f"Strategies: {run.recipe.name}"))
    write_card(run, _about(run, library, curve), serve=run.recipe.settings_as(StrategiesSettings).serve)


def _about(run: Run, library: Library, curve: Sequence[Mapping[str, Any]]) -> str:
    counts = {status: len(library.strategies(status)) for status in ("approved", "proposed", "rejected", "retired")}
    counted = ", ".join(f"{count} {status}" for status, count in counts.items())
    taught = run.recipe.models["teacher"] if curve else "people"
    lines = [
        f"# Strategies: {run.recipe.name}",
        "",
        f"What {taught} taught {run.recipe.models['student']} on {run.recipe.keys.task}, in words: {counted}.",
        "",
        "`STRATEGIES.md` shows every strategy with its effect; `library.jsonl` is the library itself.",
        "",
        "Only approved strategies are served. Review them: `fulcrum strategies list`, `show`, `approve`, `reject`.",
    ]
    table = [
        "",
        "| round | teacher's share | turns | replies differ | teacher better | new | kept so far | turns covered |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['round']} | {row['beta']:.0%} | {row['turns']} | {row['differ']} | {row['judged/teacher']} "
            f"| {_share(row['novelty'])} | {row['library']} | {row['covered']:.0%} |"
            for row in curve
        ),
    ]
    return "\n".join([*lines, *table] if curve else lines)


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"


METHOD = StrategiesMethod()
