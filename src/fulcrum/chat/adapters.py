# pyright: basic
"""A resident base model with any number of LoRA adapters, each row of a batch under its own."""

import difflib
import inspect
import itertools
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.lora import Linear, LoraLayer
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
        merge: put the weights of an adapter together with the base's while all rows run under it, where both are
            plain linear layers in float32. Each change of adapter then costs a copy of the layers, and each token no
            more than the base's.
    """

    def __init__(self, model: PreTrainedModel, *, merge: bool = False) -> None:
        self._merge = merge
        self._own: dict[torch.nn.Parameter, torch.Tensor] = {}  # the base's weights that an adapter is merged into
        self.base = model.eval().requires_grad_(False)
        self._peft: PeftModel | None = None  # wraps `base`, and changes its layers in place
        self._activation = threading.Lock()
        # The key that all rows run under if nothing else is said, and whether it is merged if it can be.
        self._active: tuple[str, bool] | None = None
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
        self._take_apart()
        try:
            with warnings.catch_warnings():
                # PEFT asks transformers for a property under its old name.
                warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
                if self._peft is not None:
                    self._peft.load_adapter(folder, key, autocast_adapter_dtype=False)
                else:
                    self._peft = PeftModel.from_pretrained(self.base, folder, key, autocast_adapter_dtype=False)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"adapter {str(folder)!r} does not fit the model: {error}") from error
        self._peft.eval()
        self._active = None
        self._adapters[name] = _Adapter(key, adapter_fingerprint(folder))

    def unload(self, name: str) -> None:
        """Free an adapter.

        Raises:
            ModelError: there is none of that name.
        """
        self._find(name)
        self._take_apart()
        adapter = self._adapters.pop(name)
        assert self._peft is not None
        if self._adapters:
            self._activate(next(iter(self._adapters.values())).key)
            self._peft.delete_adapter(adapter.key)
        else:
            self._peft.unload()
            self._peft = None
        self._active = None

    def fingerprint(self, name: str | None) -> str | None:
        """Return the hash of the adapter that answers for `name`; None for the base.

        Raises:
            ModelError: there is no adapter of that name.
        """
        adapter = self._find(name)
        return adapter and adapter.fingerprint

    def forward(self, names: Sequence[str | None], **inputs: object) -> torch.Tensor:
        """Run the model, row i under adapter `names[i]`, and return the logits.

        Several threads may do so at once where all their rows are under the same adapter.

        Inputs that the model's `forward` has no name for are left out: some models have no positions.
        """
        known = {name: value for name, value in inputs.items() if name in self._inputs}
        if self._peft is None:
            return self.base(**known).logits
        keys = [adapter.key if (adapter := self._find(name)) else _BASE for name in names]
        if len(set(keys)) == 1:  # half the cost of a mixed batch
            self._activate(keys[0], merge=self._merge)
            return self.base(**known).logits
        self._activate(next(key for key in keys if key != _BASE))
        return self._peft(**known, adapter_names=keys).logits

    def _activate(self, key: str, *, merge: bool = False) -> None:
        """Let all rows run under one adapter, or the base, until something else is said."""
        with self._activation:
            if (key, merge) == self._active:
                return
            assert self._peft is not None
            tuner: Any = self._peft.base_model
            self._take_apart()
            if key == _BASE or (merge and self._put_together(key)):
                tuner.disable_adapter_layers()
            else:
                tuner.enable_adapter_layers()
                self._peft.set_adapter(key, inference_mode=True)
            self._active = key, merge

    def _put_together(self, key: str) -> bool:
        """Merge an adapter into the base, if that can be done exactly; the base's own weights are kept beside."""
        assert self._peft is not None
        config = cast(LoraConfig, self._peft.peft_config[key])
        layers = [layer for layer in self._peft.modules() if isinstance(layer, LoraLayer) and key in layer.scaling]
        weights = [cast(torch.nn.Parameter, layer.get_base_layer().weight) for layer in layers]
        embedding: Any = self.base.get_input_embeddings()  # its weight may be the head's too
        plain = config.bias == "none" and not config.lora_bias and not config.modules_to_save
        if not plain or not all(type(layer) is Linear for layer in layers):
            return False
        if any(weight is embedding.weight or weight.dtype != torch.float32 for weight in weights):
            return False
        for layer, weight in zip(cast(list[Linear], layers), weights, strict=True):
            self._own[weight] = weight.data
            weight.data = weight.data + layer.get_delta_weight(key)
        return True

    def _take_apart(self) -> None:
        for weight, own in self._own.items():
            weight.data = own
        self._own.clear()

    def _find(self, name: str | None) -> _Adapter | None:
        if name is not None and name not in self._adapters:
            loaded = [other for other in self._adapters if other is not None]
            near = difflib.get_close_matches(name, loaded, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"loaded are: {', '.join(loaded) or 'none'}"
            raise ModelError(f"there is no adapter {name!r}; {hint}")
        return self._adapters.get(name)
