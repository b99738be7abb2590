"""A task: examples in three splits, how an example becomes messages, and how an answer is scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self, runtime_checkable

from fulcrum.chat import ChatModel, Completion, Message, Tool
from fulcrum.errors import TaskError
from fulcrum.hashing import content_hash
from fulcrum.task.example import SPLITS, Example, Question, Split
from fulcrum.task.prompt import PromptTemplate
from fulcrum.task.score import Score, Scorer, failed


class Episode(Protocol):
    """One attempt at one example: a single answer, or a dialogue with an environment.

    The messages are all that an agent sees. Targets and an environment's hidden state stay inside.
    """

    @property
    def question(self) -> Question:
        """The public side of the example."""
        ...

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far; the agent speaks next."""
        ...

    @property
    def done(self) -> bool:
        """True once the episode takes no further answer."""
        ...

    def step(self, completion: Completion) -> None:
        """Take the agent's answer, and let the environment reply."""
        ...

    def score(self) -> Score:
        """Return the worth of the finished episode."""
        ...


class Environment(Protocol):
    """Opens dialogues, in place of a scorer."""

    def __call__(self, example: Example, question: Question) -> Episode:
        """Open a dialogue on `example`, of which the agent is shown `question`."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings that can change a dialogue or its score."""
        ...


SPEECH_TOKENS, VERDICT_TOKENS = 256, 1024
"""Limits of what a simulated customer says in a turn, and of what a judge says of a dialogue: plans count with them."""


@runtime_checkable
class AskingEnvironment(Environment, Protocol):
    """An environment that asks models of its own: one that plays the customer, say, and a judge of the whole."""

    @property
    def models(self) -> Mapping[str, str]:
        """Name of the model of each role."""
        ...

    def with_models(self, models: Mapping[str, ChatModel]) -> Self:
        """Return the environment with models that are open already, such as those that record their calls."""
        ...


Expert = Callable[[Episode], Completion]
"""Plays the agent's next turn by rules written for the task: shows that every dialogue can be won, and how well."""


@dataclass(frozen=True)
class Task:
    """Examples, splits, prompt and scorer, or an environment in place of the fixed prompt.

    Attributes:
        name: as a recipe writes it, such as `lab:sql?seed=7` or a path.
        splits: examples by split; disjoint by content hash (checked).
        template: makes messages of an example's fields.
        scorer: judges an answer; None only for a dialogue task, whose environment scores.
        tools: tools offered to the model.
        environment: opens a dialogue on an example; None for a task of single answers.
        expert: plays a dialogue task by rules; the ceiling, and what `validate` plays in place of gold answers.
        max_tokens: a good limit for one answer.

    Raises:
        TaskError: the same input stands twice, or there is neither a scorer nor an environment.
    """

    name: str
    splits: Mapping[Split, Sequence[Example]]
    template: PromptTemplate
    scorer: Scorer | None
    tools: tuple[Tool, ...] = ()
    environment: Environment | None = None
    expert: Expert | None = None
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if (self.scorer is None) == (self.environment is None):
            raise TaskError(f"{self.name}: a task has either a scorer or an environment that scores, not both")
        seen: dict[str, str] = {}
        twice: list[str] = []
        for split in SPLITS:
            for example in self.splits.get(split, ()):
                here = f"in {split} ({example.source or example.id})"
                if example.id in seen:
                    twice.append(f"{seen[example.id]} and {here}")
                seen.setdefault(example.id, here)
        if twice:
            more = f"; so do {len(twice) - 1} more: {'; '.join(twice[1:10])}" if len(twice) > 1 else ""
            raise TaskError(f"{self.name}: the same input stands twice, {twice[0]}; keep one of them{more}")

    @cached_property
    def _by_id(self) -> dict[str, Example]:
        return {example.id: example for examples in self.splits.values() for example in examples}

    def examples(self, split: Split) -> Sequence[Example]:
        """Return the examples of a split, targets included: for scorers and trainers, never for a solver.

        Raises:
            TaskError: the split is empty.
        """
        examples = self.splits.get(split, ())
        if not examples:
            sizes = ", ".join(f"{name} {len(self.splits.get(name, ()))}" for name in SPLITS)
            raise TaskError(f"{self.name}: split {split!r} is empty ({sizes}); give it a file, or a share above 0")
        return examples

    def unlabelled(self, split: Split) -> list[Example]:
        """Return the examples of a split that nobody has answered, though the scorer needs the right answer."""
        needed = self.scorer is not None and self.scorer.needs_target
        return [example for example in self.splits.get(split, ()) if needed and example.target is None]

    def require_targets(self, split: Split) -> None:
        """Refuse a split that cannot be learnt from by scoring answers.

        Raises:
            TaskError: it holds unlabelled examples; the text names the first.
        """
        if missing := self.unlabelled(split):
            first = missing[0].source or missing[0].id
            raise TaskError(
                f"{self.name}: {len(missing)} {split} examples have no target ({first} is the first), and this method "
                "learns from what answers to them are worth; give them targets, or take a method that needs none"
            )

    def question(self, example: Example) -> Question:
        """Return the public side of an example."""
        return Question(example.id, self.template.messages(example.fields), self.tools, dict(example.fields))

    def shown(self, example: Example) -> str:
        """Return what the prompt shows of an example; what the template says of every input is no part of it."""
        return " ".join(map(str, self.template.shown(example.fields).values()))

    def questions(self, split: Split) -> list[Question]:
        """Return the public side of every example of a split."""
        return [self.question(example) for example in self.examples(split)]

    def open(self, question_id: str) -> Episode:
        """Start an attempt at an example."""
        example = self._by_id[question_id]
        question = self.question(example)
        if self.environment is not None:
            return self.environment(example, question)
        return SingleAnswer(example, question, self._single_answer_scorer())

    def _single_answer_scorer(self) -> Scorer:
        if self.scorer is None:
            raise TaskError(f"{self.name} is a dialogue task: it has no gold answers, and no answers to vote on")
        return self.scorer

    def score(self, question_id: str, completion: Completion) -> Score:
        """Return the worth of one answer to a task of single answers; a failed call stays a failure."""
        episode = self.open(question_id)
        episode.step(completion)
        return episode.score()

    def gold(self, example: Example) -> str:
        """Return an answer to `example` that scores 1.0, for demonstrations and tuning.

        Raises:
            TaskError: the example has no target, or this is a dialogue task.
        """
        return self._single_answer_scorer().gold(example)

    def answer_key(self, text: str) -> str | None:
        """Return what makes two answers the same answer, for votes: the final answer in `text`, None if none.

        It needs no target, so a solver may call it.

        Raises:
            TaskError: this is a dialogue task.
        """
        return self._single_answer_scorer().answer_key(text)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of data, prompt and scorer or environment: it changes if the score of an answer could."""
        return content_hash(
            {
                "template": self.template.to_json(),
                "scorer": self.scorer.fingerprint() if self.scorer else None,
                "environment": self.environment.fingerprint() if self.environment else None,
                "tools": [tool.to_json() for tool in self.tools],
                "splits": {
                    split: content_hash([[example.id, repr(example.target)] for example in examples])
                    for split, examples in sorted(self.splits.items())
                },
            }
        )


class SingleAnswer:
    """The episode of a task in which the model answers once."""

    def __init__(self, example: Example, question: Question, scorer: Scorer) -> None:
        self._example = example
        self._scorer = scorer
        self._completion: Completion | None = None
        self.question = question

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt."""
        return self.question.messages

    @property
    def done(self) -> bool:
        """True once the answer is in."""
        return self._completion is not None

    def step(self, completion: Completion) -> None:
        """Take the one answer."""
        self._completion = completion

    def score(self) -> Score:
        """Return the scorer's judgement, or the failure that stood in the answer's place."""
        if self._completion is None:
            raise RuntimeError("score() before the answer was given")
        if self._completion.failure is not None:
            return failed(self._completion.failure)
        return self._scorer.score(self._example, self._completion.text)
