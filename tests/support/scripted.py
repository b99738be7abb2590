"""A chat model that answers by a function and remembers every request it really got."""

from collections.abc import Callable, Iterable, Iterator
from threading import Barrier

from fulcrum.chat import Completion, Finished, Request, Usage


def echo(request: Request) -> Completion:
    """Answer with the last message, upper-cased."""
    text = request.messages[-1].content.upper()
    return Completion(text, usage=Usage(len(request.messages[-1].content), len(text)), seconds=0.5, model="scripted")


def together(parties: int, answer: Callable[[Request], Completion]) -> Callable[[Request], Completion]:
    """Return `answer`, but given only when so many callers wait for one at the same time."""
    barrier = Barrier(parties, timeout=10)

    def met(request: Request) -> Completion:
        barrier.wait()
        return answer(request)

    return met


class ScriptedModel:
    """A `ChatModel` for tests: `answer` maps a request to a completion; `requests` holds what was asked.

    With `batch` 1 it reads requests one at a time, as an endpoint would; above, it takes them all first, as a local
    model does.
    """

    def __init__(
        self, answer: Callable[[Request], Completion] = echo, *, name: str = "python:scripted", batch: int = 1
    ) -> None:
        self.name = name
        self.answer = answer
        self.batch = batch
        self.requests: list[Request] = []
        self.closed = 0

    def identity(self, request: Request) -> dict[str, str]:
        return {"model": self.name, "adapter": request.adapter or ""}

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        group: Finished = []
        for index, request in enumerate(requests if self.batch == 1 else list(requests)):
            self.requests.append(request)
            group.append((index, self.answer(request)))
            if len(group) == self.batch:
                yield group
                group = []
        if group:
            yield group

    def close(self) -> None:
        self.closed += 1
