"""`replay:CALLS.sqlite`: answers from a call store, and from nowhere else."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from fulcrum.calls.store import CallStore
from fulcrum.chat import Completion, Finished, Request
from fulcrum.chat.address import identity_of
from fulcrum.errors import ModelError, StoreError
from fulcrum.hashing import canonical_json

_UNKNOWN = Completion.failed("server", "not in the recording: this request was never made")
_SEVERAL = Completion.failed("server", "the recording holds answers of several adapters or weights to this request")


class ReplayModel:
    """Gives the recorded answer to a recorded request; to any other, a `server` failure that says so.

    A recording answers by the request alone, so that it can stand in for the endpoint that made it. If several
    models of the store answered the same request, the name must pick one: `replay:calls.sqlite#MODEL`. What one
    model answered with several adapters or weights cannot be told apart by the request, and is a failure too. How an
    endpoint was called, such as with which timeout, makes no other model of it.

    Args:
        path: the call store, opened read-only.
        model: which model's answers to use; needed only if the store holds several.

    Raises:
        ModelError: no such store, no such model in it, or several and none picked.
    """

    def __init__(self, path: Path, model: str = "") -> None:
        try:
            with CallStore(path, read_only=True) as store:
                calls = list(store.calls())
        except StoreError as error:
            raise ModelError(f"replay:{path}: {error}") from error
        model = identity_of(model)
        names = sorted({identity_of(call.model) for call in calls})
        if (model and model not in names) or (not model and len(names) > 1):
            raise ModelError(f"replay:{path}#{model}: pick one of the recorded models: {', '.join(names)}")
        self.name = f"replay:{path}" + (f"#{model}" if model else "")
        self._identity = {"replay": model or "".join(names)}
        self._answers: dict[str, Completion] = {}
        for call in calls:
            if model in ("", identity_of(call.model)):
                request = canonical_json(call.request["request"])
                self._answers[request] = _SEVERAL if request in self._answers else call.completion

    def identity(self, request: Request) -> dict[str, str]:
        """Return the recorded model's name."""
        del request
        return self._identity

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Look every request up."""
        for index, request in enumerate(requests):
            yield [(index, self._answers.get(canonical_json(request.to_json()), _UNKNOWN))]

    def close(self) -> None:
        """Nothing to free: the recording was read at once."""


def open_model(name: str) -> ReplayModel:
    """Return the recording that `replay:PATH` or `replay:PATH#MODEL` names."""
    path, _, model = name.removeprefix("replay:").partition("#")
    return ReplayModel(Path(path), model)
