"""Load a thing by name, so that a light command never imports a heavy library."""

import importlib
from typing import Any

from fulcrum.errors import MissingExtra

_EXTRA_OF = {
    **dict.fromkeys(("torch", "transformers", "peft", "trl", "accelerate", "safetensors", "datasets"), "train"),
    **dict.fromkeys(("starlette", "uvicorn", "prometheus_client", "aiohttp", "yarl"), "serve"),
    **dict.fromkeys(("matplotlib",), "plots"),
    **dict.fromkeys(("pyarrow",), "data"),
    **dict.fromkeys(("sacrebleu",), "translation"),
    **dict.fromkeys(("ray",), "ray"),
    **dict.fromkeys(("sentence_transformers",), "embeddings"),
}


def load(reference: str) -> Any:
    """Return the attribute that `module:attribute` names.

    Raises:
        MissingExtra: the module needs a package that an extra of Fulcrum installs, and it is not installed.
    """
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA_OF:
            raise
        raise MissingExtra(
            f"this needs the package {package}, which is not installed; pip install 'fulcrum[{_EXTRA_OF[package]}]'"
        ) from error
