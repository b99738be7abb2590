"""What a user may choose about leverage; the defaults are the paper's where it says, and the vetted ones elsewhere."""

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fulcrum.leverage.anchor import Place
from fulcrum.leverage.arms import ARMS, ArmName
from fulcrum.leverage.mix import MixSettings
from fulcrum.settings import Settings
from fulcrum.training.settings import TrainingSettings

AUTO = "auto"
"""Value of `anchor` that has it written."""


class DynamicSettings(Settings):
    """An anchor that changes in the course of training; with the defaults it does not.

    Attributes:
        pool: other wordings, from which every row draws one.
        dropout: share of task rows without the anchor.
        cooldown: last share of the training without it. Above 0 the anchor is left out in use as well.
        shorten: lose the anchor's words one by one.
    """

    pool: tuple[str, ...] = ()
    dropout: float = Field(default=0.0, ge=0, lt=1)
    cooldown: float = Field(default=0.0, ge=0, lt=1)
    shorten: bool = False


class TuneSettings(Settings):
    """What is tried out, and chosen by the dev split; the same for the method and for what it is compared with.

    Attributes:
        learning_rates: instead of `training.learning_rate`, each is tried.
        epochs: instead of `mix.epochs`, each is tried where there is a mix.
        repeat_caps: instead of `mix.repeat_cap`, the same.
        sft_passes: passes over the task rows that plain finetuning tries.
        match_steps: let it try as many steps as the mix takes, too.
        dev_rows: examples of the dev split to choose by; all by default.
    """

    learning_rates: tuple[PositiveFloat, ...] = ()
    epochs: tuple[PositiveInt, ...] = ()
    repeat_caps: tuple[PositiveInt, ...] = ()
    sft_passes: tuple[PositiveInt, ...] = Field(default=(3, 10), min_length=1)
    match_steps: bool = True
    dev_rows: PositiveInt | None = None


class LeverageTraining(TrainingSettings):
    """The training; the mix decides how many rows there are and in which order, so those settings are refused here."""

    lora_rank: PositiveInt = 8

    @model_validator(mode="after")
    def _left_to_the_mix(self) -> Self:
        if self.epochs != 1 or self.steps is not None or not self.shuffle or self.seed:
            raise ValueError("epochs, steps, shuffle and seed of the training follow from mix and the recipe's seed")
        return self


class SweepSettings(Settings):
    """What `fulcrum leverage sweep` runs: every arm at every size with every seed.

    Attributes:
        task_sizes: numbers of task rows, nested.
        general_sizes: numbers of general rows, nested, at `general_at` task rows each; 0 is the task alone.
        general_at: number of task rows of the general-size sweep.
        arms: what is trained at every task size; `tell` and `sft` make the curve.
        seeds: which task rows come first, order, and the adapter's first weights.
    """

    task_sizes: tuple[PositiveInt, ...] = (16, 32, 64, 128, 256, 512, 1024)
    general_sizes: tuple[NonNegativeInt, ...] = ()
    general_at: PositiveInt = 64
    arms: tuple[ArmName, ...] = ("tell", "sft")
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0, 1, 2), min_length=1)


class LeverageSettings(Settings):
    """Settings of `method = "leverage"`.

    Attributes:
        anchor: the text; `auto` has it written from task rows, by the writer if there is one; empty for none.
        anchor_place: see `fulcrum.leverage.anchor.Anchor`.
        other_anchor: text of the placebo that is another task's anchor.
        candidates: anchors to ask the writer for.
        dynamic: how the anchor changes.
        task_rows: use only so many rows of the train split.
        order: how they are chosen: `shuffled` by seed, or `given`, see `fulcrum.leverage.general.task_rows`.
        general: the general set: `lab:general`, or a JSONL file.
        general_rows: use only so many of it; all by default.
        held_out: general rows kept from training, whose loss shows what the model can still do.
        general_leaks: what to do with general rows that hold dev or test inputs.
        mix: ratio, repeats, order.
        training: optimizer and adapter.
        tune: what is chosen by dev.
        controls: what else is trained, see `fulcrum.leverage.arms`.
        shots: solved examples shown to the untuned model; 0 leaves that control out.
        max_tokens: limit of an answer; the task's own if not set.
        sweep: see `SweepSettings`.
    """

    anchor: str = AUTO
    anchor_place: Place = "user"
    other_anchor: str = "translate the text into german, and write nothing else."
    candidates: PositiveInt = 8
    dynamic: DynamicSettings = DynamicSettings()
    task_rows: PositiveInt | None = None
    order: Literal["shuffled", "given"] = "shuffled"
    general: str = "lab:general"
    general_rows: PositiveInt | None = None
    held_out: PositiveInt = 256
    general_leaks: Literal["refuse", "drop"] = "refuse"
    mix: MixSettings = MixSettings()
    training: LeverageTraining = LeverageTraining()
    tune: TuneSettings = TuneSettings()
    controls: tuple[ArmName, ...] = tuple(name for name in ARMS if name != "tell")
    shots: NonNegativeInt = 4
    max_tokens: PositiveInt | None = None
    sweep: SweepSettings = SweepSettings()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if "tell" in self.controls:
            raise ValueError("controls: tell is the method itself; leave it out")
        cap = min(self.tune.repeat_caps, default=self.mix.repeat_cap)
        if self.mix.task_share is None and max(self.tune.epochs, default=1) > cap:
            raise ValueError(
                f"tune.epochs: {max(self.tune.epochs)} would show every task row so often, over the repeat cap of "
                f"{cap}; lower one, or set mix.task_share"
            )
        if not self.anchor.strip() and self.dynamic != DynamicSettings():
            raise ValueError("dynamic: there is no anchor that could change; set anchor, or drop dynamic")
        if self.anchor_place == "response" and (self.dynamic.pool or self.dynamic.shorten):
            raise ValueError(
                "dynamic: an anchor that opens the answers is taken off by its words, so these cannot change; drop "
                'pool and shorten, or set anchor_place = "user"'
            )
        return self
