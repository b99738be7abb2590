# pyright: basic
"""What the three trainers share: the order of rows, TRL's arguments, checkpoints, results."""

import hashlib
import json
import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging as transformers_logging

from fulcrum.errors import TrainingError
from fulcrum.hardware import choose_device
from fulcrum.hashing import canonical_json, seed_from
from fulcrum.training.job import COMPLETE, Curve, Job, OnStep, TrainingResult
from fulcrum.training.models import fingerprint
from fulcrum.training.settings import TrainingSettings


def plan_order(lengths: Sequence[int], settings: TrainingSettings, batch_size: int) -> list[int]:
    """Return the indices of the rows in the order in which they are trained on, all epochs in one list.

    Every `batch_size` of them form one optimizer step (the last may be smaller). What shares a step is drawn at
    random; only within the step do rows stand by length, so that micro-batches hold little padding and yet no
    gradient depends on it.
    """
    rows = len(lengths)
    total = settings.steps * batch_size if settings.steps else settings.epochs * rows
    order: list[int] = []
    for epoch in range(math.ceil(total / rows)):
        generator = np.random.default_rng(seed_from(settings.seed, "order", epoch))
        order.extend(generator.permutation(rows).tolist() if settings.shuffle else range(rows))
    return [
        index
        for start in range(0, total, batch_size)
        for index in sorted(order[start : min(start + batch_size, total)], key=lambda index: -lengths[index])
    ]


@dataclass(frozen=True, slots=True)
class Batching:
    """How one optimizer step is cut: `accumulate` times `rows` rows on each of `processes` processes."""

    rows: int
    accumulate: int
    processes: int


def batching(settings: TrainingSettings) -> Batching:
    """Cut `settings.batch_size` among the processes that `accelerate launch` started.

    Raises:
        TrainingError: the batch cannot be shared out evenly.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    share, rest = divmod(settings.batch_size, processes)
    if rest:
        raise TrainingError(
            f"batch_size {settings.batch_size} cannot be shared by {processes} processes; change either"
        )
    rows = next(size for size in range(min(share, settings.micro_batch_size), 0, -1) if share % size == 0)
    return Batching(rows, share // rows, processes)


def trainer_arguments(job: Job, settings: TrainingSettings, dtype: torch.dtype, steps: int) -> dict[str, Any]:
    """Return the arguments that every TRL trainer shares; `steps` is how many there will be."""
    cut = batching(settings)
    gpu = choose_device() != "cpu"
    return {
        "output_dir": str(job.partial),
        "per_device_train_batch_size": cut.rows,
        "gradient_accumulation_steps": cut.accumulate,
        "num_train_epochs": 1,  # `plan_order` holds them all
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        "warmup_steps": int(settings.warmup * steps),  # not up: the first step of a warm-up changes nothing
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "activation_checkpointing": settings.gradient_checkpointing,
        "seed": settings.seed,
        "bf16": dtype == torch.bfloat16,
        "use_cpu": not gpu,
        "dataloader_pin_memory": gpu,
        "remove_unused_columns": False,
        "save_steps": settings.checkpoint_every,
        "save_total_limit": 2,  # a newer checkpoint may be cut short
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
    }


class StepwiseTrainer(Trainer):
    """Goes before a TRL trainer among the bases: timing, checks and quiet, and nothing about the algorithm."""

    _logged_at: float

    def __init__(self, *, args: TrainingArguments, **options: Any) -> None:
        # One process trains on one device; without this, `Trainer` would spread the model over all GPUs in a way
        # that TRL refuses. More devices come with `accelerate launch`.
        args._n_gpu = min(args.n_gpu, 1)
        super().__init__(args=args, **options)

    def _send_telemetry(self) -> None:
        """Send nothing: a training is nobody else's business."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: the method that trains knows better what to say."""

    def floating_point_ops(self, inputs: dict[str, Any]) -> float:
        """Return 0: nobody reads it, and counting walks over all weights once a micro-batch."""
        return 0.0

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Note when the first step began, then do what TRL does."""
        self._logged_at = getattr(self, "_logged_at", None) or time.perf_counter()
        return super().training_step(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the step's seconds, which a checkpoint keeps, and stop at once when the loss is lost.

        Raises:
            TrainingError: the loss or the gradient is not a number.
        """
        if "loss" in logs:
            if not (math.isfinite(logs["loss"]) and math.isfinite(logs.get("grad_norm", 0.0))):
                raise TrainingError(
                    f"step {self.state.global_step} of {self.state.max_steps}: the loss is {logs['loss']}, the norm of "
                    f"the gradient {logs.get('grad_norm')}; lower learning_rate ({self.args.learning_rate:g}), raise "
                    "warmup, or set dtype to float32. The last checkpoint stands"
                )
            now = time.perf_counter()
            logs["seconds"], self._logged_at = now - self._logged_at, now
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            (Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}" / COMPLETE).touch()


class PlannedTrainer(StepwiseTrainer):
    """Takes the rows in the order of `plan_order`."""

    order: Sequence[int]

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.order


class _Report(TrainerCallback):
    def __init__(self, on_step: OnStep) -> None:
        self.on_step = on_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs and state.is_world_process_zero:
            self.on_step(state.global_step, state.max_steps, logs)


def job_inputs(
    kind: str,
    model: str | Path,
    settings: TrainingSettings,
    rows: Sequence[Any],
    **adapters: Path | str | None,
) -> dict[str, Any]:
    """Return what decides the outcome of a training: content hashes, and every setting by name.

    Raises:
        TrainingError: there are no rows.
    """
    if not rows:
        raise TrainingError(f"there are no rows for the {kind} training of {str(model)!r}")
    digest = hashlib.sha256()
    for row in rows:
        digest.update(canonical_json(row).encode("utf-8", "surrogatepass") + b"\n")
    return {
        "kind": kind,
        "model": fingerprint(model),
        "rows": digest.hexdigest()[:16],
        **{name: fingerprint(path) if path else None for name, path in adapters.items()},
        **{f"settings.{name}": value for name, value in settings.model_dump().items()},
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' own words away: what matters is in the result, and errors are raised."""
    loggers = {name: logging.getLogger(name) for name in ("trl", "accelerate", "datasets", "peft")}
    levels = {name: logger.level for name, logger in loggers.items()}
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for logger in loggers.values():
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # TRL 1.16 asks for it by its old name.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        for name, logger in loggers.items():
            logger.setLevel(levels[name])


def run(
    trainer: StepwiseTrainer,
    job: Job,
    settings: TrainingSettings,
    *,
    dtype: torch.dtype,
    rows: int,
    tokens: Callable[[list[dict[str, float]]], tuple[int, int]],
    curves: Mapping[str, str],
    on_step: OnStep | None,
) -> TrainingResult:
    """Train from the last checkpoint, or from the start, to the end and put the result in its place.

    Args:
        trainer: ready to train.
        job: whose `begin` found nothing finished.
        settings: as given by the user.
        dtype: of the computation.
        rows: how many rows were given.
        tokens: from the log of all steps to the tokens that bore loss and the tokens read.
        curves: the result's name of each metric, by TRL's name.
        on_step: told about every step.
    """
    trainer.remove_callback(PrinterCallback)
    if on_step is not None:
        trainer.add_callback(_Report(on_step))
    checkpoint = job.checkpoint()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    loss_tokens, seen_tokens = tokens(history)
    kept: dict[str, Curve] = {
        ours: [entry.get(theirs) for entry in history]
        for theirs, ours in {"loss": "loss", **curves}.items()
        if theirs in history[-1]
    }
    result = TrainingResult(
        path=job.output,
        kind=job.inputs["kind"],
        steps=trainer.state.global_step,
        rows=rows,
        loss_tokens=loss_tokens,
        seen_tokens=seen_tokens,
        seconds=sum(entry["seconds"] for entry in history),
        dtype=str(dtype).removeprefix("torch."),
        seed=settings.seed,
        curves=kept,
        inputs=job.inputs,
    )
    staged = job.partial / "staged"
    trainer.save_model(str(staged))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        _keep_only_weights(staged, adapter=settings.tuning == "lora")
        job.finish(staged, result)
    trainer.accelerator.wait_for_everyone()
    return result


def _keep_only_weights(folder: Path, *, adapter: bool) -> None:
    """Remove pickles, boilerplate cards and frozen copies that the libraries save beside the weights."""
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        elif item.name in ("training_args.bin", "README.md") or (adapter and not item.name.startswith("adapter_")):
            item.unlink()
    if adapter:
        _sort_config(folder / "adapter_config.json")


def _sort_config(path: Path) -> None:
    """PEFT writes sets in whatever order they come; the same adapter shall be the same bytes."""
    config = json.loads(path.read_text())
    tidy = {key: sorted(value) if key == "target_modules" else value for key, value in config.items()}
    path.write_text(json.dumps(tidy, indent=2, sort_keys=True) + "\n")
