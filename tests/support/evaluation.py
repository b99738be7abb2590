"""A toy task, a toy dialogue, and results made by hand, for the tests of the evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from fulcrum.chat import Completion, Message, assistant, user
from fulcrum.chat.completion import Failure
from fulcrum.evaluation.rollouts import Rollout, SolverRollouts
from fulcrum.evaluation.solver import Answer, RoleOfSolver, Turn
from fulcrum.task import Example, PromptTemplate, Question, Score, Task, failed, graded, right, unparsable, wrong


class SameText:
    """Right if the text is the target as text; `?` is unparsable."""

    needs_target = True

    def score(self, example: Example, text: str) -> Score:
        if self.answer_key(text) is None:
            return unparsable()
        return right() if text == str(example.target) else wrong(f"expected {example.target}")

    def gold(self, example: Example) -> str:
        return str(example.target)

    def answer_key(self, text: str) -> str | None:
        return None if text == "?" else text

    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "same-text"}


def shouting_task(test: Sequence[str] = ("a", "b", "c"), train: Sequence[str] = ("x", "y", "z"), **more: Any) -> Task:
    """Return a task whose right answer is the input in capitals (what `support.scripted.echo` answers)."""

    def examples(texts: Sequence[str]) -> list[Example]:
        return [Example({"text": text}, target=text.upper()) for text in texts]

    known: dict[str, Any] = {
        "name": "shouting",
        "splits": {"train": examples(train), "test": examples(test)},
        "template": PromptTemplate("{text}", system="Shout."),
        "scorer": SameText(),
    }
    return Task(**(known | more))


class CountingDown:
    """A dialogue of as many answers as the example's target; right if each answer names the number left."""

    def __init__(self, example: Example, question: Question) -> None:
        self._left = int(example.target)
        self._faults = 0
        self.question = question
        self.messages: tuple[Message, ...] = (*question.messages, user(f"{self._left} left"))

    @property
    def done(self) -> bool:
        return self._left == 0

    def step(self, completion: Completion) -> None:
        self._faults += completion.text != f"{self._left} LEFT"
        self._left -= 1
        self.messages = (*self.messages, assistant(completion.text), user(f"{self._left} left"))

    def score(self) -> Score:
        return wrong() if self._faults else right()


class Countdown:
    """Opens `CountingDown`."""

    def __call__(self, example: Example, question: Question) -> CountingDown:
        return CountingDown(example, question)

    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "countdown"}


def countdown_task(lengths: Sequence[int]) -> Task:
    """Return a dialogue task with one example for each number of answers."""
    examples = [Example({"text": f"{place}"}, target=length) for place, length in enumerate(lengths)]
    return Task("countdown", {"test": examples}, PromptTemplate("{text}"), scorer=None, environment=Countdown())


class FunctionSolver:
    """Answers each turn by a function, and remembers how many turns each batch had."""

    def __init__(self, name: str, function: Any) -> None:
        self.name = name
        self.function = function
        self.batches: list[int] = []

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        self.batches.append(len(turns))
        return [Answer(self.function(turn)) for turn in turns]


def made(
    solver: str,
    role: RoleOfSolver,
    values: Sequence[float | str | None] | Mapping[str, float | str | None],
    *,
    seed: int = 0,
    sample: int = 0,
    **more: Any,
) -> SolverRollouts:
    """Return results by hand: a value of each example, or the kind of its failure, None for unparsable."""
    by_id = values if isinstance(values, Mapping) else {f"q{place}": value for place, value in enumerate(values)}

    def score(value: float | str | None) -> Score:
        if isinstance(value, str):
            return failed(Failure(value))  # pyright: ignore[reportArgumentType]
        return unparsable() if value is None else graded(value)

    rollouts = tuple(
        Rollout(question_id, solver, seed, sample, f"{solver} says {value}", (), score(value))
        for question_id, value in by_id.items()
    )
    known: dict[str, Any] = {"task": "toy", "task_fingerprint": "f0", "split": "test", "rollouts": rollouts}
    return SolverRollouts(solver, role, **(known | more))
