"""What a user may choose about a training; the defaults are the vetted setting."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fulcrum.settings import Settings


class TrainingSettings(Settings):
    """What every training has in common, and all that supervised finetuning needs.

    Attributes:
        tuning: `lora` trains an adapter on all linear layers, `full` trains every weight.
        learning_rate: peak rate of AdamW. For `full` tuning take about a tenth.
        epochs: passes over the rows, each in a new order.
        steps: optimizer steps; replaces `epochs`.
        batch_size: rows of one optimizer step, over all processes.
        micro_batch_size: most rows in memory at once on one device; does not change the result.
        schedule: how the learning rate falls after the warm-up.
        warmup: share of the steps in which the learning rate rises.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to this norm; 0 leaves them as they are.
        lora_rank: rank of a new adapter.
        lora_alpha: an adapter's weights count `lora_alpha / lora_rank`.
        shuffle: draw a new order of the rows for each epoch; false keeps the order given.
        dtype: `auto` takes bfloat16 where the hardware computes in it, else float32.
        gradient_checkpointing: recompute activations to save memory, about 20 % slower.
        checkpoint_every: steps between checkpoints from which a killed training continues.
        seed: reaches the new adapter's weights, the order of the rows and all sampling.
    """

    tuning: Literal["lora", "full"] = "lora"
    learning_rate: PositiveFloat = 1e-4
    epochs: PositiveInt = 1
    steps: PositiveInt | None = None
    batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt = 8
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0)
    lora_rank: PositiveInt = 16
    lora_alpha: PositiveInt = 32
    shuffle: bool = True
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    gradient_checkpointing: bool = False
    checkpoint_every: PositiveInt = 100
    seed: int = Field(default=0, ge=0, lt=2**32)


class PreferenceSettings(TrainingSettings):
    """Direct preference optimisation plus the winner's likelihood.

    Attributes:
        beta: how dearly the policy pays for leaving the reference.
        nll_weight: weight of the winner's negative log-likelihood: mean over each row's tokens, then over rows.
    """

    learning_rate: PositiveFloat = 5e-6
    beta: PositiveFloat = 0.1
    nll_weight: float = Field(default=1.0, ge=0)


class PolicySettings(TrainingSettings):
    """Group-relative policy optimisation (GRPO) against a reward.

    Attributes:
        batch_size: completions of one optimizer step, over all prompts and processes.
        generations: completions of one prompt, which are compared with one another.
        temperature: of sampling.
        max_tokens: longest completion.
        kl: weight of the divergence from where the training started; 0 needs no reference in memory.
    """

    learning_rate: PositiveFloat = 1e-5
    batch_size: PositiveInt = 64
    generations: int = Field(default=8, ge=2)
    temperature: PositiveFloat = 1.0
    max_tokens: PositiveInt = 256
    kl: float = Field(default=0.0, ge=0)

    @property
    def prompts_per_step(self) -> int:
        """How many prompts one optimizer step completes."""
        return self.batch_size // self.generations

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.batch_size % self.generations:
            raise ValueError(
                f"batch_size {self.batch_size} does not hold whole groups of generations {self.generations}; "
                f"take a multiple, such as {self.generations * max(1, round(self.batch_size / self.generations))}"
            )
        return self
