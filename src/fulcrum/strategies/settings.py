"""What a user may choose about strategies; the defaults are for real endpoints."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from fulcrum.hashing import file_hash
from fulcrum.settings import Settings
from fulcrum.training.settings import TrainingSettings


class RetrievalSettings(Settings):
    """How a turn finds its strategies.

    Attributes:
        top_k: most strategies in one prompt.
        threshold: share of a scenario's weight that the dialogue must hold, 0..1; below it nothing is said.
        embeddings: name of a sentence-transformers model that compares meanings in place of words.
    """

    top_k: PositiveInt = 4
    threshold: float = Field(default=0.3, ge=0, le=1)
    embeddings: str | None = None


class StrategiesSettings(Settings):
    """Settings of `method = "strategies"`.

    Attributes:
        rounds: rounds of learning. The teacher's share of turns falls from all in the first to none in the last.
        dialogues: training dialogues of one round; each round has others, as long as there are enough.
        requests: most turns of one round at which the teacher is asked for a strategy.
        trial_dialogues: most dialogues of one round in which a new strategy is tried: where it was suggested, at most
            half, and those most like them.
        alpha: a strategy is accepted at this p-value of the exact sign test.
        duplicate: strategies that share this much of their words are one.
        novelty: stop when fewer of a round's strategies than this share are new.
        gap_dialogues: development dialogues on which student and teacher are compared after every round; learning
            stops when the interval of their gap covers zero. 0 never compares them.
        effect_dialogues: development dialogues on which each accepted strategy's effect is measured. 0 measures none.
        serve: `approved` serves what a person approved; `proposed` serves what passed the trial too: for experiments.
        retrieval: how a turn finds its strategies.
        wording: the prompts, of which the lab's checkpoints know only `lab`; if not set, `lab` at `lab:desk` and else
            `general`.
        handbook: text file that the teacher reads before it answers: what the student must never need. At `lab:desk`
            it is the shop's own, if none is named.
        handbook_hash: of its content, filled in when the recipe is read: a run goes on only with the same.
        generic_lines: lines of general advice in the control that retrieves nothing.
        finetune: also tune the student on the teacher's replies, as a control; needs a local student.
        training: of that control.
        max_tokens: limit of a reply; the task's own if not set.
    """

    rounds: PositiveInt = 4
    dialogues: PositiveInt = 48
    requests: PositiveInt = 64
    trial_dialogues: PositiveInt = 32
    alpha: float = Field(default=0.05, gt=0, lt=1)
    duplicate: float = Field(default=0.75, gt=0, le=1)
    novelty: float = Field(default=0.05, ge=0, le=1)
    gap_dialogues: int = Field(default=40, ge=0)
    effect_dialogues: int = Field(default=60, ge=0)
    serve: Literal["approved", "proposed"] = "approved"
    retrieval: RetrievalSettings = RetrievalSettings()
    wording: Literal["lab", "general"] | None = None
    handbook: Path | None = None
    handbook_hash: str | None = None
    generic_lines: PositiveInt = 5
    finetune: bool = False
    training: TrainingSettings = TrainingSettings()
    max_tokens: PositiveInt | None = None

    @model_validator(mode="before")
    @classmethod
    def _know_the_handbook(cls, data: dict[str, Any]) -> dict[str, Any]:
        path = data.get("handbook")
        if not isinstance(path, str | Path) or "handbook_hash" in data:
            return data
        try:
            return {**data, "handbook_hash": file_hash(Path(path))}
        except OSError as error:
            raise ValueError(f"handbook: {path} cannot be read: {error.strerror}") from error
