"""One training as a folder: recognised when it is done, continued when it was killed, refused when it was changed.

::

    adapter/                     appears at once, complete
    ├── adapter_config.json, adapter_model.safetensors      (or a whole model)
    └── result.json              what was trained on what, and how it went
    adapter.partial/             exists while the training is not done
    ├── job.json                 the inputs
    └── checkpoint-100/          `complete` stands in it once everything else does
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from fulcrum.errors import TrainingError

RESULT = "result.json"
COMPLETE = "complete"
"""Name of the empty file that `Job.checkpoint` looks for."""

OnStep = Callable[[int, int, Mapping[str, float]], None]
"""Called after each optimizer step with its number, the number of all steps, and the step's metrics."""

Told = tuple[str, int, int]
"""What a training in another process tells of a step: its name, the step, and how many steps there are."""

Curve = list[float | None]


def tell_steps(name: str, tell: Callable[[Told], None]) -> OnStep:
    """Return what tells another process about each step of a training."""

    def on_step(step: int, steps: int, metrics: Mapping[str, float]) -> None:
        tell((name, step, steps))

    return on_step


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came out of a training.

    Attributes:
        path: the adapter's or model's folder.
        kind: `sft`, `preference` or `policy`.
        steps: optimizer steps made.
        rows: rows given.
        loss_tokens: tokens that bore loss, counted each time they did.
        seen_tokens: tokens read, prompts included, padding not.
        seconds: time spent in steps, over all attempts.
        dtype: what matrix products were computed in.
        seed: as given.
        curves: `loss` and the kind's own metrics, one value a step.
        inputs: content hash of the model, rows and adapters, and every setting.
    """

    path: Path
    kind: str
    steps: int
    rows: int
    loss_tokens: int
    seen_tokens: int
    seconds: float
    dtype: str
    seed: int
    curves: Mapping[str, Curve]
    inputs: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the folder's place."""
        data = asdict(self)
        del data["path"]
        return data

    @classmethod
    def from_json(cls, path: Path, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; `path` is the folder that it was found in."""
        return cls(path=path, **data)


@dataclass(frozen=True, slots=True)
class Job:
    """A training with everything that decides its outcome.

    Attributes:
        output: folder that shall hold the result.
        inputs: values by name; two jobs with equal inputs give the same result.
    """

    output: Path
    inputs: Mapping[str, Any]

    @property
    def partial(self) -> Path:
        """Folder of the unfinished training."""
        return self.output.with_name(self.output.name + ".partial")

    def begin(self) -> TrainingResult | None:
        """Return the result if the training is done, else make the folder for checkpoints ready.

        Every process of a distributed training may call it at the same time.

        Raises:
            TrainingError: the output stems from other inputs, or is something else.
        """
        if (self.output / RESULT).exists():
            result = TrainingResult.from_json(self.output, _read(self.output / RESULT))
            self._check(result.inputs, f"{self.output} is a finished training")
            shutil.rmtree(self.partial, ignore_errors=True)
            return result
        if self.output.exists() and any(self.output.iterdir()):
            raise TrainingError(f"{self.output} exists and is no finished training; name another output folder")
        self.partial.mkdir(parents=True, exist_ok=True)
        record = self.partial / "job.json"
        if self.checkpoint() is not None:
            self._check(_read(record), f"{self.partial} is an unfinished training")
        draft = record.with_name(f"job.json.{os.getpid()}")
        draft.write_text(json.dumps(self.inputs, indent=2, sort_keys=True))
        draft.replace(record)
        return None

    def _check(self, before: Mapping[str, Any], found: str) -> None:
        changed = [
            f"{name} ({before.get(name)!r} -> {self.inputs.get(name)!r})"
            for name in sorted({*before, *self.inputs})
            if before.get(name) != self.inputs.get(name)
        ]
        if changed:
            raise TrainingError(
                f"{found} with other inputs; changed: {', '.join(changed)}. "
                "Change them back, name another output folder, or delete this one"
            )

    def checkpoint(self) -> Path | None:
        """Return the newest checkpoint that was written to its end."""
        complete = (mark.parent for mark in self.partial.glob(f"checkpoint-*/{COMPLETE}"))
        return max(complete, key=lambda folder: int(folder.name.removeprefix("checkpoint-")), default=None)

    def finish(self, staged: Path, result: TrainingResult) -> None:
        """Give the folder `staged`, which holds the trained weights, its result and its final name."""
        (staged / RESULT).write_text(json.dumps(result.to_json(), indent=1, sort_keys=True) + "\n")
        staged.replace(self.output)
        shutil.rmtree(self.partial)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise TrainingError(f"{path} is damaged: {error}; delete its folder to train again") from error
