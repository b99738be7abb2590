"""What the parts of a run share: settings, wording, task, and who speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fulcrum.calls import RecordedModel
from fulcrum.chat import ChatModel, Request, Sampling, complete
from fulcrum.errors import RunError, SettingsError
from fulcrum.evaluation.rollouts import SolverRollouts, roll_out
from fulcrum.evaluation.solver import Solver
from fulcrum.hashing import file_hash
from fulcrum.runs import Run
from fulcrum.strategies.checks import Context, check, judged_safe
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.lab import LabWording, desk_handbooks, handbook_text
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import Finding
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.solver import Adviser, Student, Teacher
from fulcrum.strategies.wording import GeneralWording, Wording, lines_of
from fulcrum.task import Split, Task

LIBRARY = "library.jsonl"


def wording_for(task: str, settings: StrategiesSettings, handbook: str = "") -> Wording:
    """Return the wording that a task's models understand.

    Args:
        task: name of the task.
        settings: say which, or leave it to the task.
        handbook: what the teacher reads; nobody else needs it.

    Raises:
        SettingsError: the lab's wording is wanted at another desk.
    """
    wanted = settings.wording or ("lab" if _at_the_lab(task) else "general")
    if wanted == "general":
        return GeneralWording(handbook)
    if not _at_the_lab(task):
        raise SettingsError(f"settings.wording: lab is that of lab:desk; leave it out for {task}")
    return LabWording(desk_handbooks(task))


def read_handbook(task: str, settings: StrategiesSettings) -> str:
    """Return what the teacher of a task reads.

    Raises:
        SettingsError: the file cannot be read.
        RunError: it is not what it was when the run began.
    """
    path = settings.handbook
    if path is None:
        return handbook_text(task) if _at_the_lab(task) else ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings.handbook: {path}: cannot be read as text: {error}") from error
    if file_hash(path) != settings.handbook_hash:
        raise RunError(f"settings.handbook: {path} has changed since the run began; bring it back, or train anew")
    return text


def _at_the_lab(task: str) -> bool:
    return task.startswith("lab:desk")


def kept(library: Library) -> list[Strategy]:
    """Return the strategies that were approved, and those that passed trial and checks and wait for a person."""
    passed = [strategy for strategy in library.strategies("proposed") if strategy.tested and not strategy.blocked]
    return [*library.strategies("approved"), *passed]


def eligible(library: Library) -> list[Strategy]:
    """Return the strategies that are approved or may yet be: those that wait, tested or not, and no check blocks."""
    waiting = [strategy for strategy in library.strategies("proposed") if not strategy.blocked]
    return [*library.strategies("approved"), *(strategy for strategy in waiting if strategy.merged_into is None)]


def served(library: Library, settings: StrategiesSettings) -> list[Strategy]:
    """Return what may stand in a prompt: what a person approved and, only if the settings say so, what waits."""
    return kept(library) if settings.serve == "proposed" else library.strategies("approved")


def served_or_refused(place: Path, library: Library, settings: StrategiesSettings) -> list[Strategy]:
    """Return what may stand in a prompt.

    Args:
        place: the library's, for the message.
        library: where it stands.
        settings: what is served.

    Raises:
        RunError: nothing is.
    """
    strategies = served(library, settings)
    if not strategies:
        waiting = len(library.strategies("proposed"))
        raise RunError(
            f"{place}: no strategy is approved, so there is nothing to serve; {waiting} wait for review: "
            'fulcrum strategies list, approve (or train with settings.serve = "proposed", for an experiment)'
        )
    return strategies


@dataclass(frozen=True)
class Bench:
    """A run, seen by the method."""

    run: Run

    @cached_property
    def settings(self) -> StrategiesSettings:
        """The recipe's settings."""
        return self.run.recipe.settings_as(StrategiesSettings)

    @cached_property
    def wording(self) -> Wording:
        """How its models are spoken to."""
        return wording_for(self.run.recipe.keys.task, self.settings)

    def measured(self, library: Library) -> list[Strategy]:
        """Return what an evaluation serves; an experiment may show that nothing was worth keeping.

        Raises:
            RunError: nothing is approved, so that all calls would show nothing.
        """
        if self.settings.serve == "proposed":
            return served(library, self.settings)
        return served_or_refused(self.run.folder, library, self.settings)

    @property
    def task(self) -> Task:
        """The dialogue task."""
        return self.run.task

    @property
    def seed(self) -> int:
        """Seed of everything."""
        return self.run.recipe.seed

    @property
    def models(self) -> dict[str, str]:
        """Name of the model of each role."""
        return dict(self.run.recipe.models)

    @property
    def sampling(self) -> Sampling:
        """Replies are greedy: a dialogue can then be taken up again without a new call."""
        return Sampling(max_tokens=self.settings.max_tokens or self.task.max_tokens)

    @cached_property
    def policy(self) -> str:
        """What every agent is told."""
        question = self.task.question(self.task.examples("train")[0])
        return "\n".join(message.content for message in question.messages if message.role == "system")

    @property
    def teacher_model(self) -> RecordedModel:
        """The teacher as a plain model."""
        return self.run.model("teacher")

    @property
    def judge(self) -> ChatModel | None:
        """The judge, if the recipe names one."""
        return self.run.model("judge") if "judge" in self.run.recipe.models else None

    def check(self) -> None:
        """Stop if the budget is spent."""
        self.run.budget.check()

    def findings(self, library: Library, strategy: Strategy, others: Sequence[Strategy] | None = None) -> list[Finding]:
        """Check a strategy's words, and ask the judge about it if there is one.

        Args:
            library: where it stands.
            strategy: which.
            others: what it must not contradict; by default all that are approved or may yet be.

        Raises:
            BudgetSpent: the judge's call was not made.
        """
        beside = without(eligible(library) if others is None else others, strategy.id)
        findings = check(strategy.advice, Context(self.policy, beside, strategy.evidence))
        if self.judge is not None:
            findings += judged_safe(self.judge, strategy.advice, self.policy)
            self.check()
        return findings

    def examine(self, library: Library, strategy: Strategy, others: Sequence[Strategy] | None = None) -> Strategy:
        """Keep what the checks and the judge find in these words of a strategy; the arguments are those of `findings`.

        Raises:
            BudgetSpent: the judge's call was not made.
        """
        findings = self.findings(library, strategy, others)
        return library.record_checks(strategy.id, findings, who="fulcrum", version=strategy.version)

    def student(self, adviser: Adviser | None = None, *, name: str) -> Student:
        """Return the student with some advice."""
        return Student(self.run.model("student"), self.sampling, self.wording, adviser, name=name)

    def teacher(self) -> Teacher:
        """Return the teacher as an agent, with its handbook."""
        task, settings = self.run.recipe.keys.task, self.settings
        wording = wording_for(task, settings, read_handbook(task, settings))
        return Teacher(self.teacher_model, self.sampling, wording)

    def generic_advice(self) -> tuple[str, ...]:
        """Return the teacher's general advice, given before it has seen any student.

        Raises:
            BudgetSpent: the call was not made.
            RunError: it failed, or left no line: without them the control would be the bare student.
        """
        most = self.settings.generic_lines
        asked = self.wording.generic(most, self.task.question(self.task.examples("train")[0]).messages)
        lines = tuple(line for line in asked if isinstance(line, str))
        if lines:
            return lines
        messages = tuple(message for message in asked if not isinstance(message, str))
        (answer,) = complete(self.teacher_model, [Request(messages, Sampling(max_tokens=512))])
        self.check()
        lines = lines_of(answer.text, most) if answer.ok else ()
        if not lines:
            failure = answer.failure
            why = f"{failure.kind}: {failure.detail}" if failure else "its answer holds no line"
            raise RunError(
                f"{self.models['teacher']}: gave no general advice for the control generic-advice ({why}); mend the "
                "endpoint (`fulcrum doctor`) or name another models.teacher, and evaluate again"
            )
        return lines

    def roll_out(self, solver: Solver, split: Split, limit: int, *, task: Task | None = None) -> SolverRollouts:
        """Let a solver hold the first `limit` dialogues of a split of the run's task, or of another choice of them."""
        run = self.run
        return roll_out(
            solver,
            task or self.task,
            split,
            role="control",
            ledger=run.ledger,
            budget=run.budget,
            seed=self.seed,
            limit=limit,
        )


def without(strategies: Sequence[Strategy], id: str) -> list[Strategy]:
    """Return the strategies but one."""
    return [strategy for strategy in strategies if strategy.id != id]


def library_file(place: Path) -> Path:
    """Return the library of a run, of an artifact, or the file itself."""
    if place.is_dir():
        return place / LIBRARY if (place / LIBRARY).exists() else place / "artifact" / LIBRARY
    return place
