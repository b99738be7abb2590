# pyright: basic
"""Makes a checkpoint of the lab from nothing: `fulcrum lab pretrain NAME`.

The text of a step is a pure function of seed and step, and the state (weights, optimizer, step) is saved
atomically, so a training killed at any moment goes on to the same weights as one that was left alone.
"""

import logging
import os
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig

from fulcrum.atomic import read_json, write_json
from fulcrum.errors import TrainingError
from fulcrum.hardware import choose_dtype
from fulcrum.hashing import seed_from
from fulcrum.lab import attention
from fulcrum.lab.corpus import Mixture
from fulcrum.lab.optimizer import Muon
from fulcrum.lab.recipes import FOLDER, CheckpointRecipe, recipe
from fulcrum.lab.tokenizer import END, PAD, load_tokenizer, segments

logger = logging.getLogger(__name__)

ROW, ROWS = 768, 6
"""Tokens in a row, and rows in a step: 4,608 tokens. What lies beyond a row's length no checkpoint learns to read."""

PROMPT_WEIGHT = 0.1
"""Weight of the loss on tokens that are not an assistant's: a little, so that reading is learnt sooner."""

WARMUP = 40
DRILL_STEPS = 280
"""Steps of each drill at the start of a training (see `CheckpointRecipe`), but for those that it has read before."""

FURTHER_RATE = 0.5
"""Learning rate of a training that goes on from another, as a share of a first one's."""

HELD_OUT_SEED = -1


@dataclass
class Progress:
    """Where a training stands; part of its saved state."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float | None = None


def pretrain(
    name: str,
    output: Path,
    steps: int | None = None,
    minutes: float | None = None,
    start: str | None = None,
    device: str = "cpu",
    compiled: bool = False,
    save_every: float = 120.0,
    log_every: int = 20,
) -> Path:
    """Train a checkpoint and write it to `output/checkpoint`; continues where a killed training stood.

    Args:
        name: a name of `fulcrum.lab.recipes.RECIPES`.
        output: folder of the training, with its state and the finished checkpoint.
        steps: optimizer steps; the recipe's if not given.
        minutes: end within so many minutes of training even if that is fewer steps; the learning rate then
            falls with the clock, and the weights depend on the machine's speed. May be changed on the way.
        start: an installed checkpoint such as `lab:large`, or a folder, to go on from, on text that it has not
            read; of one with more layers than this one has, evenly spaced ones are kept. None starts from random
            weights.
        device: where to train.
        compiled: use `torch.compile` (needs a C++ compiler).
        save_every: seconds between saved states.
        log_every: steps between log lines.

    Returns:
        The folder of the checkpoint, in bfloat16 safetensors, with tokenizer and `training.json`.

    Raises:
        ModelError: the lab has no such checkpoint.
        TrainingError: the loss is not a number, or `output` holds a training with other settings.
    """
    made_by = recipe(name)
    total = steps or made_by.steps
    first = _start_folder(start) if start else None
    output.mkdir(parents=True, exist_ok=True)
    before = _before(output / "start.json", first)
    earlier = Progress(**before["progress"])
    drills = {known: drill for drill in made_by.drills if (known := drill_name(drill)) not in before["drills"]}
    lessons = [*drills.values(), made_by.mixture]
    settings = {"name": name.removeprefix("lab:"), "steps": total, "row": ROW, "rows": ROWS}
    settings["start"] = start
    _check_settings(output / "settings.json", settings)
    tokenizer = load_tokenizer()
    model = build_model(made_by, tokenizer, first).to(device)
    optimizers = _optimizers(model)
    progress = _restore(output / "state.pt", model, optimizers)
    if torch.device(device).type == "cpu":
        model.set_attn_implementation(attention.NAME)
    forward = torch.compile(model) if compiled else model
    native = choose_dtype(device) == torch.bfloat16
    amp = torch.autocast(device_type=torch.device(device).type, dtype=torch.bfloat16, enabled=native)
    held_out = [part.to(device) for part in batch_of(made_by, tokenizer, HELD_OUT_SEED)]
    began, saved = time.monotonic() - progress.seconds, time.monotonic()
    recent: list[float] = []
    model.train()
    while True:
        progress.seconds = time.monotonic() - began
        done = max(progress.step / total, progress.seconds / (minutes * 60) if minutes else 0.0)
        if done >= 1.0:
            break
        rate = min(1.0, (progress.step + 1) / WARMUP) * max(0.0, 1.0 - done) * (FURTHER_RATE if first else 1.0)
        text = replace(made_by, mixture=lessons[min(progress.step // DRILL_STEPS, len(lessons) - 1)])
        tokens, weights = (part.to(device) for part in batch_of(text, tokenizer, earlier.step + progress.step))
        with amp:
            loss, _ = weighted_loss(forward, tokens, weights)
        loss.backward()
        if not torch.isfinite(loss):
            raise TrainingError(f"lab:{settings['name']}: the loss is {loss.item()} at step {progress.step}")
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        progress.tokens += tokens.numel()
        progress.seconds = time.monotonic() - began
        recent.append(loss.item())
        if progress.step % log_every == 0:
            progress.loss = sum(recent) / len(recent)
            recent.clear()
            _log(model, held_out, progress, total, amp)
        if time.monotonic() - saved > save_every:
            _save(output / "state.pt", model, optimizers, progress)
            saved = time.monotonic()
    _save(output / "state.pt", model, optimizers, progress)
    whole = Progress(
        earlier.step + progress.step,
        earlier.tokens + progress.tokens,
        earlier.seconds + progress.seconds,
        progress.loss,
    )
    options = {"steps": steps, "minutes": minutes, "start": start, "device": None if device == "cpu" else device}
    said = [f"--{option} {value}" for option, value in options.items() if value is not None]
    command = " ".join(["fulcrum lab pretrain", str(settings["name"]), *said, *(["--compiled"] if compiled else [])])
    if "command" in before:
        # What it goes on from is looked for where `--install` puts it.
        command = f"{before['command'].removesuffix(' --install')} --install && {command}"
    done = list(drills)[: progress.step // DRILL_STEPS]
    facts = {"command": command, "drills": [*before["drills"], *done], "progress": asdict(whole)}
    return _export(output / "checkpoint", model, tokenizer, device, facts)


def drill_name(drill: Mixture) -> str:
    """Return the topics of a drill, such as `word_lookups+guidance_lookups`."""
    return "+".join(topic.__name__ for topic in drill)


def build_model(made_by: CheckpointRecipe, tokenizer: Any, start: Path | None = None) -> Any:
    """Return the model of a recipe: from the folder `start`, or untrained, with weights that its seed decides."""
    if start:
        return _shallower(AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32), made_by.layers)
    shared: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": made_by.width,
        "num_hidden_layers": made_by.layers,
        "num_attention_heads": made_by.heads,
        "max_position_embeddings": 1024,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids(END),
        "pad_token_id": tokenizer.convert_tokens_to_ids(PAD),
    }
    if made_by.architecture == "gpt_neox":
        config = GPTNeoXConfig(**shared, intermediate_size=4 * made_by.width)
    else:
        inner = round(made_by.width * 8 / 3 / 32) * 32
        config = LlamaConfig(**shared, intermediate_size=inner, tie_word_embeddings=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed_from("weights", made_by.seed))
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _before(path: Path, first: Path | None) -> dict[str, Any]:
    """Return what training the checkpoint to go on from has had; kept, for another may be installed in its place."""
    if first and not path.exists():
        write_json(path, read_json(first / "training.json"))
    return {"progress": {}, "drills": [], **(read_json(path) if first else {})}


def steps_behind(start: str) -> int:
    """Return the steps that the checkpoint `start` was trained for, all its trainings together."""
    return read_json(_start_folder(start) / "training.json")["progress"]["step"]


def _start_folder(start: str) -> Path:
    return FOLDER / start.removeprefix("lab:") if start.startswith("lab:") else Path(start)


def _shallower(model: Any, layers: int) -> Any:
    """Keep so many blocks of a Llama, evenly spaced, the first and the last among them."""
    blocks: list[Any] = list(model.model.layers)
    if layers < len(blocks):
        kept = [blocks[round(place * (len(blocks) - 1) / (layers - 1))] for place in range(layers)]
        for place, block in enumerate(kept):
            block.self_attn.layer_idx = place  # where its keys lie in the cache
        model.model.layers = torch.nn.ModuleList(kept)
        model.config.num_hidden_layers = layers
        if getattr(model.config, "layer_types", None):
            model.config.layer_types = model.config.layer_types[:layers]
    return model


def batch_of(made_by: CheckpointRecipe, tokenizer: Any, step: int) -> tuple[Tensor, Tensor]:
    """Return the tokens of a step and the loss weight of each, both `[ROWS, ROW]`: a function of seed and step."""
    rng = random.Random(seed_from("text", made_by.seed, step))
    rows = [_row(made_by, tokenizer, rng) for _ in range(ROWS)]
    return torch.tensor([row for row, _ in rows]), torch.tensor([weights for _, weights in rows])


def _row(made_by: CheckpointRecipe, tokenizer: Any, rng: random.Random) -> tuple[list[int], list[float]]:
    """Return one row of whole conversations, the last one cut off where the row ends."""
    tokens: list[int] = []
    weights: list[float] = []
    for ids, spoken in _stream(made_by, tokenizer, rng):
        tokens += ids
        weights += [1.0 if spoken or made_by.plain else PROMPT_WEIGHT] * len(ids)
        if len(tokens) >= ROW:
            return tokens[:ROW], weights[:ROW]
    raise AssertionError("the stream of text has no end")


def _stream(made_by: CheckpointRecipe, tokenizer: Any, rng: random.Random) -> Iterator[tuple[list[int], bool]]:
    topics, shares = list(made_by.mixture), list(made_by.mixture.values())
    while True:
        parts = segments(rng.choices(topics, shares)[0](rng))
        if made_by.plain:
            parts = parts[1:]
        encoded = tokenizer([text for text, _ in parts], add_special_tokens=False)["input_ids"]
        yield from ((ids, spoken) for ids, (_, spoken) in zip(encoded, parts, strict=True))


def weighted_loss(model: Any, tokens: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean loss of next-token prediction, and whether each token was the likeliest one."""
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].float()
    targets, weights = tokens[:, 1:], weights[:, 1:]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    with torch.no_grad():
        hits = logits.argmax(-1) == targets
    return (losses * weights.flatten()).sum() / weights.sum(), hits


def spoken_exact(hits: Tensor, weights: Tensor) -> float:
    """Return the share of whole assistant turns in which every token was the likeliest: greedy exact match."""
    right = total = 0
    for row_hits, row in zip(hits.tolist(), weights[:, 1:].tolist(), strict=True):
        turn: list[bool] = []
        for hit, weight in zip(row_hits, row, strict=True):
            if weight == 1.0:
                turn.append(hit)
            elif turn:
                right, total, turn = right + all(turn), total + 1, []
    return right / max(1, total)


def _optimizers(model: Any) -> list[tuple[torch.optim.Optimizer, float]]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    ids = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    return [
        (Muon(matrices, lr=0.02), 0.02),
        (torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0), 3e-3),
    ]


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    if not path.exists():
        write_json(path, settings)
        return
    before = read_json(path)
    changed = [key for key, value in settings.items() if before.get(key) != value]
    if changed:
        what = ", ".join(f"{key}: {before.get(key)!r} before, {settings[key]!r} now" for key in changed)
        raise TrainingError(f"{path.parent}: holds a training with other settings ({what}); choose another folder")


def _restore(path: Path, model: Any, optimizers: list[tuple[torch.optim.Optimizer, float]]) -> Progress:
    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for (optimizer, _), saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    logger.info("continuing at step %d", state["progress"]["step"])
    return Progress(**state["progress"])


def _save(path: Path, model: Any, optimizers: list[tuple[torch.optim.Optimizer, float]], progress: Progress) -> None:
    draft = path.with_suffix(".draft")
    state = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer, _ in optimizers],
        "progress": asdict(progress),
    }
    torch.save(state, draft)
    os.replace(draft, path)


@torch.no_grad()
def _log(model: Any, held_out: list[Tensor], progress: Progress, total: int, amp: Any) -> None:
    with amp:
        loss, hits = weighted_loss(model, *held_out)
    logger.info(
        "step %d/%d  loss %.3f  held-out %.3f  turns exact %.3f  %.2f M tokens  %.0f tokens/s  %.1f min",
        progress.step,
        total,
        progress.loss,
        loss.item(),
        spoken_exact(hits, held_out[1]),
        progress.tokens / 1e6,
        progress.tokens / progress.seconds,
        progress.seconds / 60,
    )


def _export(folder: Path, model: Any, tokenizer: Any, device: str, facts: dict[str, Any]) -> Path:
    """Write the checkpoint, and beside it what training it has had in all."""
    parameters = model.num_parameters()
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    machine = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{os.cpu_count()} CPU cores"
    write_json(
        folder / "training.json",
        {**facts, "parameters": parameters, "machine": machine, "torch": torch.__version__},
    )
    return folder
