# pyright: basic
"""A resident base model with any number of LoRA adapters, each row of a batch under its own."""

import difflib
import inspect
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from transformers import PreTrainedModel

from fulcrum.chat.fingerprint import adapter_fingerprint
from fulcrum.errors import ModelError

_BASE = "__base__"
"""PEFT's word for a row without adapter."""


@dataclass(frozen=True)
class _Adapter:
    key: str
    fingerprint: str


class Adapters:
    """Runs a model with the adapters that were loaded.

    The adapter named None, if there is one, is what answers where no adapter is asked for.

    Args:
        model: the base; it is switched to inference.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.base = model.eval().requires_grad_(False)
        self._model: PreTrainedModel | PeftModel = self.base
        self._adapters: dict[str | None, _Adapter] = {}
        # PEFT takes no dots in a name, and a name that is used again must not find old weights.
        self._keys = (f"adapter{number}" for number in itertools.count())
        self._inputs = frozenset(inspect.signature(model.forward).parameters)

    def load(self, name: str | None, folder: Path) -> None:
        """Load the adapter in `folder` under `name`.

        Raises:
            ModelError: no adapter there, one that is not plain LoRA or does not fit the model, or the name is taken.
        """
        if name in self._adapters:
            raise ModelError(f"adapter {name!r} is loaded already; unload it first, or take another name")
        if not (folder / "adapter_config.json").is_file():
            raise ModelError(
                f"adapter {str(folder)!r}: there is no adapter_config.json; give the folder that PEFT saved"
            )
        config = PeftConfig.from_pretrained(str(folder))
        if not isinstance(config, LoraConfig) or config.use_dora:
            kind = "DoRA" if isinstance(config, LoraConfig) else config.peft_type
            raise ModelError(f"adapter {str(folder)!r} is {kind}; only plain LoRA adapters can share a batch")
        key = next(self._keys)
        try:
            with warnings.catch_warnings():
                # PEFT asks transformers for a property under its old name.
                warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
                if isinstance(self._model, PeftModel):
                    self._model.load_adapter(folder, key, autocast_adapter_dtype=False)
                else:
                    self._model = PeftModel.from_pretrained(self.base, folder, key, autocast_adapter_dtype=False)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"adapter {str(folder)!r} does not fit the model: {error}") from error
        self._model.eval()
        self._adapters[name] = _Adapter(key, adapter_fingerprint(folder))

    def unload(self, name: str) -> None:
        """Free an adapter.

        Raises:
            ModelError: there is none of that name.
        """
        self._find(name)
        adapter = self._adapters.pop(name)
        model = self._model
        assert isinstance(model, PeftModel)
        if self._adapters:
            model.set_adapter(next(iter(self._adapters.values())).key, inference_mode=True)
            model.delete_adapter(adapter.key)
        else:
            self._model = model.unload()

    def fingerprint(self, name: str | None) -> str | None:
        """Return the hash of the adapter that answers for `name`; None for the base.

        Raises:
            ModelError: there is no adapter of that name.
        """
        adapter = self._find(name)
        return adapter and adapter.fingerprint

    def forward(self, names: Sequence[str | None], **inputs: object) -> torch.Tensor:
        """Run the model, row i under adapter `names[i]`, and return the logits.

        Inputs that the model's `forward` has no name for are left out: some models have no positions.
        """
        known = {name: value for name, value in inputs.items() if name in self._inputs}
        if not self._adapters:
            return self._model(**known).logits
        keys = [adapter.key if (adapter := self._find(name)) else _BASE for name in names]
        return self._model(**known, adapter_names=keys).logits

    def _find(self, name: str | None) -> _Adapter | None:
        if name is not None and name not in self._adapters:
            loaded = [other for other in self._adapters if other is not None]
            near = difflib.get_close_matches(name, loaded, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"loaded are: {', '.join(loaded) or 'none'}"
            raise ModelError(f"there is no adapter {name!r}; {hint}")
        return self._adapters.get(name)
