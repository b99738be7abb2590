# pyright: basic
"""Tokenizer, weights and device of a model in this process."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from fulcrum.errors import ModelError


def open_device(name: str, device: str) -> torch.device:
    """Return a device that can be used.

    Raises:
        ModelError: it cannot; `name` is the model that asked for it.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"model {name!r}: device {device!r} cannot be used ({reason}); try cpu or cuda") from error
    return found


def load(name: str, source: str) -> tuple[Any, Any]:
    """Return tokenizer and model, in the type that the weights are stored in.

    Raises:
        ModelError: they cannot be found or loaded, or there is no chat template.
    """
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        if not tokenizer.chat_template:
            raise ModelError(
                f"model {name!r} has no chat template, so it cannot read messages; take an instruction-tuned model, "
                "or put a chat_template.jinja beside its weights"
            )
        return tokenizer, AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {name!r} cannot be loaded: {source!r} is neither a folder with a causal language model nor "
            f"one that can be fetched from the hub ({reason}); check the path, or the name and the connection"
        ) from error


def cache_bytes(config: Any, dtype: torch.dtype) -> int:
    """Return what the keys and values of one token take."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * width * dtype.itemsize
