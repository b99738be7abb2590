"""A society without a neural network: a scripted model that can wear adapters, and debates made by hand."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fulcrum.chat import Completion, Request, Usage, user
from fulcrum.society.debate import Statement, Transcript
from fulcrum.task import Example, PromptTemplate, Task
from fulcrum.task.scorers import NumberScorer
from support.scripted import ScriptedModel


def says(text: str) -> Completion:
    return Completion(text, usage=Usage(3, 2), seconds=0.5, model="scripted")


class AdapterModel(ScriptedModel):
    """Answers by a function that sees the request, its adapter included; all requests of a call are one batch."""

    def __init__(self, answer: Callable[[Request], str | Completion]) -> None:
        def completion(request: Request) -> Completion:
            said = answer(request)
            return said if isinstance(said, Completion) else says(said)

        super().__init__(completion, batch=10_000)
        self.loaded: set[str] = set()
        self.batches: list[list[Request]] = []

    def generate(self, requests):
        batch = list(requests)
        self.batches.append(batch)
        assert all(request.adapter is None or request.adapter in self.loaded for request in batch)
        yield from super().generate(batch)

    def load_adapter(self, name: str, path: str | Path) -> None:
        assert name not in self.loaded
        assert (Path(path) / "adapter_config.json").is_file()
        self.loaded.add(name)

    def unload_adapter(self, name: str) -> None:
        self.loaded.remove(name)


def adapter(folder: Path) -> Path:
    """Make a folder look like an adapter."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    return folder


def number_key(text: str) -> str | None:
    numbers = re.findall(r"-?\d+", text)
    return numbers[-1] if numbers else None


def debate(question: str, *rounds: Sequence[str | Completion | None]) -> Transcript:
    """Return a debate; what was said by round and participant, None for an answer that cannot be read."""

    def statement(place: int, said: str | Completion | None) -> Statement:
        completion = said if isinstance(said, Completion) else says(f"so {said}" if said else "hm")
        summary = f"others of round {place}" if place else ""
        return Statement(completion, said if isinstance(said, str) else None, summary)

    return Transcript(
        question,
        (user(f"question {question}"),),
        tuple(tuple(statement(place, said) for said in statements) for place, statements in enumerate(rounds)),
    )


def sums_task(train: int = 12, dev: int = 6, test: int = 4) -> Task:
    """Return sums of two numbers with disjoint splits."""
    splits, start = {}, 0
    for name, size in (("train", train), ("dev", dev), ("test", test)):
        numbers = range(start, start + size)
        splits[name] = [Example({"a": number, "b": 2 * number}, target=3 * number) for number in numbers]
        start += size
    return Task("sums", splits, PromptTemplate("What is {a} + {b}?"), NumberScorer(), max_tokens=20)
