"""What a recipe may choose about supplements; the defaults are the paper's, or ours where it is silent."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fulcrum.settings import Settings
from fulcrum.supplement.wording import When
from fulcrum.training.settings import PolicySettings, PreferenceSettings, TrainingSettings


class SupplementSettings(Settings):
    """Settings of `method = "supplement"`.

    Attributes:
        trainer: how the generator learns after the warm start: preference pairs (the paper), finetuning on the
            winners of all rounds so far, or policy optimisation against the actor.
        labels: worth of a supplement: `uplift` over the actor alone, or the paper's `binary` success.
        label_samples: answers of the actor behind each label; above 1 they need `label_temperature`.
        label_temperature: of the actor while it labels.
        luck_samples: further answers, drawn at temperature 1, to each question that the actor solves alone: its score
            there is the mean of all, so that a lucky guess is not taken for knowledge. Give a `margin` with them.
        margin: how much better a winner must score than a loser and, with `uplift` labels, than the actor alone.
        when: write once, or again at every turn of a dialogue: each turn without help then counts as a question.
        wording: the prompts; `lab` for the lab's checkpoints, `lab-desk` for dialogues with them.
        samples: supplements of each of nine forms for a question of the warm start.
        rounds: rounds after the warm start.
        pool: free supplements for a question in round 2 and later.
        own_forms: supplements in forms of the generator's own, in round 1.
        concats: concatenations of two supplements that helped, in round 1.
        pairs: most pairs of each kind (between forms, within a form) from one question.
        solved_share: share of training rows that come from questions which the actor solves alone.
        schedule: `adaptive` tries the drafts that promise most, and leaves a question once it shows winners and losers;
            `fixed` is the paper's.
        enough: winners, and losers, of each pool after which the adaptive schedule leaves a question.
        spend: actor calls of the adaptive schedule, as a share of the fixed schedule's.
        temperature: of the generator while it explores; deployed it is greedy.
        max_tokens: limit of a supplement; a longer one is a failure.
        answer_tokens: limit of the actor's answer; the task's own if not set, and on any other task.
        queries: training questions to use; all if not set.
        dev_queries: dev questions on which the round is chosen; all if not set.
        votes: draws of the control `self-consistency`.
        static: supplements in the control `static prompt`.
        warm_start: finetuning of the warm start.
        imitation: each round with `trainer = "sft"`, of the untrained generator; as the warm start if not set. Rows add
            up from round to round: with `steps` instead of `epochs` each round takes equally long.
        preference: each round with `trainer = "dpo"`.
        policy: each round with `trainer = "grpo"`; without `steps` it spends what the other trainers would.
    """

    trainer: Literal["dpo", "sft", "grpo"] = "dpo"
    labels: Literal["uplift", "binary"] = "uplift"
    label_samples: PositiveInt = 1
    label_temperature: float = Field(default=0.0, ge=0)
    luck_samples: int = Field(default=0, ge=0)
    margin: float = Field(default=0.0, ge=0, lt=1)
    when: When = "start"
    wording: Literal["general", "lab", "lab-desk"] = "general"
    samples: PositiveInt = 5
    rounds: int = Field(default=5, ge=0)
    pool: PositiveInt = 20
    own_forms: int = Field(default=3, ge=0)
    concats: int = Field(default=3, ge=0)
    pairs: PositiveInt = 20
    solved_share: float = Field(default=0.15, ge=0, lt=1)
    schedule: Literal["adaptive", "fixed"] = "adaptive"
    enough: PositiveInt = 4
    spend: float = Field(default=0.5, gt=0, le=1)
    temperature: PositiveFloat = 1.0
    max_tokens: PositiveInt = 256
    answer_tokens: int | None = Field(default=None, ge=1)
    queries: int | None = Field(default=None, ge=1)
    dev_queries: int | None = Field(default=None, ge=1)
    votes: int = Field(default=3, ge=2)
    static: PositiveInt = 8
    warm_start: TrainingSettings = TrainingSettings(epochs=3)
    imitation: TrainingSettings | None = None
    preference: PreferenceSettings = PreferenceSettings()
    policy: PolicySettings = PolicySettings()

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.label_samples > 1 and self.label_temperature == 0:
            raise ValueError(
                f"label_samples {self.label_samples} at label_temperature 0 are all the same answer; set "
                "label_temperature above 0, or label_samples to 1"
            )
        if self.label_samples > 1 and self.when == "turn":
            raise ValueError(
                'when = "turn" helps at a turn of one dialogue, so label_samples must be 1; raise pool instead'
            )
        first = self.warm_start
        imitation = self.imitation or first
        later: TrainingSettings = {"dpo": self.preference, "sft": imitation, "grpo": self.policy}[self.trainer]
        if (first.tuning, first.lora_rank, first.lora_alpha) != (later.tuning, later.lora_rank, later.lora_alpha):
            raise ValueError(
                f"the rounds continue the warm start's weights, so tuning, lora_rank and lora_alpha must agree: "
                f"warm_start has {first.tuning}, {first.lora_rank}, {first.lora_alpha}, the trainer {self.trainer!r} "
                f"{later.tuning}, {later.lora_rank}, {later.lora_alpha}"
            )
        return self
