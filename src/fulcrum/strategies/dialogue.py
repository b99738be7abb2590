"""Dialogues as the method needs them: mixed turns, and the same dialogue taken up again with another reply."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fulcrum.chat import Completion, Message
from fulcrum.evaluation.rollouts import advance
from fulcrum.evaluation.solver import Solver, Turn
from fulcrum.hashing import seed_from
from fulcrum.strategies.solver import Student
from fulcrum.task import Episode, Question, Score, Task, failed

Check = Callable[[], None]
"""Stops the run if its budget is spent: `run.budget.check`."""


@dataclass(frozen=True, slots=True)
class State:
    """The point of a dialogue at which the agent speaks.

    Attributes:
        question: the public side of the example.
        said: the agent's turns so far: a dialogue can be taken up again by saying them again.
        messages: what the agent is shown.
    """

    question: Question
    said: tuple[Completion, ...]
    messages: tuple[Message, ...]

    @property
    def turn(self) -> int:
        """The agent's turn that comes next, from 0."""
        return len(self.said)

    @property
    def key(self) -> tuple[str, int, tuple[str, ...]]:
        """What tells this state from every other."""
        return self.question.id, self.turn, tuple(message.content for message in self.messages)

    def reopen(self, task: Task) -> Episode:
        """Return the dialogue at this point.

        A simulated customer must answer the same to the same words: the lab's do by nature, models because every
        answer is stored.
        """
        episode = task.open(self.question.id)
        for completion in self.said:
            episode.step(completion)
        return episode


@dataclass(frozen=True, slots=True)
class Compared:
    """A turn at which both were asked.

    Attributes:
        state: where.
        student: what the student says.
        teacher: what the teacher says.
    """

    state: State
    student: Completion
    teacher: Completion

    @property
    def differ(self) -> bool:
        """True if both gave an answer and the answers are not the same but for spaces and case."""
        return self.student.ok and self.teacher.ok and _plain(self.student) != _plain(self.teacher)


def start(task: Task, question_id: str) -> State:
    """Return the state before the agent's first turn."""
    episode = task.open(question_id)
    return State(episode.question, (), episode.messages)


def converse(
    task: Task, question_ids: Sequence[str], student: Solver, teacher: Solver, beta: float, seed: int, check: Check
) -> list[Compared]:
    """Hold dialogues in which each turn is the teacher's with probability `beta` and else the student's.

    Both are asked at every turn, all open dialogues together.

    Args:
        task: a dialogue task.
        question_ids: its examples.
        student: one speaker.
        teacher: the other.
        beta: the teacher's share.
        seed: of the draw of speakers.
        check: called after each step.

    Returns:
        Every turn of every dialogue; a dialogue in which a call failed ends before that turn.
    """
    compared: list[Compared] = []
    states = [start(task, question_id) for question_id in question_ids]
    episodes = [state.reopen(task) for state in states]
    while open_ones := [number for number, episode in enumerate(episodes) if not episode.done]:
        turns = [Turn(states[number].question, states[number].messages) for number in open_ones]
        said = [answer.completion for answer in student.answer(turns)]
        taught = [answer.completion for answer in teacher.answer(turns)]
        check()
        turned: list[Completion] = []
        for number, own, other in zip(open_ones, said, taught, strict=True):
            state = states[number]
            compared.append(Compared(state, own, other))
            rng = random.Random(seed_from(seed, "speaker", state.question.id, state.turn))
            turned.append(other if rng.random() < beta else own)
        # A failed call ends its episode.
        spoken_now = list(zip(open_ones, turned, strict=True))
        advance(task, [partial(episodes[number].step, spoken) for number, spoken in spoken_now])
        for number, spoken in spoken_now:
            state = states[number]
            states[number] = State(state.question, (*state.said, spoken), episodes[number].messages)
    return [one for one in compared if one.student.ok and one.teacher.ok]


@dataclass(frozen=True, slots=True)
class Job:
    """A dialogue to be taken up.

    Attributes:
        state: from where.
        first: what is said there, if that is settled.
        extra: lines of guidance for every turn from there on, beside those of the student's adviser.
    """

    state: State
    first: Completion | None = None
    extra: tuple[str, ...] = ()


def play(task: Task, jobs: Sequence[Job], student: Student, check: Check) -> list[Score]:
    """Take up dialogues, let the student finish them, and return their worth; a failed call gives a failed score."""
    episodes = [job.state.reopen(task) for job in jobs]
    scores: dict[int, Score] = {}

    def step(number: int, completion: Completion) -> None:
        if completion.failure is not None:
            scores[number] = failed(completion.failure)
            return
        episodes[number].step(completion)
        if episodes[number].done:
            scores[number] = episodes[number].score()

    advance(task, [partial(step, number, job.first) for number, job in enumerate(jobs) if job.first is not None])
    while open_ones := [number for number in range(len(jobs)) if number not in scores]:
        turns = [Turn(episodes[number].question, episodes[number].messages) for number in open_ones]
        answers = student.answer(turns, [jobs[number].extra for number in open_ones])
        check()
        said = zip(open_ones, answers, strict=True)
        advance(task, [partial(step, number, answer.completion) for number, answer in said])
    return [scores[number] for number in range(len(jobs))]


def _plain(completion: Completion) -> tuple[str, tuple[tuple[str, str], ...]]:
    calls = tuple((call.name, call.arguments) for call in completion.tool_calls)
    return " ".join(completion.text.lower().split()), calls
