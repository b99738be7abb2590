"""One solver over one split: every question an episode, all open episodes a step at a time, every attempt scored."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from fulcrum.calls.budget import Budget
from fulcrum.calls.ledger import Ledger, Spend
from fulcrum.chat import Message
from fulcrum.errors import BudgetSpent, SettingsError
from fulcrum.evaluation.solver import Answer, RoleOfSolver, Solver, Turn
from fulcrum.task import Episode, Score, Split, Task, failed
from fulcrum.task.scorers import JudgeScorer
from fulcrum.task.task import AskingEnvironment

ASKED_AT_ONCE = 32
"""Most dialogues or answers about which the models of a task (a simulated customer, a judge) are asked at one time."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One solver's attempt at one example, scored.

    Attributes:
        question_id: the example.
        solver: name of the solver.
        seed: seed of the run that made it.
        sample: index of the attempt within that seed.
        text: the final answer.
        turns: the conversation from the first answer on; in a task of single answers, that answer.
        score: its worth, or the failure in its place.
        traces: how the solver came to each of its answers.
    """

    question_id: str
    solver: str
    seed: int
    sample: int
    text: str
    turns: tuple[Message, ...]
    score: Score
    traces: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the rollout as one line of `rollouts.jsonl`."""
        return {
            "question_id": self.question_id,
            "solver": self.solver,
            "seed": self.seed,
            "sample": self.sample,
            "text": self.text,
            "turns": [message.to_json() for message in self.turns],
            "score": {
                "value": self.score.value,
                "verdict": self.score.verdict,
                "feedback": self.score.feedback,
                "details": dict(self.score.details),
            },
            "traces": [dict(trace) for trace in self.traces],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        known = dict(data)
        known["turns"] = tuple(Message.from_json(message) for message in data["turns"])
        known["score"] = Score(**data["score"])
        known["traces"] = tuple(data["traces"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class SolverRollouts:
    """All attempts of one solver, and what they took.

    Attributes:
        solver: name of the solver.
        role: what it is in the comparison.
        task: name of the task.
        task_fingerprint: hash of its data, prompt and scorer; results compare only within one.
        split: the split answered.
        rollouts: by question in the split's order, then by sample.
        spend: what its answers took, by role of model. Simulated customers and judges that score are not in it:
            a deployed solver does not pay for them.
    """

    solver: str
    role: RoleOfSolver
    task: str
    task_fingerprint: str
    split: Split
    rollouts: tuple[Rollout, ...]
    spend: Mapping[str, Spend] = field(default_factory=dict[str, Spend])

    @property
    def total(self) -> Spend:
        """Spend of all roles together."""
        return sum(self.spend.values(), Spend())

    @property
    def failures(self) -> int:
        """Attempts that ended in a failed call."""
        return sum(rollout.score.verdict == "failed" for rollout in self.rollouts)


@dataclass(slots=True)
class _Attempt:
    """An open episode and what has been said in it."""

    question_id: str
    sample: int
    episode: Episode
    prompt_length: int
    answers: list[Answer] = field(default_factory=list[Answer])
    conversation: tuple[Message, ...] = ()
    score: Score | None = None

    def turn(self) -> Turn:
        return Turn(self.episode.question, self.episode.messages, self.sample)

    def take(self, turn: Turn, answer: Answer) -> None:
        """Let the episode go on; a failed call ends it here, for no environment could reply to it."""
        self.answers.append(answer)
        self.conversation = (*turn.messages, answer.completion.message())
        if answer.completion.failure is not None:
            self.score = failed(answer.completion.failure)
            return
        self.episode.step(answer.completion)
        if self.episode.done:
            self.score = self.episode.score()

    @property
    def out_of_budget(self) -> bool:
        return self.score is not None and self.score.details.get("failure") == "budget"


def roll_out(
    solver: Solver,
    task: Task,
    split: Split,
    *,
    role: RoleOfSolver,
    ledger: Ledger,
    budget: Budget | None = None,
    seed: int = 0,
    samples: int = 1,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SolverRollouts:
    """Let a solver answer every question of a split, and score what it says.

    All open episodes take each step together, so a model sees the largest batches there are. Answers that were paid
    for are in the call store: after a kill, calling this again repeats no call.

    Args:
        solver: who answers. It is given `Turn`s, from which no target can be reached.
        task: whose questions.
        split: which of them.
        role: what the solver is in the comparison.
        ledger: where the solver's models count their calls.
        budget: checked after every step; without it only a `budget` failure itself stops the rollouts.
        seed: of the run; names the attempts, the solver has its own sampling.
        samples: attempts at each question.
        limit: answer only this many questions: those with the smallest ids, a fixed random choice in which a smaller
            one is part of a larger.
        on_progress: called after every step with the attempts that are finished and how many there are.

    Raises:
        BudgetSpent: an answer was not made because the budget is used up; nothing is scored by halves.
        TooManyFailures: more calls failed than the budget allows.
        TaskError: the split is empty.
    """
    attempts = [
        _Attempt(question_id, sample, episode, len(episode.messages))
        for question_id in _chosen(task, split, limit)
        for sample in range(samples)
        for episode in [task.open(question_id)]
    ]
    spend: dict[str, Spend] = {}
    while waiting := [attempt for attempt in attempts if attempt.score is None]:
        turns = [attempt.turn() for attempt in waiting]
        before = ledger.snapshot()
        answers = solver.answer(turns)
        _add_difference(spend, before, ledger.snapshot())
        asked = zip(waiting, turns, answers, strict=True)
        advance(task, [partial(attempt.take, turn, answer) for attempt, turn, answer in asked])
        _stop_if_needed(waiting, budget)
        if on_progress:
            on_progress(sum(attempt.score is not None for attempt in attempts), len(attempts))
    rollouts = tuple(
        Rollout(
            question_id=attempt.question_id,
            solver=solver.name,
            seed=seed,
            sample=attempt.sample,
            text=attempt.answers[-1].completion.text,
            turns=attempt.conversation[attempt.prompt_length :],
            score=attempt.score,
            traces=tuple(answer.trace for answer in attempt.answers),
        )
        for attempt in attempts
        if attempt.score is not None
    )
    return SolverRollouts(solver.name, role, task.name, task.fingerprint, split, rollouts, spend)


def advance(task: Task, steps: Sequence[Callable[[], object]]) -> None:
    """Let open episodes of a task go on: together where its environment or scorer asks a model, else in turn."""
    if not isinstance(task.environment, AskingEnvironment) and not isinstance(task.scorer, JudgeScorer):
        for step in steps:
            step()
        return
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for done in [pool.submit(step) for step in steps]:
            done.result()


def _chosen(task: Task, split: Split, limit: int | None) -> list[str]:
    if limit is not None and limit < 1:
        raise SettingsError(f"limit: {limit} examples are none; give 1 or more, or leave it out")
    ids = [example.id for example in task.examples(split)]
    kept = set(sorted(ids)[:limit])
    return [question_id for question_id in ids if question_id in kept]


def _add_difference(spend: dict[str, Spend], before: Mapping[str, Spend], after: Mapping[str, Spend]) -> None:
    for role, now in after.items():
        if role not in before or now.answers > before[role].answers:
            spend[role] = spend.get(role, Spend()) + (now - before.get(role, Spend()))


def _stop_if_needed(attempts: Sequence[_Attempt], budget: Budget | None) -> None:
    if budget is not None:
        budget.check()
    if any(attempt.out_of_budget for attempt in attempts):
        raise BudgetSpent(
            "budget spent: some answers were not made. Every other answer is stored; raise the limit under [budget] "
            "and run the same command to continue"
        )
