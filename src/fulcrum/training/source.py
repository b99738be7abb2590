# pyright: basic
"""From the name of a local model to what a trainer loads, and from what was trained back to a name."""

from pathlib import Path

from fulcrum.chat.options import split_options
from fulcrum.errors import ModelError

_OPTIONS = ("adapter", "batch", "device", "dtype")


def trainable_source(name: str) -> str:
    """Return the folder or hub name behind `lab:NAME` or `hf:NAME`.

    Raises:
        ModelError: the model is not in this process, so that nothing here can train it, or it wears an adapter.
    """
    front, options = split_options(name, _OPTIONS)
    if "adapter" in options:
        raise ModelError(f"{name!r}: a model that is to be trained cannot wear an adapter; merge it, or name the base")
    scheme, _, rest = front.partition(":")
    if scheme == "hf":
        return rest
    if scheme == "lab":
        from fulcrum.lab.recipes import FOLDER, recipe

        recipe(front)
        return str(FOLDER / rest)
    raise ModelError(f"{name!r} cannot be trained: only lab:NAME and hf:PATH_OR_HUB_NAME are models of this process")


def parameters_of(source: str) -> int:
    """Return how many weights the model in a folder, or of a hub name, has; none is loaded."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source)).num_parameters()


def trained_name(name: str, trained: Path, tuning: str) -> str:
    """Return the name of a model after training: the base under an adapter, or the new weights themselves.

    Args:
        name: of the model as it was; one behind an endpoint is what was trained already, served under that name.
        trained: folder that the training left.
        tuning: `lora` if that is an adapter, `full` if it is a whole model.
    """
    if name.startswith(("http://", "https://")):
        return name
    front, _, query = name.partition("?")
    if tuning == "full":
        return f"hf:{trained}" + (f"?{query}" if query else "")
    return f"{front}?{query}{'&' if query else ''}adapter={trained}"
