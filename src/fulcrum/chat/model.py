"""The one protocol that every kind of model speaks: requests in, completions out, as they finish."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fulcrum.chat.completion import Completion
from fulcrum.chat.message import Message, Tool


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn. Temperature 0 is greedy.

    A local model draws the same text for the same request, seed and sample index, whatever else is in the
    batch; an endpoint is given the seed, and may ignore it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int = 0
    logprobs: bool = False
    thinking: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return every setting that can change an answer (a greedy answer has no seed and no top-p)."""
        data: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        if self.temperature > 0:
            data |= {"top_p": self.top_p, "seed": self.seed}
        if self.stop:
            data["stop"] = list(self.stop)
        if self.logprobs:
            data["logprobs"] = True
        if self.thinking:
            data["thinking"] = True
        return data


@dataclass(frozen=True, slots=True)
class Request:
    """One completion that somebody wants.

    Attributes:
        messages: the conversation so far.
        sampling: how to draw the answer.
        tools: tools that the model may call.
        sample: index that keeps repeated draws of the same prompt apart.
        adapter: name of an adapter of the model that shall answer; None means the base.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    tools: tuple[Tool, ...] = ()
    sample: int = 0
    adapter: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything in the request that can change the answer, and nothing else."""
        data: dict[str, Any] = {
            "messages": [message.to_json() for message in self.messages],
            "sampling": self.sampling.to_json(),
            "sample": self.sample,
        }
        if self.tools:
            data["tools"] = [tool.to_json() for tool in self.tools]
        return data


Finished = list[tuple[int, Completion]]
"""Completions that finished together, each with the index of its request."""


class ChatModel(Protocol):
    """Anything that turns messages into completions.

    A model never raises for a bad call: the completion carries a `Failure`. It raises `ModelError` only if it
    cannot work at all.
    """

    @property
    def name(self) -> str:
        """The name that `fulcrum.chat.resolve` understands, such as `hf:path` or `http://host/v1#model`."""
        ...

    def identity(self, request: Request) -> dict[str, str]:
        """Return all that this model itself adds to the cache key for `request`.

        That is the endpoint and model name, or a hash of the local weights, chat template and the adapter
        that the request names.
        """
        ...

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer every request, in groups as they finish, each request exactly once.

        A remote model reads `requests` only as fast as it can send them, so a caller can stop early by ending
        the iterable. What stands in one group finished together: a store keeps all of it or nothing, so that
        a resumed run forms the same batches as an uninterrupted one.
        """
        ...

    def close(self) -> None:
        """Free connections and memory; the model is not used after that."""
        ...


def complete(model: ChatModel, requests: Sequence[Request]) -> list[Completion]:
    """Answer all requests and return the completions in their order."""
    done: dict[int, Completion] = {}
    for finished in model.generate(requests):
        done.update(finished)
    return [done[index] for index in range(len(requests))]
