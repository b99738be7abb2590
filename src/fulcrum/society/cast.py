"""Who speaks in a debate, and one resident base model that speaks with all their voices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from fulcrum.chat import ChatModel, Completion, Request, complete, resolve
from fulcrum.errors import ModelError

Recorder = Callable[[ChatModel, str], ChatModel]
"""Wraps a model for one role, so that its calls are stored and counted."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """An agent as it is asked.

    Attributes:
        role: `generator`, `critic` or `summariser`; under this name its calls are counted.
        weights: folder of its adapter (or, with full tuning, of its model); None is the base.
    """

    role: str
    weights: Path | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """The participants of a debate: participant n is `generators[n]` in the first round, then `critics[n]`."""

    generators: tuple[Speaker, ...]
    critics: tuple[Speaker, ...]

    @property
    def weights(self) -> set[Path]:
        """Everything that must be loaded for it to debate."""
        return {speaker.weights for speaker in (*self.generators, *self.critics) if speaker.weights is not None}


@runtime_checkable
class AdapterHost(ChatModel, Protocol):
    """A model in this process that answers each request under the adapter that it names."""

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Load an adapter under a name."""
        ...

    def unload_adapter(self, name: str) -> None:
        """Free it."""
        ...


def adapter_host(model: ChatModel) -> AdapterHost:
    """Return a model that can hold adapters.

    Raises:
        ModelError: it cannot.
    """
    if not isinstance(model, AdapterHost):
        raise ModelError(
            f"model {model.name!r}: a society trains adapters of its model and runs them in this process; "
            "give a local model, such as lab:large or hf:PATH_OR_HUB_NAME"
        )
    return model


class Rater(Protocol):
    """A model that tells how likely it finds a text."""

    def logprob(self, requests: Sequence[Request], texts: Sequence[str]) -> list[list[float]]:
        """Return the natural log-probability of each token of `texts[i]` as the answer to `requests[i]`."""
        ...


def rater_of(model: ChatModel) -> Rater:
    """Return a model that rates texts.

    Raises:
        ModelError: it does not.
    """
    if not hasattr(model, "logprob"):
        raise ModelError(f"model {model.name!r} gives no log-probabilities of texts; set likelihood to 0")
    return cast("Rater", model)


class Voices:
    """Every agent of a society on one resident base; those of one batch are drawn in one `generate`.

    Adapters are known by their folder, which is another for each agent and iteration, so no name is used twice.

    Args:
        host: the base model.
        record: wraps it for each role; by default calls are neither stored nor counted.
    """

    def __init__(self, host: AdapterHost, record: Recorder = lambda model, _: model) -> None:
        self._host = host
        self._record = record
        self._adapters: set[Path] = set()
        self._models: dict[Path, ChatModel] = {}  # of full tuning

    def seat(self, cast: Cast) -> None:
        """Load what a cast needs, and free what it does not.

        Raises:
            ModelError: an agent's weights cannot be loaded.
        """
        for path in self._adapters - cast.weights:
            self._host.unload_adapter(str(path))
            self._adapters.remove(path)
        for path in self._models.keys() - cast.weights:
            self._models.pop(path).close()
        for path in sorted(cast.weights - self._adapters - self._models.keys()):
            if (path / "adapter_config.json").is_file():
                self._host.load_adapter(str(path), path)
                self._adapters.add(path)
            else:
                self._models[path] = resolve(f"hf:{path}")

    def ask(self, speakers: Sequence[Speaker], requests: Sequence[Request]) -> list[Completion]:
        """Answer request i as speaker i, all adapters in one batch; with full tuning, one batch a model."""
        answers: dict[int, Completion] = {}
        for role, model, indices in self._batches(speakers):
            batch = [self._under(speakers[index], requests[index]) for index in indices]
            answers.update(zip(indices, complete(self._record(model, role), batch), strict=True))
        return [answers[index] for index in range(len(requests))]

    def rate(self, speakers: Sequence[Speaker], requests: Sequence[Request], texts: Sequence[str]) -> list[list[float]]:
        """Return the natural log-probability of each token of `texts[i]` as speaker i's answer to `requests[i]`.

        Raises:
            ModelError: the model does not rate texts.
        """
        scores: dict[int, list[float]] = {}
        for _, model, indices in self._batches(speakers):
            batch = [self._under(speakers[index], requests[index]) for index in indices]
            found = rater_of(model).logprob(batch, [texts[index] for index in indices])
            scores.update(zip(indices, found, strict=True))
        return [scores[index] for index in range(len(requests))]

    def _batches(self, speakers: Sequence[Speaker]) -> list[tuple[str, ChatModel, list[int]]]:
        """Return for each role and model of these speakers whose turn it is."""
        batches: dict[tuple[str, Path | None], list[int]] = {}
        for index, speaker in enumerate(speakers):
            own = speaker.weights if speaker.weights in self._models else None
            batches.setdefault((speaker.role, own), []).append(index)
        return [(role, self._models[own] if own else self._host, found) for (role, own), found in batches.items()]

    def _under(self, speaker: Speaker, request: Request) -> Request:
        """Return a request under a speaker's adapter; with full tuning its weights are no adapter."""
        adapter = speaker.weights if speaker.weights not in self._models else None
        return replace(request, adapter=str(adapter) if adapter else None)

    def close(self) -> None:
        """Free every agent; the base stays with whoever opened it."""
        self.seat(Cast((), ()))
