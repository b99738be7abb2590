"""Tokens a second of supervised training against a bare PyTorch loop, and plain TRL, on the same rows.

    OMP_NUM_THREADS=2 python benchmarks/training_speed.py

A Llama of six layers of 256 (5 million parameters) with random weights. TRL trains with its defaults, but for what
makes the work the same: batch, steps, no files. So it computes in bfloat16, slow on a CPU without it, and recomputes
activations. Writes benchmarks/results/training-speed.json.
"""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _result import record
from datasets import Dataset
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from fulcrum.chat import user
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.sft import finetune

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.tiny import tiny_tokenizer

STEPS = 12
BATCH = 16
WORDS = 60


def build(folder: Path) -> None:
    """Save the model that both sides train."""
    tokenizer = tiny_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=8,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)


def rows() -> list[ChatRow]:
    rng = random.Random(0)
    return [
        ChatRow((user("Count on."),), " ".join(str(rng.randrange(100)) for _ in range(WORDS)))
        for _ in range(STEPS * BATCH)
    ]


def bare_loop(model_folder: Path, length: int) -> float:
    """Return tokens a second of forward, backward and AdamW alone, on rows of one length."""
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(0, model.config.vocab_size, (BATCH, length))
    started, counted = 0.0, 0
    for step in range(STEPS):
        if step == 1:  # the first step warms up
            started = time.perf_counter()
        model(input_ids=tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        counted += tokens.numel() if step else 0
    return counted / (time.perf_counter() - started)


def plain_trl(model_folder: Path, output: Path) -> float:
    """Return tokens a second of TRL's `SFTTrainer` with its defaults, the first step left out."""
    ticks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            ticks.append(time.perf_counter())

    chats = [{"messages": [*row.to_json()["prompt"], *row.to_json()["completion"]]} for row in rows()]
    trainer = SFTTrainer(
        str(model_folder),
        args=SFTConfig(
            str(output),
            per_device_train_batch_size=BATCH,
            max_steps=STEPS,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=Dataset.from_list(chats),
        callbacks=[Clock()],
    )
    trainer.train()
    read = sum(len(row["input_ids"]) for row in trainer.train_dataset)
    return read / STEPS * (STEPS - 1) / (ticks[-1] - ticks[0])


def ours(model_folder: Path, output: Path) -> tuple[float, int]:
    """Return tokens a second of `finetune`, the first step left out, and the tokens of a row."""
    ticks: list[float] = []
    settings = TrainingSettings(
        tuning="full", batch_size=BATCH, micro_batch_size=BATCH, dtype="float32", checkpoint_every=10_000
    )
    result = finetune(str(model_folder), rows(), output, settings, on_step=lambda *_: ticks.append(time.perf_counter()))
    length = result.seen_tokens // (STEPS * BATCH)
    return (len(ticks) - 1) * BATCH * length / (ticks[-1] - ticks[0]), length


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        build(model)
        speed, length = ours(model, Path(folder) / "tuned")
        trl = plain_trl(model, Path(folder) / "trl")
        bare = bare_loop(model, length)
    record(
        "training-speed",
        "OMP_NUM_THREADS=2 python benchmarks/training_speed.py",
        threads=torch.get_num_threads(),
        tokens_in_a_row=length,
        tokens_per_second={
            "bare PyTorch loop": round(bare),
            "fulcrum.training.sft": round(speed),
            "TRL's SFTTrainer, defaults": round(trl),
        },
        overhead=round(bare / speed - 1, 3),
    )


if __name__ == "__main__":
    main()
