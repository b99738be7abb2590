"""The classic alternative, as a control: the student tuned on the teacher's replies at the same turns."""

from collections.abc import Sequence
from pathlib import Path

from fulcrum.calls import RecordedModel
from fulcrum.chat import resolve
from fulcrum.evaluation.baselines import Direct
from fulcrum.strategies.bench import Bench
from fulcrum.training.rows import ChatRow, read_rows
from fulcrum.training.source import trainable_source, trained_name

REPLIES = "replies.jsonl"
"""File of a round: what the teacher said at every turn."""

_NAME = "fine-tuned"


def tune(bench: Bench, files: Sequence[Path]) -> None:
    """Train the student on the replies of all rounds; called again, it returns at once.

    Raises:
        ModelError: the student is not a model of this process, so that nothing here can train it.
        TrainingError: the training cannot work.
    """
    from fulcrum.training.sft import finetune  # torch is heavy

    rows = [row for file in files for row in read_rows(file, ChatRow)]
    source = trainable_source(bench.models["student"])
    training = bench.settings.training.model_copy(update={"seed": bench.seed})
    finetune(source, rows, _folder(bench), training, on_step=bench.run.on_step("student"))


def finetuned_student(bench: Bench) -> Direct:
    """Return the tuned student, which is given no strategy.

    Raises:
        ModelError: it cannot be loaded.
    """
    run = bench.run
    name = trained_name(bench.models["student"], _folder(bench), bench.settings.training.tuning)
    model = RecordedModel(resolve(name), "student", run.store, run.ledger, run.budget)
    return Direct(model, bench.sampling, name=_NAME)


def _folder(bench: Bench) -> Path:
    return bench.run.folder / "stages" / _NAME
