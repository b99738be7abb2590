"""The solvers that could explain a gain away: what a supplement is without what the method claims to add."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from fulcrum.artifact import Rewritten
from fulcrum.chat import ChatModel, Failure, Request, complete
from fulcrum.evaluation.solver import Turn
from fulcrum.hashing import content_hash
from fulcrum.supplement.forms import NONE, NOTHING, Supplement
from fulcrum.supplement.labels import Option
from fulcrum.supplement.wording import When, Wording, question_at
from fulcrum.supplement.writer import SupplementWriter

_FILLER = "this line is here to fill the space and says nothing about the question. "


class Shuffled:
    """Gives every question the supplement of another one: help that is as fluent, and about something else.

    The others are fixed by content hash: each question takes from its neighbour in a ring. A lone one is given nothing.

    Args:
        writer: the generator.
    """

    def __init__(self, writer: SupplementWriter) -> None:
        self._writer = writer
        self._seen: dict[str, Request] = {}

    def __call__(self, turns: Sequence[Turn], requests: Sequence[Request]) -> list[Rewritten]:
        """Return each turn's request with its neighbour's supplement."""
        for turn, request in zip(turns, requests, strict=True):
            self._seen[turn.question.id] = request
        ring = sorted(self._seen, key=content_hash)
        if len(ring) < 2:
            return [self._writer.place(request, NOTHING) for request in requests]
        neighbour = dict(zip(ring, ring[1:] + ring[:1], strict=True))
        donors = [self._seen[neighbour[turn.question.id]] for turn in turns]
        written = self._writer.supplements_for(donors)
        return [self._writer.place(request, supplement) for request, supplement in zip(requests, written, strict=True)]


class Padded:
    """Puts filler of the same length where a supplement would stand: a longer prompt, and no help.

    Args:
        writer: the generator, whose supplements are measured.
    """

    def __init__(self, writer: SupplementWriter) -> None:
        self._writer = writer

    def __call__(self, turns: Sequence[Turn], requests: Sequence[Request]) -> list[Rewritten]:
        """Return each turn's request with filler."""
        del turns
        written = self._writer.supplements_for(requests)
        return [self._writer.place(request, self._filler(one)) for request, one in zip(requests, written, strict=True)]

    def _filler(self, written: Supplement | Failure) -> Supplement | Failure:
        if isinstance(written, Failure) or written.form == NONE:
            return written
        length = len(written.body)
        return replace(written, body=(_FILLER * (length // len(_FILLER) + 1))[:length])


class Fixed:
    """Puts the same text into every request: one prompt for all questions, or an empty block.

    Args:
        text: what stands in the block.
        wording: how the block looks.
        when: where it stands.
    """

    def __init__(self, text: str, wording: Wording, when: When) -> None:
        self._text = text
        self._wording = wording
        self._when: When = when

    def __call__(self, turns: Sequence[Turn], requests: Sequence[Request]) -> list[Rewritten]:
        """Return each turn's request with the text."""
        del turns
        return [self._placed(request) for request in requests]

    def _placed(self, request: Request) -> Rewritten:
        at = question_at(request.messages, self._when)
        if at is None:
            return Rewritten(request)
        messages = self._wording.place_text(request.messages, self._text, at)
        return Rewritten(replace(request, messages=messages), self._text)


def static_prompt(helpful: Sequence[Option], count: int) -> str:
    """Return the best supplements of training as one text: the largest gains, the shortest first, one a question.

    With binary labels what helped may have gained nothing, or said nothing: neither is among them.
    """
    gained = [one for one in helpful if one.value > one.alone and one.supplement.form != NONE]
    best = sorted(gained, key=lambda one: (one.alone - one.value, len(one.supplement.body), one.supplement.body))
    by_question: dict[str, str] = {}
    taken: set[str] = set()
    for option in best:
        query, text = option.state[0], option.supplement.text
        if query not in by_question and text not in taken:
            by_question[query] = text
            taken.add(text)
    return "\n\n".join(islice(by_question.values(), count))


class WrongAnswer:
    """Tells the actor, as a supplement of the form `answer`, what it answers to another question: a dose of poison.

    That is the next question in a ring to which it answers something else; without any there is no dose.

    Args:
        writer: places the dose as it places supplements.
        actor: whose answers are passed around.
        answer_key: finds the final answer in a text, as the task's scorer does.
    """

    def __init__(self, writer: SupplementWriter, actor: ChatModel, answer_key: Callable[[str], str | None]) -> None:
        self._writer = writer
        self._actor = actor
        self._answer_key = answer_key

    def __call__(self, turns: Sequence[Turn], requests: Sequence[Request]) -> list[Rewritten]:
        """Return each turn's request with another question's answer."""
        given = {turn.question.id: answer for turn, answer in zip(turns, complete(self._actor, requests), strict=True)}
        keys = {question: self._answer_key(answer.text) for question, answer in given.items() if answer.ok}
        ring = sorted(given, key=content_hash)

        def dose(question: str) -> Supplement:
            place = ring.index(question)
            known = (keys.get(question), None)
            others = (other for other in ring[place + 1 :] + ring[:place] if keys.get(other) not in known)
            return next((Supplement("answer", given[other].text) for other in others), NOTHING)

        return [
            self._writer.place(request, dose(turn.question.id)) for turn, request in zip(turns, requests, strict=True)
        ]
