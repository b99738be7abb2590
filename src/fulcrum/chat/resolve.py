"""From a model's name to the model."""

import difflib
from typing import cast

from fulcrum.chat.model import ChatModel
from fulcrum.errors import ModelError
from fulcrum.lazy import load

SCHEMES = {
    "hf": "fulcrum.chat.huggingface:open_model",
    "http": "fulcrum.chat.endpoint:open_model",
    "https": "fulcrum.chat.endpoint:open_model",
    "lab": "fulcrum.lab.models:open_model",
    "python": "fulcrum.chat.function:open_model",
    "replay": "fulcrum.calls.replay:open_model",
}
"""Where each kind of model lives; named by string so that a light command loads no heavy library."""

FORMS = "lab:large, hf:PATH_OR_HUB_NAME, http://HOST/v1#MODEL, replay:CALLS.sqlite, python:MODULE:FUNCTION"


def resolve(name: str) -> ChatModel:
    """Return the model that `name` stands for.

    Options follow a question mark: `hf:path?adapter=DIR&dtype=float32`.

    Raises:
        ModelError: no such kind of model, or it cannot be loaded; the text says what would be understood.
        MissingExtra: this kind of model needs a package that is not installed.
    """
    return cast(ChatModel, load(SCHEMES[scheme_of(name)])(name))


def scheme_of(name: str) -> str:
    """Return which kind of model a name stands for, without loading anything.

    Raises:
        ModelError: there is no such kind of model.
    """
    scheme, separator, _ = name.partition(":")
    if not separator or scheme not in SCHEMES:
        near = difflib.get_close_matches(scheme, SCHEMES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"{name!r} is not a model name{hint} Understood are: {FORMS}")
    return scheme
