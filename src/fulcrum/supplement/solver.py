"""The method as a solver: the actor with the generator's supplements."""

from collections.abc import Callable, Mapping, Sequence

from fulcrum.artifact import Rewritten
from fulcrum.chat import ChatModel, Completion, Request, Sampling, complete
from fulcrum.evaluation.solver import Answer, Turn, requests_for
from fulcrum.supplement.writer import failure_of

Help = Callable[[Sequence[Turn], Sequence[Request]], list[Rewritten]]
"""Adds something to each turn's request: the generator's supplements, or what a control has in their place."""


class Supplemented:
    """The actor, helped.

    Args:
        name: of the solver.
        help: what is added to its requests.
        actor: who answers.
        sampling: of the actor.
    """

    def __init__(self, name: str, help: Help, actor: ChatModel, sampling: Sampling) -> None:
        self.name = name
        self._help = help
        self._actor = actor
        self._sampling = sampling

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Answer every turn; a generator that could not be asked is a failed answer."""
        helped = self._help(turns, requests_for(turns, self._sampling))
        failures = [failure_of(one) for one in helped]
        asked = [place for place, failure in enumerate(failures) if failure is None]
        completions = dict(zip(asked, complete(self._actor, [helped[place].request for place in asked]), strict=True))
        return [
            Answer(
                completions[place] if failure is None else Completion.failed(failure.kind, failure.detail), _trace(one)
            )
            for place, (one, failure) in enumerate(zip(helped, failures, strict=True))
        ]


def _trace(helped: Rewritten) -> Mapping[str, object]:
    return {"supplement": helped.added, **helped.facts}
