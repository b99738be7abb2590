"""From a request to the same request with its supplement. Evaluation and serving both go through here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fulcrum.artifact import Rewritten
from fulcrum.chat import ChatModel, Failure, Message, Request, Sampling, complete
from fulcrum.evaluation.solver import Turn
from fulcrum.supplement.forms import FREE, NONE, NOTHING, Supplement, read_supplement
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.wording import WORDINGS, When, Wording, prompt_of, question_at

_FAILURE = "supplement_failure"
"""Fact of a rewritten request whose supplement failed: the kind of the failure."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A supplement that somebody wants for a conversation.

    Attributes:
        prompt: the conversation, up to the question that the supplement is for.
        asked: one of `FORMS`, `free` or `own`.
        sample: index that keeps repeated draws apart.
    """

    prompt: tuple[Message, ...]
    asked: str = FREE
    sample: int = 0


@dataclass(frozen=True)
class SupplementWriter:
    """A generator with its way of asking and placing; it is the `Rewriter` that is deployed.

    Attributes:
        model: the generator.
        wording: the prompts.
        when: once for the first question, or at every turn.
        sampling: greedy when deployed.
        without: forms that are dropped as if nothing had been written.
    """

    model: ChatModel
    wording: Wording
    when: When
    sampling: Sampling
    without: frozenset[str] = frozenset()

    def write(self, drafts: Sequence[Draft]) -> list[Supplement | Failure]:
        """Return a supplement, or the failure in its place, for every draft."""
        greedy = self.sampling.temperature == 0
        completions = complete(
            self.model,
            [
                Request(
                    self.wording.request(draft.prompt, draft.asked),
                    self.sampling,
                    sample=0 if greedy else draft.sample,
                )
                for draft in drafts
            ],
        )
        return [
            self._kept(read_supplement(completion.text, draft.asked))
            if completion.failure is None
            else completion.failure
            for draft, completion in zip(drafts, completions, strict=True)
        ]

    def supplements_for(self, requests: Sequence[Request]) -> list[Supplement | Failure]:
        """Return what to say with each request; nothing with one in which no user speaks."""
        spoken = [
            place for place, request in enumerate(requests) if question_at(request.messages, self.when) is not None
        ]
        drafts = [
            Draft(prompt_of(requests[place].messages, self.when), sample=requests[place].sample) for place in spoken
        ]
        written: list[Supplement | Failure] = [NOTHING] * len(requests)
        for place, supplement in zip(spoken, self.write(drafts), strict=True):
            written[place] = supplement
        return written

    def rewrite(self, requests: Sequence[Request]) -> list[Rewritten]:
        """Return each request with its supplement; one whose supplement fails, or says nothing, as it came."""
        return [
            self.place(request, written)
            for request, written in zip(requests, self.supplements_for(requests), strict=True)
        ]

    def rewrite_turns(self, turns: Sequence[Turn], requests: Sequence[Request]) -> list[Rewritten]:
        """Return each turn's request with its supplement: the same as `rewrite`, in the shape of a solver's help."""
        del turns  # a request is all that an endpoint gets to see
        return self.rewrite(requests)

    def place(self, request: Request, written: Supplement | Failure) -> Rewritten:
        """Return a request with a supplement, or as it came if there is none."""
        if isinstance(written, Failure):
            return Rewritten(request, facts={_FAILURE: written.kind, "detail": written.detail})
        if written.form == NONE:
            return Rewritten(request, facts={"form": NONE})
        messages = self.wording.place(request.messages, written, self.when)
        return Rewritten(replace(request, messages=messages), written.text, {"form": written.form})

    def close(self) -> None:
        """Free the generator."""
        self.model.close()

    def _kept(self, supplement: Supplement) -> Supplement:
        return NOTHING if self.without & set(supplement.form.split("+")) else supplement


def writer_of(
    model: ChatModel,
    settings: SupplementSettings,
    temperature: float = 0.0,
    seed: int = 0,
    without: frozenset[str] = frozenset(),
) -> SupplementWriter:
    """Return the writer that some settings describe; greedy, as it is deployed, unless a temperature is given."""
    sampling = Sampling(temperature, max_tokens=settings.max_tokens, seed=seed)
    return SupplementWriter(model, WORDINGS[settings.wording], settings.when, sampling, without)


def failure_of(rewritten: Rewritten) -> Failure | None:
    """Return the failure that stood in the supplement's place, if it was no answer of the generator's own.

    What the generator did say, but too long or not at all, leaves the actor without help, and so it is measured. A
    generator that could not be asked says nothing about the method: an evaluation passes it on as a failure.
    """
    failure = rewritten.failure
    return None if failure is None or failure.paid else replace(failure, detail=f"generator: {failure.detail}")
