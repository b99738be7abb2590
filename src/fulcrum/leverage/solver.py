"""A tuned model with its anchor: what answers, in an evaluation and behind an endpoint."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fulcrum.chat import ChatModel, Completion, Finished, Request
from fulcrum.leverage.anchor import Anchor


class AnchoredModel:
    """A `ChatModel` that puts the anchor in front of every prompt, as it stood in training.

    Args:
        model: who answers.
        anchor: None leaves prompts as they came.
        adapter: name of the adapter of that model which answers; None leaves that to each request.
    """

    def __init__(self, model: ChatModel, anchor: Anchor | None, adapter: str | None = None) -> None:
        self._model = model
        self._anchor = anchor
        self._adapter = adapter

    @property
    def name(self) -> str:
        """Name of the model behind it."""
        return self._model.name

    def identity(self, request: Request) -> dict[str, str]:
        """Identity of the model behind it, with the anchor."""
        anchor = {"anchor": f"{self._anchor.place}: {self._anchor.text}"} if self._anchor else {}
        return {**self._model.identity(self._request(request)), **anchor}

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer every request; an anchor that opens the answer is taken off it."""
        for group in self._model.generate(self._request(request) for request in requests):
            yield [(index, self._completion(completion)) for index, completion in group]

    def close(self) -> None:
        """Close the model behind it."""
        self._model.close()

    def _request(self, request: Request) -> Request:
        messages = self._anchor.prompt(request.messages) if self._anchor else request.messages
        return replace(request, messages=messages, adapter=self._adapter or request.adapter)

    def _completion(self, completion: Completion) -> Completion:
        if self._anchor is None or not completion.ok:
            return completion
        return replace(completion, text=self._anchor.strip(completion.text))
