"""What a method is, and which there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from fulcrum.artifact import Artifact, Deployed, OpenModel
from fulcrum.chat import Message
from fulcrum.evaluation.solver import RoleOfSolver, Solver
from fulcrum.lazy import load
from fulcrum.settings import Settings
from fulcrum.task import Task
from fulcrum.task.scorers import JudgeScorer
from fulcrum.task.task import SPEECH_TOKENS, VERDICT_TOKENS

if TYPE_CHECKING:  # a recipe holds a method, and a method reads a recipe
    from fulcrum.recipe import Recipe
    from fulcrum.runs.run import Run


_ROLE_TOKENS = 256
"""Tokens in which a task's own model is told what it is and what only it knows, an estimate."""

METHODS = {
    "baseline": "fulcrum.baseline:METHOD",
    "strategies": "fulcrum.strategies.method:METHOD",
    "supplement": "fulcrum.supplement.method:METHOD",
    "society": "fulcrum.society.method:METHOD",
    "leverage": "fulcrum.leverage.method:METHOD",
}
"""Where each method lives; named by string so that a light command loads no heavy library."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a model is in a method.

    Attributes:
        purpose: what it does there, in a few words.
        default: name of the model if the recipe names none.
        required: false if the method can do without.
        trained: true if the method trains it, so that it must be a local model.
    """

    purpose: str
    default: str | None = None
    required: bool = True
    trained: bool = False


@dataclass(frozen=True, slots=True)
class Contender:
    """A solver in a comparison.

    Attributes:
        solver: who answers.
        role: what it is there.
        draws: attempts at each example; with more than one the row is the oracle's pass@draws, a ceiling.
    """

    solver: Solver
    role: RoleOfSolver
    draws: int = 1


@dataclass(frozen=True, slots=True)
class PlannedCalls:
    """Calls that one part of a run will make.

    Attributes:
        stage: which part.
        role: which model.
        calls: how many, at most.
        prompt_tokens: tokens read in one call, on average.
        completion_tokens: tokens written in one call, at most.
    """

    stage: str
    role: str
    calls: int
    prompt_tokens: int
    completion_tokens: int


def prompt_tokens(task: Task, answer: int, show: Callable[[tuple[Message, ...]], Sequence[Message]] = tuple) -> int:
    """Return the tokens of an average prompt, estimated at four characters a token.

    Args:
        task: whose questions.
        answer: limit of a reply: on average half of a dialogue stands before a turn, the replies of both sides.
        show: makes what a model is shown of the messages of a question.
    """
    questions = task.questions("test")[:100]
    characters = sum(len(message.content) for question in questions for message in show(question.messages))
    return max(1, round(characters / 4 / len(questions))) + (planned_turns(task) - 1) * answer


def planned_turns(task: Task) -> int:
    """Return the calls of one attempt in a plan: five in a dialogue, an estimate; no task says how long it talks."""
    return 1 if task.environment is None else 5


def asked_by_the_task(recipe: "Recipe", answer: int, attempts: int, turns: int | None = None) -> list[PlannedCalls]:
    """Return the calls of the task's own models: a judge is asked about each attempt, a customer at each turn.

    Args:
        recipe: with the task.
        answer: limit of a reply.
        attempts: how many are scored.
        turns: of the agent, if not only those of the attempts that are scored.
    """
    task, rows = recipe.task, list[PlannedCalls]()
    length = planned_turns(task)
    prompt = prompt_tokens(task, answer) + _ROLE_TOKENS
    for role in (role for role in recipe.asked if role not in recipe.models):
        if isinstance(task.scorer, JudgeScorer):  # in both orders
            rows.append(PlannedCalls("scoring", role, 2 * attempts, prompt + 2 * answer, task.scorer.max_tokens))
        elif role.startswith("judge"):  # it reads the dialogue to its end
            prompt_of_all = prompt + (length + 1) * answer
            rows.append(PlannedCalls("all dialogues", role, attempts, prompt_of_all, VERDICT_TOKENS))
        else:
            spoken = attempts * length if turns is None else turns
            rows.append(PlannedCalls("all dialogues", role, spoken, prompt + answer, SPEECH_TOKENS))
    return rows


class Method(Protocol):
    """One way to lift a model: what it needs, what it will cost, how it learns, and what to compare it with."""

    @property
    def name(self) -> str:
        """Name in recipes."""
        ...

    @property
    def summary(self) -> str:
        """One sentence for help texts."""
        ...

    @property
    def settings(self) -> type[Settings]:
        """The method's settings; the class defaults are the vetted ones."""
        ...

    @property
    def quick(self) -> Mapping[str, str]:
        """Settings of the short version, as flag texts."""
        ...

    @property
    def roles(self) -> Mapping[str, Role]:
        """The models that it needs."""
        ...

    def plan(self, recipe: "Recipe") -> Sequence[PlannedCalls]:
        """Return the calls that training and evaluation will make at most, without making any."""
        ...

    def learn(self, run: "Run") -> None:
        """Train, and write `artifact/`. Called again after a kill, it continues."""
        ...

    def contenders(self, run: "Run") -> Sequence[Contender]:
        """Return the solvers to evaluate, the baseline first."""
        ...

    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Deployed:
        """Open what it learned, for an endpoint.

        Raises:
            RunError: the method leaves nothing to deploy.
        """
        ...


def load_method(name: str) -> Method:
    """Return a method by its name in `METHODS`."""
    return cast(Method, load(METHODS[name]))
