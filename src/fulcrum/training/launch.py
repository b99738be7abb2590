"""Run one training from a file, so that any launcher can start it on many devices.

::

    accelerate launch --num_processes 8 -m fulcrum.training.launch JOB.json

`JOB.json` holds the arguments of `finetune`, `prefer` or `optimise` (``"kind": "sft" | "preference" | "policy"``) with
the rows as a JSONL file. Every process runs it; the first one writes.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from fulcrum.errors import FulcrumError, SettingsError
from fulcrum.lazy import load
from fulcrum.settings import Settings
from fulcrum.training.job import TrainingResult
from fulcrum.training.rows import ChatRow, PreferenceRow, PromptRow, read_rows
from fulcrum.training.settings import PolicySettings, PreferenceSettings, TrainingSettings


class _Common(Settings):
    model: str
    rows: Path
    output: Path
    adapter: Path | None = None


class SupervisedJob(_Common):
    """Arguments of `fulcrum.training.sft.finetune`."""

    kind: Literal["sft"]
    settings: TrainingSettings = TrainingSettings()

    def run(self) -> TrainingResult:
        """Train."""
        finetune = load("fulcrum.training.sft:finetune")
        rows = read_rows(self.rows, ChatRow)
        return finetune(self.model, rows, self.output, self.settings, adapter=self.adapter)


class PreferenceJob(_Common):
    """Arguments of `fulcrum.training.preference.prefer`."""

    kind: Literal["preference"]
    settings: PreferenceSettings = PreferenceSettings()
    reference: Literal["start", "base"] | Path = "start"

    def run(self) -> TrainingResult:
        """Train."""
        prefer = load("fulcrum.training.preference:prefer")
        rows = read_rows(self.rows, PreferenceRow)
        options = {"adapter": self.adapter, "reference": self.reference}
        return prefer(self.model, rows, self.output, self.settings, **options)


class PolicyJob(_Common):
    """Arguments of `fulcrum.training.policy.optimise`; the reward is named `module:function`."""

    kind: Literal["policy"]
    settings: PolicySettings = PolicySettings()
    reward: str
    cut_reward: float | None = None

    def run(self) -> TrainingResult:
        """Train."""
        optimise = load("fulcrum.training.policy:optimise")
        prompts = [row.prompt for row in read_rows(self.rows, PromptRow)]
        options = {"cut_reward": self.cut_reward, "adapter": self.adapter}
        return optimise(self.model, prompts, load(self.reward), self.output, self.settings, **options)


AnyJob = SupervisedJob | PreferenceJob | PolicyJob


def read_job(path: Path) -> AnyJob:
    """Read a job file.

    Raises:
        SettingsError: it cannot be read or something in it is wrong; one line for each problem.
    """
    try:
        return TypeAdapter[AnyJob](Annotated[AnyJob, Field(discriminator="kind")]).validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the training job: {error}") from error
    except ValidationError as error:
        problems = (f"{path}: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise SettingsError("\n".join(problems)) from error


def main(arguments: list[str]) -> int:
    """Run the job named by the only argument; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m fulcrum.training.launch JOB.json\n")
        return 2
    try:
        read_job(Path(arguments[0])).run()
    except FulcrumError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
