# pyright: basic
"""From a model's folder to what a trainer needs: weights, tokenizer, adapter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from fulcrum.chat.fingerprint import adapter_fingerprint, model_fingerprint
from fulcrum.errors import ModelError, TrainingError
from fulcrum.hardware import SMALL_PARAMETERS, choose_device, choose_dtype
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.tokens import Tokenizer


def fingerprint(source: str | Path) -> str:
    """Return what tells this model or adapter from every other: a hash of its content, or of its commit on the hub.

    Raises:
        ModelError: there is no such model or adapter.
    """
    if (Path(source) / "adapter_config.json").exists():
        return adapter_fingerprint(Path(source))
    try:
        config, tokenizer = AutoConfig.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ModelError(f"{str(source)!r} holds neither a model nor an adapter: {error}") from error
    return model_fingerprint(str(source), config, tokenizer, [])


def load_model(source: str | Path) -> Any:
    """Return a causal language model on the CPU, in the type that it is stored in.

    Raises:
        ModelError: the folder or hub name holds none.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load {str(source)!r} as a causal language model: {error}") from error


@dataclass(frozen=True, slots=True)
class Policy:
    """A model that is to be trained.

    Attributes:
        model: its weights, under its adapter if there is one already.
        new_adapter: how to make the adapter if it is yet to be made.
        tokenizer: with the chat template.
        dtype: what to compute in.
    """

    model: PreTrainedModel | PeftModel
    new_adapter: LoraConfig | None
    tokenizer: Tokenizer
    dtype: torch.dtype

    @property
    def stop_ids(self) -> set[int]:
        """Every token that ends an answer, of the tokenizer and of the model's generation settings."""
        declared = self.model.generation_config.eos_token_id
        several = declared if isinstance(declared, list) else [declared]
        return {token for token in [self.tokenizer.eos_token_id, *several] if token is not None}

    @property
    def context(self) -> int | None:
        """How many tokens fit, or None if the model's positions have no end."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)


def load_policy(source: str | Path, adapter: Path | None, settings: TrainingSettings) -> Policy:
    """Load what is to be trained.

    Trained weights are kept in float32, whatever products are computed in; frozen weights under an adapter take
    the type of computation.

    Raises:
        ModelError: the model cannot be loaded.
        TrainingError: an adapter was given that the settings cannot continue.
    """
    if settings.tuning == "full" and adapter is not None:
        raise TrainingError(f"tuning 'full' cannot start from the adapter {adapter}; set tuning to 'lora'")
    model = load_model(source)
    chosen = settings.dtype == "auto"
    dtype = choose_dtype(choose_device(), model.num_parameters()) if chosen else getattr(torch, settings.dtype)
    tokenizer = AutoTokenizer.from_pretrained(source)
    if dtype == torch.bfloat16 and choose_device() == "cpu" and model.num_parameters() <= SMALL_PARAMETERS:
        model.set_attn_implementation("eager")  # PyTorch's fused kernel is slow there in backward
    if settings.tuning == "full":
        return Policy(model.to(dtype=torch.float32), None, tokenizer, dtype)
    model = model.to(dtype=dtype)
    if adapter is not None:
        return Policy(_continued(model, adapter, settings), None, tokenizer, dtype)
    new_adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules="all-linear",  # but for the output layer, as TRL's fused loss demands
    )
    return Policy(model, new_adapter, tokenizer, dtype)


def _continued(model: Any, adapter: Path, settings: TrainingSettings) -> PeftModel:
    policy = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    config: Any = policy.peft_config["default"]
    if (config.r, config.lora_alpha) != (settings.lora_rank, settings.lora_alpha):
        raise TrainingError(
            f"{adapter} has lora_rank {config.r} and lora_alpha {config.lora_alpha}, the settings say "
            f"{settings.lora_rank} and {settings.lora_alpha}; a training that continues an adapter keeps its shape"
        )
    return policy
