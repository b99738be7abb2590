# pyright: basic
"""Supervised finetuning: learn to write the responses of given rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from fulcrum.training.job import Job, OnStep, TrainingResult, tell_steps
from fulcrum.training.models import load_policy
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.tokens import check_lengths, encode
from fulcrum.training.trainer import (
    PlannedTrainer,
    job_inputs,
    plan_order,
    quiet,
    run,
    trainer_arguments,
)
from fulcrum.workers import Tell


class SupervisedTrainer(PlannedTrainer, SFTTrainer):
    """TRL's trainer; the loss is the mean over all response tokens of the whole effective batch."""


def finetune(
    model: str | Path,
    rows: Sequence[ChatRow],
    output: Path,
    settings: TrainingSettings | None = None,
    *,
    adapter: Path | None = None,
    on_step: OnStep | None = None,
) -> TrainingResult:
    """Train a model on rows and leave an adapter (or, with full tuning, a model) at `output`.

    The same call again returns the finished result, or continues a killed training to the same weights.

    Args:
        model: folder or hub name of a causal language model with a chat template.
        rows: what to learn.
        output: folder to be made.
        settings: defaults are for an adapter.
        adapter: where to start from; None starts from the model itself.
        on_step: told about every optimizer step.

    Raises:
        TrainingError: no rows, rows that do not fit the context, changed inputs, or a loss that is lost.
        ModelError: the model cannot be loaded.
    """
    settings = settings or TrainingSettings()
    job = Job(output, job_inputs("sft", model, settings, [row.to_json() for row in rows], adapter=adapter))
    if (done := job.begin()) is not None:
        return done
    with quiet():
        policy = load_policy(model, adapter, settings)
        encoded = encode(policy.tokenizer, rows, policy.stop_ids)
        lengths = [len(row) for row in encoded]
        check_lengths(lengths, policy.context)
        order = plan_order(lengths, settings, settings.batch_size)
        trainer = SupervisedTrainer(
            model=policy.model,
            args=SFTConfig(
                **trainer_arguments(job, settings, policy.dtype, math.ceil(len(order) / settings.batch_size)),
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=Dataset.from_dict(
                {
                    "input_ids": [row.prompt_ids + row.response_ids for row in encoded],
                    "labels": [[-100] * len(row.prompt_ids) + row.response_ids for row in encoded],
                }
            ),
            processing_class=policy.tokenizer,
            peft_config=policy.new_adapter,
        )
        trainer.order = order
        loss_tokens = sum(len(encoded[index].response_ids) for index in order)
        return run(
            trainer,
            job,
            settings,
            dtype=policy.dtype,
            rows=len(rows),
            tokens=lambda _: (loss_tokens, sum(lengths[index] for index in order)),
            curves={},
            on_step=on_step,
        )


@dataclass(frozen=True, slots=True)
class Finetuning:
    """A finetuning as it can be sent to another process; the name is what its steps are told under."""

    name: str
    model: str
    rows: Sequence[ChatRow]
    output: Path
    settings: TrainingSettings


def finetune_job(job: Finetuning, tell: Tell) -> None:
    """Do it, and tell of each step."""
    finetune(job.model, job.rows, job.output, job.settings, on_step=tell_steps(job.name, tell))
