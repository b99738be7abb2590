"""Which of two replies is better: a model that is not told whose they are, or what becomes of the dialogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fulcrum.chat import ChatModel, Completion, Failure, FailureKind, Request, Sampling, complete
from fulcrum.errors import RunError
from fulcrum.strategies.dialogue import Check, Compared, Job, play
from fulcrum.strategies.solver import Student
from fulcrum.strategies.wording import Wording, transcript
from fulcrum.task import Task

COMPARISON_TOKENS = 256
"""Limit of what a judge says of two replies."""


@dataclass(frozen=True, slots=True)
class Preference:
    """How a comparison came out.

    Attributes:
        gain: how much better the teacher's reply is, -1..1; 0 is a tie. From a model it is -1, 0 or 1.
        words: how it was found, for people.
    """

    gain: float
    words: str


class Judge(Protocol):
    """Compares replies."""

    def compare(self, cases: Sequence[Compared]) -> list[Preference | None]:
        """Return a preference for each case; None where a call failed or the judge did not say.

        Raises:
            RunError: no case came to a preference, because calls failed.
        """
        ...


class OutcomeJudge:
    """Judges two replies by the worth of the dialogues that follow them, which the student finishes in both cases.

    It is no judge of style: what the task's own score does not see, it does not see either. It is exact where the
    environment is, and needs no model; the lab, which has none that could judge, uses it.

    Args:
        task: whose environment scores.
        student: who finishes the dialogues.
        check: stops the run if its budget is spent.
    """

    def __init__(self, task: Task, student: Student, check: Check) -> None:
        self._task = task
        self._student = student
        self._check = check

    def compare(self, cases: Sequence[Compared]) -> list[Preference | None]:
        """Finish each dialogue twice."""
        jobs = [Job(case.state, reply) for case in cases for reply in (case.student, case.teacher)]
        scores = play(self._task, jobs, self._student, self._check)
        values = [score.value for score in scores]
        preferences: list[Preference | None] = []
        for own, other in zip(values[::2], values[1::2], strict=True):
            if own is None or other is None:
                preferences.append(None)
                continue
            words = f"outcome of the dialogue: {other:.3f} after the teacher's reply, {own:.3f} after the student's"
            preferences.append(Preference(other - own, words))
        if not any(preferences):
            refuse_silence("dialogues that judge replies", [score.details.get("failure") for score in scores])
        return preferences


class ModelJudge:
    """Asks a model twice, the second time with the replies in the other order; only what it says twice counts.

    A judge that always prefers the first place, say, so finds every case a tie.

    Args:
        model: the judge.
        wording: how it is asked.
    """

    def __init__(self, model: ChatModel, wording: Wording) -> None:
        self._model = model
        self._wording = wording

    def compare(self, cases: Sequence[Compared]) -> list[Preference | None]:
        """Ask about every case in both orders, in one batch."""
        sampling = Sampling(max_tokens=COMPARISON_TOKENS)
        requests: list[Request] = []
        for case in cases:
            teacher, student = shown(case.teacher), shown(case.student)
            for first, second in ((teacher, student), (student, teacher)):
                requests.append(Request(self._wording.compare(case.state.messages, first, second), sampling))
        answers = complete(self._model, requests)
        preferences = [self._settle(one, other) for one, other in zip(answers[::2], answers[1::2], strict=True)]
        if not any(preferences):
            refuse_silence("calls of the judge", [answer.failure and answer.failure.kind for answer in answers])
        return preferences

    def _settle(self, teacher_first: Completion, student_first: Completion) -> Preference | None:
        if not (teacher_first.ok and student_first.ok):
            return None
        one, other = (self._wording.verdict(answer.text) for answer in (teacher_first, student_first))
        if one is None or other is None:
            return None
        words = f"judge: {one} with the teacher first, {other} with the student first"
        if (one, other) == ("first", "second"):
            return Preference(1.0, words)
        return Preference(-1.0 if (one, other) == ("second", "first") else 0.0, words)


def refuse_silence(calls: str, kinds: Sequence[FailureKind | None]) -> None:
    """Stop where nothing was heard because calls failed, which must not pass for there being nothing to say.

    What a model did answer, but cut short, empty or as a refusal, is stored and would be the same again: there the run
    goes on. What the budget kept back is told by `Budget.check`.

    Args:
        calls: which, for the message.
        kinds: how each failed; None for an answer.

    Raises:
        RunError: calls failed that can be made again.
    """
    again = [kind for kind in kinds if kind is not None and kind != "budget" and not Failure(kind).paid]
    if again:
        raise RunError(
            f"{len(again)} of {len(kinds)} {calls} failed ({', '.join(sorted(set(again)))}), and the others told "
            "nothing; mend the endpoint (`fulcrum calls stats RUN` shows why, `fulcrum doctor RECIPE` tries it) and "
            "run the same command to continue: only what failed is asked again"
        )


def shown(completion: Completion) -> str:
    """Return a reply with its calls of tools as text."""
    return transcript([completion.message()]).removeprefix("[agent] ")
