# pyright: basic
"""Preference training: direct preference optimisation plus the winner's likelihood, row by row.

The loss of a batch is the mean over its rows of ``dpo(row) + nll_weight * nll(row)``, where ``nll(row)`` is the mean
over the tokens of the row's winner (SGT, arXiv 2604.20727). TRL's ``loss_type=["sigmoid", "sft"]`` takes the mean
over all winner tokens of a micro-batch instead, so that long winners weigh more and the loss depends on which
rows share a micro-batch.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from datasets import Dataset
from peft import PeftModel
from torch.utils.data import DataLoader
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from fulcrum.training.job import Job, OnStep, TrainingResult
from fulcrum.training.models import load_model, load_policy
from fulcrum.training.rows import ChatRow, PreferenceRow
from fulcrum.training.settings import PreferenceSettings
from fulcrum.training.tokens import Tokenizer, check_lengths, encode
from fulcrum.training.trainer import (
    PlannedTrainer,
    job_inputs,
    plan_order,
    quiet,
    run,
    trainer_arguments,
)

ANSWERS = ("chosen_ids", "rejected_ids")
CURVES = {
    "nll": "nll",
    "rewards/accuracies": "preference/accuracy",
    "rewards/margins": "preference/margin",
}


class PreferenceTrainer(PlannedTrainer, DPOTrainer):
    """TRL's trainer with another likelihood term, exact over uneven micro-batches, and any adapter as reference.

    Args:
        nll_weight: weight of the winner's likelihood.
        reference_adapter: folder of the reference; `start` is the policy before its first step, `base` the model
            without its adapter.
    """

    loss_is_scaled_for_ga = True  # by `num_items_in_batch` below, which counts rows

    def __init__(self, *, nll_weight: float, reference_adapter: Path | Literal["start", "base"], **options: Any):
        self.nll_weight = nll_weight
        self.reference_adapter = reference_adapter
        super().__init__(**options)

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset  # rows come as tokens

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Ask the reference once, before the first step, and let it go.

        TRL hands the answers from process to process through a cache file beside the rows; rows in memory have no
        such place, and every process has all answers anyway.
        """
        if isinstance(self.model, PeftModel):
            self._place_reference(self.model)
        batches = self.accelerator.prepare(DataLoader(cast(Any, dataset), batch_size, collate_fn=self.data_collator))
        answers = [
            self.accelerator.gather_for_metrics(self.compute_ref_log_probs(self.ref_model or self.model, batch))
            for batch in batches
        ]
        if isinstance(self.model, PeftModel) and "ref" in self.model.peft_config:
            self.model.delete_adapter("ref")
        self.ref_model = None
        chosen, rejected = (torch.cat(column).tolist() for column in zip(*answers, strict=True))
        return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)

    def _place_reference(self, policy: PeftModel) -> None:
        """TRL reads the reference from an adapter named `ref`, which it made as a copy of the policy's start."""
        if self.reference_adapter == "start":
            return
        if "ref" in policy.peft_config:
            policy.delete_adapter("ref")
        if self.reference_adapter != "base":
            policy.load_adapter(str(self.reference_adapter), "ref")

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        rows = torch.tensor(sum(len(batch["input_ids"]) // 2 for batch in batch_samples), device=device)
        return cast(torch.Tensor, self.accelerator.gather(rows)).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return this micro-batch's share of the batch's mean loss."""
        seen: list[Any] = []

        def remember(**kwargs: Any) -> Any:
            seen.append(model(**kwargs))
            return seen[-1]

        dpo = super().compute_loss(cast(Any, remember), inputs)
        rows = len(inputs["input_ids"]) // 2
        mask = inputs["completion_mask"][:rows, 1:]
        nll = mean_nll(seen[0].log_probs[:rows], mask)
        self._metrics["train"]["nll"].append(cast(torch.Tensor, self.accelerator.gather(nll.detach())).mean().item())
        # Processes average their gradients, hence the factor.
        share = 1 if num_items_in_batch is None else rows * self.accelerator.num_processes / num_items_in_batch
        return (dpo + self.nll_weight * nll) * share


def mean_nll(log_probs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood: mean over each row's tokens, then over rows.

    Args:
        log_probs: of the token at each position, [rows, positions].
        mask: 1 where the token belongs to the response, else 0; same shape.
    """
    return -((log_probs * mask).sum(dim=1) / mask.sum(dim=1)).mean()


def prefer(
    model: str | Path,
    rows: Sequence[PreferenceRow],
    output: Path,
    settings: PreferenceSettings | None = None,
    *,
    adapter: Path | None = None,
    reference: Path | Literal["start", "base"] = "start",
    on_step: OnStep | None = None,
) -> TrainingResult:
    """Train a model to prefer the chosen responses and leave an adapter (or a model) at `output`.

    The same call again returns the finished result, or continues a killed training to the same weights.

    Args:
        model: folder or hub name of a causal language model with a chat template.
        rows: what to prefer to what.
        output: folder to be made.
        settings: defaults are for an adapter.
        adapter: where to start from; None starts from the model itself.
        reference: what the policy shall stay close to. `start` is where it starts from (with `adapter`, the
            previous round), `base` the model without adapter; else the folder of another adapter, or with full
            tuning of another model.
        on_step: told about every optimizer step.

    Raises:
        TrainingError: no rows, rows that do not fit the context, changed inputs, or a loss that is lost.
        ModelError: the model cannot be loaded.
    """
    settings = settings or PreferenceSettings()
    folder = reference if reference not in ("start", "base") else None
    job = Job(
        output,
        job_inputs("preference", model, settings, [row.to_json() for row in rows], adapter=adapter, reference=folder)
        | ({"reference": reference} if folder is None else {}),
    )
    if (done := job.begin()) is not None:
        return done
    with quiet():
        policy = load_policy(model, adapter, settings)
        examples = _tokens(rows, policy.tokenizer, policy.stop_ids)
        chosen, rejected = ([len(row["prompt_ids"]) + len(row[name]) for row in examples] for name in ANSWERS)
        check_lengths([max(pair) for pair in zip(chosen, rejected, strict=True)], policy.context)
        order = plan_order([max(pair) for pair in zip(chosen, rejected, strict=True)], settings, settings.batch_size)
        trainer = PreferenceTrainer(
            model=policy.model,
            ref_model=load_model(folder).to(dtype=policy.dtype) if folder and settings.tuning == "full" else None,
            reference_adapter=reference,
            nll_weight=settings.nll_weight,
            args=DPOConfig(
                **trainer_arguments(job, settings, policy.dtype, math.ceil(len(order) / settings.batch_size)),
                beta=settings.beta,
                max_length=None,
                precompute_ref_log_probs=True,
            ),
            train_dataset=Dataset.from_list(examples),
            processing_class=policy.tokenizer,
            peft_config=policy.new_adapter,
        )
        trainer.order = order
        loss_tokens = sum(len(examples[index][name]) for index in order for name in ANSWERS)
        seen_tokens = sum(chosen[index] + rejected[index] for index in order)
        return run(
            trainer,
            job,
            settings,
            dtype=policy.dtype,
            rows=len(rows),
            tokens=lambda _: (loss_tokens, seen_tokens),
            curves=CURVES,
            on_step=on_step,
        )


def _tokens(rows: Sequence[PreferenceRow], tokenizer: Tokenizer, stop_ids: set[int]) -> list[dict[str, list[int]]]:
    """Return the rows as TRL's collator wants them."""
    chosen = encode(tokenizer, [ChatRow(row.prompt, row.chosen) for row in rows], stop_ids)
    rejected = encode(tokenizer, [ChatRow(row.prompt, row.rejected) for row in rows], stop_ids)
    return [
        {"prompt_ids": winner.prompt_ids, "chosen_ids": winner.response_ids, "rejected_ids": loser.response_ids}
        for winner, loser in zip(chosen, rejected, strict=True)
    ]
