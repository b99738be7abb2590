"""One finetuning of one agent, as it can be sent to another process or another machine."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fulcrum.training.job import tell_steps
from fulcrum.training.rows import ChatRow, PreferenceRow
from fulcrum.training.settings import PreferenceSettings, TrainingSettings
from fulcrum.workers import Tell

WEIGHTS = "weights"

_SHARED = (
    *("tuning", "lora_rank", "lora_alpha", "seed", "dtype"),
    *("micro_batch_size", "gradient_checkpointing", "checkpoint_every"),
)
"""What training on preferences shares with that on rows: the form of the weights, and what fits in memory."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What an agent learns, and from where it starts.

    Attributes:
        stage: name of the stage.
        rows: JSON of `ChatRow`s, with whatever else should stand in `rows.jsonl`; none if there are preferences only.
        start: weights to start from; None is the base.
        seed: of the training.
        preferences: what to learn after the rows.
        origin: where the rows came from, kept in `inputs.json`.
    """

    stage: str
    rows: Sequence[Mapping[str, Any]]
    start: Path | None
    seed: int
    preferences: Sequence[PreferenceRow] = ()
    origin: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class TuningJob:
    """A tuning with the model that it is of, how it trains, and the folder in which its weights will stand."""

    tuning: Tuning
    source: str
    training: TrainingSettings
    folder: Path

    @property
    def name(self) -> str:
        """The agent's, which its steps are told under."""
        return re.sub(r"^finetune-.*?-\d+-", "", self.tuning.stage)


def train(job: TuningJob, tell: Tell) -> None:
    """Train, or continue, or see that it is done; told of is each step."""
    from fulcrum.training.preference import prefer  # torch is heavy
    from fulcrum.training.sft import finetune

    tuning, training = job.tuning, job.training.model_copy(update={"seed": job.tuning.seed})
    full, on_step = training.tuning == "full", tell_steps(job.name, tell)
    chats = [ChatRow.from_json(dict(row)) for row in tuning.rows]
    learned = tuning.start
    if chats:
        learned = job.folder / ("answers" if tuning.preferences else WEIGHTS)
        base = str(tuning.start) if full and tuning.start else job.source
        finetune(base, chats, learned, training, adapter=None if full else tuning.start, on_step=on_step)
    if not tuning.preferences:
        return
    shape = {key: getattr(training, key) for key in _SHARED}
    prefer(
        str(learned) if full and learned else job.source,
        tuning.preferences,
        job.folder / WEIGHTS,
        PreferenceSettings(**shape),
        adapter=None if full else learned,
        on_step=on_step,
    )
