"""Adapters that a server holds: vLLM and SGLang offer each of them as a model of its own name."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fulcrum.chat.endpoint import EndpointModel
from fulcrum.chat.fingerprint import adapter_fingerprint
from fulcrum.chat.model import Finished, Request
from fulcrum.errors import ModelError


def served_name(folder: Path) -> str:
    """Return the name under which a server has to offer an adapter: that of its folder, and a hash of its weights.

    Servers know weights by their name alone. With the hash in it, what answers is what was trained.
    """
    return f"{folder.name}-{adapter_fingerprint(folder)[:8]}"


def lora_modules(folders: Iterable[Path]) -> str:
    """Return the flag of `vllm serve` that offers adapters under the names that are asked for."""
    return shlex.join(["--lora-modules", *(f"{served_name(folder)}={folder}" for folder in folders)])


class ServedAdapters:
    """A base model behind an endpoint, with the adapters that the server offers beside it.

    Args:
        base: the base, named as the server names it; closed with this.
    """

    def __init__(self, base: EndpointModel) -> None:
        self._base = base
        self._names: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Name of the base."""
        return self._base.name

    def check(self, folders: Sequence[Path]) -> None:
        """See that the server offers all of these adapters.

        Raises:
            ModelError: it does not, or cannot be reached; the text says how to start it.
        """
        offered = self._base.list_models()
        missing = [folder for folder in folders if served_name(folder) not in offered]
        if missing:
            names = ", ".join(map(served_name, missing))
            told = f"with vLLM: --enable-lora {lora_modules(folders)}"
            raise ModelError(f"{self._base.url} offers no model {names}; start the server with these adapters, {told}")

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Let requests name an adapter that the server offers already."""
        self._names[name] = served_name(Path(path))

    def unload_adapter(self, name: str) -> None:
        """Forget it; the server keeps it."""
        del self._names[name]

    def identity(self, request: Request) -> dict[str, str]:
        """Return the endpoint's, under the server's name of the adapter."""
        return self._base.identity(self._served(request))

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer each request as the adapter that it names, or as the base."""
        return self._base.generate(map(self._served, requests))

    def close(self) -> None:
        """Close the connections."""
        self._base.close()

    def _served(self, request: Request) -> Request:
        return replace(request, adapter=request.adapter and self._names[request.adapter])
