"""What the parts of a run share: settings, wording, task, and who speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fulcrum.calls import RecordedModel
from fulcrum.chat import ChatModel, Request, Sampling, complete
from fulcrum.errors import SettingsError
from fulcrum.evaluation.rollouts import SolverRollouts, roll_out
from fulcrum.evaluation.solver import Solver
from fulcrum.runs import Run
from fulcrum.strategies.checks import Context, check, judged_safe
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.lab import LabWording
from fulcrum.strategies.library import Library
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.solver import Adviser, Student, Teacher
from fulcrum.strategies.wording import GeneralWording, Wording, lines_of
from fulcrum.task import Split, Task

LIBRARY = "library.jsonl"


def wording_for(task: str, settings: StrategiesSettings) -> Wording:
    """Return the wording that a task's models understand.

    Raises:
        SettingsError: the handbook cannot be read.
    """
    if task.startswith("lab:desk"):
        return LabWording.of_task(task)
    if settings.handbook is None:
        return GeneralWording()
    try:
        return GeneralWording(settings.handbook.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings.handbook: {settings.handbook}: cannot be read as text: {error}") from error


def kept(library: Library) -> list[Strategy]:
    """Return the strategies that were approved, and those that passed their trial and wait for a person."""
    passed = [strategy for strategy in library.strategies("proposed") if strategy.effects]
    return [*library.strategies("approved"), *passed]


def served(library: Library, settings: StrategiesSettings) -> list[Strategy]:
    """Return what may stand in a prompt: what a person approved and, only if the settings say so, what waits."""
    return kept(library) if settings.serve == "proposed" else library.strategies("approved")


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

    def examine(self, library: Library, strategy: Strategy) -> Strategy:
        """Check a strategy's words, ask the judge about it if there is one, and keep what was found.

        Raises:
            BudgetSpent: the judge's call was not made.
        """
        findings = check(strategy.advice, Context(self.policy, kept(library), strategy.evidence))
        if self.judge is not None:
            findings += judged_safe(self.judge, strategy.advice, self.policy)
            self.check()
        return library.record_checks(strategy.id, findings, who="fulcrum")

    def student(self, adviser: Adviser | None = None, *, name: str) -> Student:
        """Return the student with some advice."""
        return Student(self.run.model("student"), self.sampling, self.wording, adviser, name=name)

    def teacher(self) -> Teacher:
        """Return the teacher as an agent."""
        return Teacher(self.teacher_model, self.sampling, self.wording)

    def generic_advice(self) -> tuple[str, ...]:
        """Return the teacher's general advice, given before it has seen any student.

        Raises:
            BudgetSpent: the call was not made.
        """
        most = self.settings.generic_lines
        asked = self.wording.generic(most, self.task.question(self.task.examples("train")[0]).messages)
        lines = tuple(line for line in asked if isinstance(line, str))
        if lines:
            return lines
        messages = tuple(message for message in asked if not isinstance(message, str))
        (answer,) = complete(self.teacher_model, [Request(messages, Sampling(max_tokens=512))])
        self.check()
        return lines_of(answer.text, most)

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
