"""Who speaks: the student with some choice of strategies in its prompt, and the teacher.

The method and its controls differ in one thing only, the *adviser*: which lines a turn is given. The deployed rewriter
uses the same adviser and the same wording as the solver that was measured.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fulcrum.artifact import Rewritten
from fulcrum.chat import ChatModel, Message, Request, Sampling, complete
from fulcrum.evaluation.solver import Answer, Turn, requests_for
from fulcrum.hashing import seed_from
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.retrieval import Match, Retriever
from fulcrum.strategies.wording import Wording


@dataclass(frozen=True, slots=True)
class Advised:
    """What a turn is given.

    Attributes:
        lines: the guidance.
        facts: how it was chosen, for logs: ids, versions and scores, or the advice that every turn is given.
    """

    lines: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


Adviser = Callable[[Sequence[Message]], Advised]
"""Chooses the lines for the turn that comes after these messages."""


def retrieved(retriever: Retriever, wording: Wording) -> Adviser:
    """Return the method itself: what fits the turn, or nothing."""
    return lambda messages: _advised(retriever.retrieve(wording.situation(messages)))


def whole(strategies: Sequence[Strategy]) -> Adviser:
    """Return the control that puts the whole library into every prompt."""
    everything = _advised([Match(strategy, 1.0) for strategy in strategies])
    return lambda _: everything


def fixed(lines: Sequence[str]) -> Adviser:
    """Return the control that gives every turn the same general advice."""
    return lambda _: Advised(tuple(lines), {"advice": list(lines)} if lines else {})


def shuffled(retriever: Retriever, wording: Wording, seed: int, spare: Sequence[Strategy] = ()) -> Adviser:
    """Return the placebo: as many strategies as retrieval would give, but others, drawn at random for each turn.

    Where too few others are served, `spare` ones make up the number; where these too are few, the turn is given fewer.
    """

    def advise(messages: Sequence[Message]) -> Advised:
        fitting = retriever.retrieve(wording.situation(messages))
        said = {match.strategy.advice.guidance for match in fitting}
        others = [strategy for strategy in retriever.strategies if strategy.advice.guidance not in said]
        rng = random.Random(seed_from(seed, "shuffled", [message.content for message in messages]))
        rng.shuffle(others)
        drawn = [*others, *rng.sample(spare, len(spare))]
        return _advised([Match(strategy, 0.0) for strategy in drawn[: len(fitting)]])

    return advise


def _advised(matches: Sequence[Match]) -> Advised:
    used = [
        {"id": match.strategy.id, "version": match.strategy.version, "score": round(match.score, 3)}
        for match in matches
    ]
    return Advised(tuple(match.strategy.advice.guidance for match in matches), {"strategies": used})


class Student:
    """A model that is given guidance at every turn.

    Args:
        model: who answers.
        sampling: how to draw the answer.
        wording: how guidance stands in its prompt.
        adviser: chooses the guidance; None gives none.
        name: of the solver.
    """

    def __init__(
        self, model: ChatModel, sampling: Sampling, wording: Wording, adviser: Adviser | None = None, *, name: str
    ) -> None:
        self.name = name
        self._model = model
        self._sampling = sampling
        self._wording = wording
        self._adviser = adviser or fixed(())

    def answer(self, turns: Sequence[Turn], extra: Sequence[Sequence[str]] | None = None) -> list[Answer]:
        """Answer every turn with one call.

        Args:
            turns: where to speak.
            extra: lines for each turn that come before those of the adviser: strategies on trial.
        """
        given = [self._adviser(turn.messages) for turn in turns]
        lines = [advised.lines for advised in given]
        if extra is not None:
            lines = [tuple(dict.fromkeys((*more, *own))) for more, own in zip(extra, lines, strict=True)]
        guided = [
            replace(turn, messages=self._wording.guide(turn.messages, own))
            for turn, own in zip(turns, lines, strict=True)
        ]
        completions = complete(self._model, requests_for(guided, self._sampling))
        return [Answer(completion, advised.facts) for completion, advised in zip(completions, given, strict=True)]


class Teacher:
    """The model that is distilled, with its handbook; the ceiling.

    Args:
        model: who answers.
        sampling: how to draw the answer.
        wording: how its handbook stands in its prompt.
    """

    name = "teacher"

    def __init__(self, model: ChatModel, sampling: Sampling, wording: Wording) -> None:
        self._model = model
        self._sampling = sampling
        self._wording = wording

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer every turn with one call."""
        taught = [replace(turn, messages=self._wording.teach(turn.messages)) for turn in turns]
        return [Answer(completion) for completion in complete(self._model, requests_for(taught, self._sampling))]


class StrategyRewriter:
    """Puts the strategies that fit into requests for any model: what is deployed.

    Args:
        adviser: chooses them.
        wording: how guidance stands in a prompt.
    """

    def __init__(self, adviser: Adviser, wording: Wording) -> None:
        self._adviser = adviser
        self._wording = wording

    def rewrite(self, requests: Sequence[Request]) -> list[Rewritten]:
        """Return each request with its guidance; unchanged where nothing fits."""
        return [self._rewrite(request) for request in requests]

    def close(self) -> None:
        """Do nothing: an index in memory holds nothing else."""

    def _rewrite(self, request: Request) -> Rewritten:
        if not any(message.role == "user" for message in request.messages):
            return Rewritten(request)  # nobody has said anything that a scenario could be compared with
        advised = self._adviser(request.messages)
        if not advised.lines:
            return Rewritten(request, None, advised.facts)
        messages = self._wording.guide(request.messages, advised.lines)
        return Rewritten(replace(request, messages=messages), "\n".join(advised.lines), advised.facts)
