"""What a run folder holds, read once for the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fulcrum.atomic import read_json
from fulcrum.calls import CallStore, Prices
from fulcrum.errors import FulcrumError
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.table import EvaluationRow, read_evaluation
from fulcrum.hashing import file_hash
from fulcrum.runs.catalog import read_resolved, reopen
from fulcrum.runs.run import read_events
from fulcrum.runs.transfer import TransferCell, read_transfer
from fulcrum.task import Question


@dataclass(frozen=True, slots=True)
class RoleSpend:
    """What one model took in one role, over the whole run."""

    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What `fulcrum evaluate` measured: the rows, and the attempts behind them."""

    rows: list[EvaluationRow]
    results: list[SolverRollouts]


@dataclass(frozen=True)
class RunSource:
    """A run folder as the page needs it.

    Attributes:
        folder: where it is.
        resolved: its settings.
        environment: packages and machine.
        commands: the command that began it, and every other that worked on it since.
        recipe: the recipe file as given; empty if all came from flags.
        learned: false while training is unfinished.
        stages: name and seconds of each finished stage, in the order of work.
        spend: what each role took.
        evaluated: what was measured; None before `fulcrum evaluate`.
        transferred: what was learned for other models and on other tasks; empty if that was never measured.
        card: the artifact's README, None if there is no artifact.
        artifact_hash: content hash of the artifact, None likewise.
        questions: the task's questions by id; empty if the task cannot be loaded.
        why_no_questions: why it cannot be loaded; empty if it was.
    """

    folder: Path
    resolved: Mapping[str, Any]
    environment: Mapping[str, Any]
    commands: list[str]
    recipe: str
    learned: bool
    stages: list[tuple[str, float]]
    spend: list[RoleSpend]
    evaluated: Evaluated | None
    transferred: list[TransferCell]
    card: str | None
    artifact_hash: str | None
    questions: Mapping[str, Question]
    why_no_questions: str

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name


def read_run(folder: Path) -> RunSource:
    """Read a run folder; nothing is called and nothing is written.

    Raises:
        RunError: the folder is not a run, or a file in it is damaged.
    """
    resolved = read_resolved(folder)
    questions: dict[str, Question] = {}
    prices, why_no_questions = Prices(), ""
    try:
        recipe = reopen(folder)
        task, prices = recipe.task, recipe.prices
        questions = {example.id: task.question(example) for split in task.splits.values() for example in split}
    except FulcrumError as error:  # a run copied from elsewhere has a report all the same
        why_no_questions = str(error)
    events = list(read_events(folder))
    stages = {event["stage"]: event["seconds"] for event in events if event["event"] == "stage/finished"}
    began = (folder / "command.txt").read_text(encoding="utf-8").strip()
    artifact, card = folder / "artifact", folder / "artifact" / "README.md"
    evaluated = (folder / "evaluation.json").is_file()
    return RunSource(
        folder=folder,
        resolved=resolved,
        environment=read_json(folder / "environment.json"),
        commands=list(dict.fromkeys([began, *(e["command"] for e in events if e["event"] == "sitting/start")])),
        recipe=(folder / "recipe.toml").read_text(encoding="utf-8").strip(),
        learned=any(event["event"] == "learned" for event in events),
        stages=list(stages.items()),
        spend=_spend(folder / "calls.sqlite", prices),
        evaluated=Evaluated(read_evaluation(folder / "evaluation.json"), read_results(folder)) if evaluated else None,
        transferred=read_transfer(folder),
        card=card.read_text(encoding="utf-8") if card.is_file() else None,
        artifact_hash=file_hash(artifact) if artifact.is_dir() else None,
        questions=questions,
        why_no_questions=why_no_questions,
    )


def _spend(calls: Path, prices: Prices) -> list[RoleSpend]:
    if not calls.is_file():
        return []
    with CallStore(calls, read_only=True) as store:
        return [
            RoleSpend(
                paid.role,
                paid.model,
                paid.calls,
                paid.prompt_tokens,
                paid.completion_tokens,
                paid.seconds,
                prices.cost(paid.model, paid.prompt_tokens, paid.completion_tokens),
            )
            for paid in store.paid()
        ]
