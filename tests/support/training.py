"""Rows, settings and probes that the tests of training share."""

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file

from fulcrum.chat.message import user
from fulcrum.training.rows import ChatRow, PreferenceRow


def chat_rows(count: int = 24) -> list[ChatRow]:
    """Return rows of very unequal length, whose answer depends on the prompt."""
    return [
        ChatRow((user(f"say {'ab'[i % 2] * (i % 5 + 1)}"),), f"{'ab'[i % 2]} " * (i * 7 % 11 + 1)) for i in range(count)
    ]


def preference_rows(count: int = 20) -> list[PreferenceRow]:
    """Return rows whose winners and losers are of very unequal length."""
    return [
        PreferenceRow(row.prompt, row.response, f"{'xy'[i % 2]} " * (i * 5 % 9 + 1))
        for i, row in enumerate(chat_rows(count))
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the trained weights in a folder."""
    (file,) = folder.glob("*model.safetensors")
    return load_file(file)


def assert_same_weights(one: Path, other: Path, tolerance: float = 0.0) -> None:
    """Compare the trained weights of two folders."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(
            tensor, second[name], atol=tolerance, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


class Interrupt:
    """An `on_step` that ends the training after some steps, as Ctrl-C would."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, step: int, steps: int, metrics: object) -> None:
        """Raise KeyboardInterrupt when the step is reached."""
        if step == self.after:
            raise KeyboardInterrupt


def keep_trainers(monkeypatch: Any, module: ModuleType) -> list[Any]:
    """Return a list that will hold every trainer that the module's function runs."""
    trainers: list[Any] = []
    run = module.run

    def keep(trainer: Any, *args: Any, **options: Any) -> Any:
        trainers.append(trainer)
        return run(trainer, *args, **options)

    monkeypatch.setattr(module, "run", keep)
    return trainers
