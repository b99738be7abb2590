"""The same examples before and after, with all that both solvers said."""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fulcrum.chat import Message
from fulcrum.evaluation.pairing import outcomes
from fulcrum.evaluation.rollouts import Rollout, SolverRollouts
from fulcrum.hashing import seed_from
from fulcrum.report.text import Allowance, Cut, cut
from fulcrum.task import Question

_SHOWN = 3
"""Examples of each kind."""

_TEXT, _CONVERSATION, _FEEDBACK = 2_500, 6_000, 1_000
"""Characters of one text, of all that one solver says about one example, and of what the scorer says to that."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message: who speaks, the text, and the tools that are called."""

    speaker: str
    text: Cut
    calls: list[Cut]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one solver said about one example.

    Attributes:
        solver: its name.
        verdict: of the score.
        feedback: of the scorer.
        said: the messages, as far as there is room.
        left_out: messages for which there was none.
        traces: how the solver came to its answers: a name and its content.
        of: attempts of the solver at this example; the first that has a score is shown.
    """

    solver: str
    verdict: str
    feedback: Cut
    said: list[Said]
    left_out: int
    traces: list[tuple[str, Cut]]
    of: int


@dataclass(frozen=True, slots=True)
class Item:
    """One example: the question, None if the task is not at hand, and both attempts."""

    question_id: str
    question: list[Said] | None
    before: Attempt
    after: Attempt


@dataclass(frozen=True, slots=True)
class Kind:
    """Examples of which the same became: its name, what that means, how many there are, and those shown."""

    name: str
    means: str
    count: int
    items: list[Item]


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """Two solvers on the examples that both have a score for.

    Attributes:
        before: name of the first.
        after: name of the second.
        seed: by which the examples were chosen.
        kinds: solved more often by the second, less often, as often.
        unpaired: examples left out, because one of the two has no score there.
    """

    before: str
    after: str
    seed: int
    kinds: list[Kind]
    unpaired: int


def before_after(
    before: SolverRollouts,
    after: SolverRollouts,
    questions: Mapping[str, Question],
    seed: int,
    names: tuple[str, str, str] = ("fixed", "broken", "unchanged"),
) -> BeforeAfter:
    """Choose a few examples of each kind by `seed`: neither the best nor the worst, and always the same.

    Args:
        before: attempts of one solver.
        after: attempts of the other.
        questions: the task's questions by id, as far as they are at hand.
        seed: of the choice.
        names: what to call examples that `after` solves more often, less often, as often; counted as in
            `fulcrum.evaluation.pairing`.
    """
    first, second = outcomes(before.rollouts), outcomes(after.rollouts)
    shared = sorted(first.keys() & second.keys())
    attempts = [_by_question(result) for result in (before, after)]

    def kind(name: str, means: str, belongs: Callable[[float, float], bool]) -> Kind:
        ids = [key for key in shared if belongs(first[key].solved, second[key].solved)]
        chosen = random.Random(seed_from(seed, "report", name)).sample(ids, min(_SHOWN, len(ids)))
        items = [
            Item(
                question_id,
                _question(questions[question_id]) if question_id in questions else None,
                _attempt(before.solver, attempts[0][question_id]),
                _attempt(after.solver, attempts[1][question_id]),
            )
            for question_id in chosen
        ]
        return Kind(name, means, len(ids), items)

    return BeforeAfter(
        before.solver,
        after.solver,
        seed,
        [
            kind(names[0], f"solved more often by {after.solver}", lambda old, new: new > old),
            kind(names[1], "solved less often", lambda old, new: new < old),
            kind(names[2], "solved as often", lambda old, new: new == old),
        ],
        len(first.keys() | second.keys() | attempts[0].keys() | attempts[1].keys()) - len(shared),
    )


def _by_question(result: SolverRollouts) -> dict[str, list[Rollout]]:
    found: dict[str, list[Rollout]] = {}
    for rollout in sorted(result.rollouts, key=lambda rollout: (rollout.seed, rollout.sample)):
        found.setdefault(rollout.question_id, []).append(rollout)
    return found


def _question(question: Question) -> list[Said]:
    return _said(question.messages, Allowance(_TEXT, _CONVERSATION))[0]


def _attempt(solver: str, rollouts: Sequence[Rollout]) -> Attempt:
    shown = next(rollout for rollout in rollouts if rollout.score.value is not None)
    room = Allowance(_TEXT, _CONVERSATION)
    # A rollout made by hand may hold no turns; its answer is all there is.
    said, left_out = _said(shown.turns or (Message("assistant", shown.text),), room)
    return Attempt(
        solver=solver,
        verdict=shown.score.verdict,
        feedback=cut(shown.score.feedback, _FEEDBACK),
        said=said,
        left_out=left_out,
        traces=_traces(shown.traces),
        of=len(rollouts),
    )


def _said(messages: Sequence[Message], room: Allowance) -> tuple[list[Said], int]:
    said: list[Said] = []
    for message in messages:
        if room.used_up:
            break
        calls = [room.take(f"{call.name}({call.arguments})") for call in message.tool_calls]
        said.append(Said(message.role, room.take(message.content), calls))
    return said, len(messages) - len(said)


def _traces(traces: Iterable[Mapping[str, Any]]) -> list[tuple[str, Cut]]:
    """Return what is in the traces, each under its key; in a dialogue with the number of the answer."""
    told = [
        (f"answer {number}: {key}" if number > 1 else key, value)
        for number, trace in enumerate(traces, start=1)
        for key, value in trace.items()
        if value not in (None, "", [], {}, ())
    ]
    room = Allowance(_TEXT, _CONVERSATION)
    shown: list[tuple[str, Cut]] = []
    for key, value in told:
        if room.used_up:
            break
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        shown.append((room.take(key).text, room.take(text)))
    return shown
