"""A tuned model with its anchor: what answers, in an evaluation and behind an endpoint."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fulcrum.chat import ChatModel, Completion, Failure, Finished, Request
from fulcrum.errors import SettingsError
from fulcrum.leverage.anchor import Anchor


class AnchoredModel:
    """A `ChatModel` that puts the anchor in front of every prompt, as it stood in training.

    An anchor that opens the answer is taken off it: `max_tokens` and `stop` of a request count from there.

    Args:
        model: who answers.
        anchor: None leaves prompts as they came.
        adapter: name of the adapter of that model which answers; None leaves that to each request.
        opener_tokens: tokens that the model spends on an anchor that opens its answers.
    """

    def __init__(
        self, model: ChatModel, anchor: Anchor | None, adapter: str | None = None, opener_tokens: int = 0
    ) -> None:
        self._model = model
        self._anchor = anchor
        self._adapter = adapter
        self._opener_tokens = opener_tokens

    @property
    def name(self) -> str:
        """Name of the model behind it."""
        return self._model.name

    def identity(self, request: Request) -> dict[str, str]:
        """Identity of the model behind it, with the anchor."""
        anchor = {"anchor": f"{self._anchor.place}: {self._anchor.text}"} if self._anchor else {}
        return {**self._model.identity(self._request(request)), **anchor}

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer every request; one with no place for the anchor fails alone."""
        sent: list[tuple[int, Request]] = []
        refused: Finished = []

        def anchored() -> Iterator[Request]:
            for index, request in enumerate(requests):
                try:
                    asked = self._request(request)
                except SettingsError as error:
                    refused.append((index, Completion.failed("invalid", str(error))))
                    continue
                sent.append((index, request))
                yield asked

        for group in self._model.generate(anchored()):
            yield [(sent[place][0], self._completion(completion, sent[place][1])) for place, completion in group]
        if refused:
            yield refused

    def close(self) -> None:
        """Close the model behind it."""
        self._model.close()

    def _request(self, request: Request) -> Request:
        adapter = self._adapter or request.adapter
        if self._anchor is None:
            return replace(request, adapter=adapter)
        sampling = request.sampling
        if self._anchor.opener:  # the anchor may hold what is to end the answer
            sampling = replace(sampling, max_tokens=sampling.max_tokens + self._opener_tokens, stop=())
        return replace(request, messages=self._anchor.prompt(request.messages), sampling=sampling, adapter=adapter)

    def _completion(self, completion: Completion, request: Request) -> Completion:
        """Return what stands behind the opener, up to where the request wants it to end."""
        if self._anchor is None or not self._anchor.opener:
            return completion
        cut_within = completion.finish_reason == "length" and self._anchor.opener.startswith(completion.text)
        text = "" if cut_within else self._anchor.strip(completion.text)
        ends = [place for stop in request.sampling.stop if (place := text.find(stop)) >= 0]
        if ends:
            text = text[: min(ends)]
            if completion.finish_reason == "length":
                completion = replace(completion, finish_reason="stop", failure=None)
        if completion.ok and not text.strip() and not completion.tool_calls:
            completion = replace(completion, failure=Failure("empty", "nothing behind the anchor"))
        return replace(completion, text=text)
