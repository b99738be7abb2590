"""One training of one mix, and how it did on dev: the unit of work that a killed run does not repeat."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from fulcrum.atomic import read_json, write_json
from fulcrum.calls import RecordedModel
from fulcrum.chat import Request, Sampling, resolve
from fulcrum.chat.huggingface import HuggingFaceModel
from fulcrum.errors import RunError
from fulcrum.evaluation.baselines import Direct
from fulcrum.evaluation.rollouts import SolverRollouts, roll_out
from fulcrum.evaluation.solver import Solver
from fulcrum.hashing import canonical_json
from fulcrum.leverage.anchor import Anchor
from fulcrum.leverage.general import GeneralRows, gold_row, load_general, task_rows
from fulcrum.leverage.ledger import count
from fulcrum.leverage.mix import MixedRow, fill, plan_mix, repeat
from fulcrum.leverage.settings import LeverageSettings
from fulcrum.leverage.solver import AnchoredModel
from fulcrum.leverage.tokens import Size, TokenCounter
from fulcrum.leverage.tries import Cell, Exposure, Trial
from fulcrum.runs import Run
from fulcrum.task import Split
from fulcrum.training.models import fingerprint
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.sft import Finetuning, finetune, finetune_job
from fulcrum.training.source import trainable_source, trained_name
from fulcrum.workers import processes_for, work_ahead

ROLE = "actor"

_OPENED = itertools.count()
"""Arms that share a training are opened side by side, each under a name of its own."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A tuned model and what is known about it without looking at the test split.

    Attributes:
        weights: folder of the adapter, or of the model.
        anchor: what it wants to see in use; None for nothing.
        learning_rate: with which it was trained.
        rows: rows trained on.
        mix_hash: hash of them, in order.
        score: mean score of the dev examples; an answer cut off counts nothing.
        cut_off: share that never ended.
        dev_loss: nats a token of the right dev answers.
        general_loss: nats a token of the held-out general rows.
        seconds: of training.
        ledger: see `fulcrum.leverage.ledger.TokenLedger`.
    """

    weights: Path
    anchor: Anchor | None
    learning_rate: float
    rows: int
    mix_hash: str
    score: float
    cut_off: float
    dev_loss: float
    general_loss: float
    seconds: float
    ledger: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what a finished trial left."""
        data = read_json(folder / "trial.json")
        anchor = Anchor(**data.pop("anchor")) if data["anchor"] else data.pop("anchor")
        return cls(weights=folder / "tuned", anchor=anchor, **data)

    @property
    def exposure(self) -> Exposure:
        """How much it trained on."""
        return Exposure(self.rows, self.ledger["repeats"])

    def facts(self) -> dict[str, Any]:
        """Return everything but the place of the weights."""
        data = asdict(self)
        del data["weights"]
        return data


class Bench:
    """What every trial of a run needs: rows, their sizes, the base model, and a place to work.

    Args:
        run: an open run of the method.

    Raises:
        SettingsError: rows do not fit the model, or general rows hold what the task tests.
        ModelError: the model cannot be trained here.
    """

    def __init__(self, run: Run) -> None:
        settings = run.recipe.settings
        assert isinstance(settings, LeverageSettings)
        self.run, self.settings, self.task = run, settings, run.task
        self.model_name = run.recipe.models[ROLE]
        self.source = trainable_source(self.model_name)
        self.counter = TokenCounter(self.source)
        self.max_tokens = settings.max_tokens or self.task.max_tokens
        self.greedy = Sampling(max_tokens=self.max_tokens)

    @cached_property
    def general(self) -> GeneralRows:
        """The general set, checked for leaks once."""
        rows = load_general(self.settings.general, self.task, self.settings.held_out, self.settings.general_leaks)
        self.counter.check("general", rows.rows)
        self.counter.check("held-out general", rows.held_out)
        if rows.dropped:
            self.run.log("general/leaks_dropped", rows=rows.dropped)
        return rows

    @cached_property
    def general_sizes(self) -> list[Size]:
        """Tokens of each general row."""
        return self.counter.sizes(self.general.rows)

    def task_rows(self, cell: Cell) -> list[ChatRow]:
        """Return the task rows of a cell, without anchor."""
        return task_rows(self.task, cell.task_rows, cell.seed, self.settings.order)

    def cell(self) -> Cell:
        """Return the cell that the settings name, with everything there is where they name no number."""
        size = self.settings.task_rows or len(self.task.examples("train"))
        general = self.settings.general_rows or len(self.general.rows)
        return Cell(size, min(general, len(self.general.rows)), self.run.recipe.seed)

    def check(self, trial: Trial) -> None:
        """Refuse rows of a trial that do not fit the model, in whatever wording of the anchor they stand.

        Raises:
            SettingsError: some are too long.
        """
        ours = self.task_rows(trial.cell)
        for anchor in trial.plan.wordings if trial.plan else (None,):
            self.counter.check("task", ours, anchor)
            if trial.anchored == "all":
                self.counter.check("general (placebo-all)", self.general.rows[: trial.cell.general_rows], anchor)

    def mix(self, trial: Trial) -> list[MixedRow]:
        """Return the rows of a trial, in the order of training.

        Raises:
            SettingsError: the rows cannot be mixed so, or do not fit the model.
        """
        self.check(trial)
        ours = self.task_rows(trial.cell)
        general = self.general.rows[: trial.cell.general_rows]
        if trial.mix:
            shown = [trial.plan.anchor.row(row) for row in ours] if trial.plan else ours
            loss = [size.loss for size in self.general_sizes[: len(general)]]
            slots = plan_mix([size.loss for size in self.counter.sizes(shown)], loss, trial.mix, trial.cell.seed)
        else:
            slots = (
                repeat("general", len(general), trial.length, trial.cell.seed)
                if trial.general_only
                else repeat("task", len(ours), trial.length, trial.cell.seed)
            )
        return fill(slots, ours, general, trial.plan, trial.cell.seed, trial.anchored)

    def exposure(self, trial: Trial) -> Exposure:
        """Return how much a trial trains on."""
        mix = self.mix(trial)
        seen = [mixed.slot.row for mixed in mix if mixed.slot.source == "task"]
        return Exposure(len(mix), len(seen) / max(1, len(set(seen))))

    def try_out(self, trial: Trial, role: str = ROLE) -> TrialResult:
        """Train, and measure on dev, its calls counted under a role; a trial that was done before is only looked up."""
        inputs = self._inputs(trial)
        return TrialResult.read(self.run.stage("trial", inputs, lambda folder: self._work(trial, folder, role)))

    def train_ahead(self, trials: Sequence[Trial]) -> None:
        """Train side by side what can be; `try_out` then only measures it."""
        if processes_for(len(trials), self.counter.parameters) == 1:
            return  # `try_out` will do it; there is no need to mix the rows of all trials before
        folders = {self.run.stage_folder("trial", self._inputs(trial)): trial for trial in trials}

        def work(_: Path) -> None:
            jobs: list[Finetuning] = []
            for folder, trial in folders.items():
                if not (tuned := folder / "tuned").exists():
                    rows = [mixed.row for mixed in self.mix(trial)]
                    name = f"{ROLE} {len(jobs) + 1}"
                    jobs.append(Finetuning(name, self.source, rows, tuned, self._training(trial)))
            work_ahead(finetune_job, jobs, self.counter.parameters, self.run.hear_step)

        self.run.stage("train-ahead", {"trials": [folder.name for folder in folders]}, work)

    def _inputs(self, trial: Trial) -> dict[str, Any]:
        return {
            **trial.to_json(),
            "model": self.fingerprint,
            "task": self.task.fingerprint,
            "general": self.general.fingerprint,
            "order": self.settings.order,
            "training": self.settings.training.model_dump(mode="json"),
            "max_tokens": self.max_tokens,
            "dev_rows": self.settings.tune.dev_rows,
        }

    def _training(self, trial: Trial) -> TrainingSettings:
        own = {"shuffle": False, "learning_rate": trial.learning_rate, "seed": trial.cell.seed}
        return self.settings.training.model_copy(update=own)

    def _work(self, trial: Trial, folder: Path, role: str) -> None:
        mix, training = self.mix(trial), self._training(trial)
        rows = [mixed.row for mixed in mix]
        result = finetune(self.source, rows, folder / "tuned", training, on_step=self.run.on_step(ROLE))
        anchor = trial.plan.anchor if trial.plan and not trial.plan.cooldown else None
        ledger = count(
            mix,
            self.counter.sizes(rows),
            self.counter.sizes(self.task_rows(trial.cell)),
            self.general_sizes,
            batch_size=training.batch_size,
            parameters=self.counter.parameters,
            full=training.tuning == "full",
        )
        model = self.open(folder / "tuned", anchor)
        measured = self.measure(model, "dev", self.settings.tune.dev_rows, role)
        facts = {
            "anchor": asdict(anchor) if anchor else None,
            "learning_rate": trial.learning_rate,
            "rows": len(rows),
            "mix_hash": mix_hash(mix),
            "score": mean_score(measured),
            "cut_off": cut_off_share(measured),
            "dev_loss": self.task_loss(model),
            "general_loss": self.general_loss(model),
            "seconds": round(result.seconds, 1),
            "ledger": ledger.to_json(),
        }
        model.close()
        write_json(folder / "trial.json", facts)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the untuned model."""
        return fingerprint(self.source)

    def open(self, weights: Path | None, anchor: Anchor | None = None) -> "Opened":
        """Open a tuned model, or the untuned one, to be asked with an anchor.

        Adapters share the one base model that the run holds; a model tuned in full is a model of its own.
        """
        if weights is None or self.settings.training.tuning == "lora":
            model = self.run.model(ROLE).model
            assert isinstance(model, HuggingFaceModel)
            if weights is None:
                return Opened(model, None, anchor)
            adapter = f"{weights.relative_to(self.run.folder)} {next(_OPENED)}"
            model.load_adapter(adapter, weights)
            return Opened(model, adapter, anchor)
        model = resolve(trained_name(self.model_name, weights, "full"))
        assert isinstance(model, HuggingFaceModel)
        return Opened(model, None, anchor, owned=True)

    def recorded(self, opened: "Opened", role: str = ROLE) -> AnchoredModel:
        """Return a model that sees its anchor, and whose calls are stored with the anchor in them."""
        run = self.run
        model = RecordedModel(opened.model, role, run.store, run.ledger, run.budget)
        return AnchoredModel(model, opened.anchor, opened.adapter, self.opener_tokens(opened.anchor))

    def opener_tokens(self, anchor: Anchor | None) -> int:
        """Return the tokens that a model spends on an anchor that opens its answers."""
        return self.counter.text(anchor.opener) if anchor else 0

    def measure(self, opened: "Opened", split: Split, limit: int | None = None, role: str = ROLE) -> SolverRollouts:
        """Let a model answer a split, greedily."""
        return self.roll_out(Direct(self.recorded(opened, role), self.greedy, name="tuned"), split, limit)

    def roll_out(self, solver: Solver, split: Split, limit: int | None = None) -> SolverRollouts:
        """Let a solver answer a split, or its first questions."""
        run = self.run
        return roll_out(
            solver,
            self.task,
            split,
            role="method",
            ledger=run.ledger,
            budget=run.budget,
            seed=run.recipe.seed,
            limit=limit,
        )

    def dev_rows(self) -> list[ChatRow]:
        """Return the dev examples to choose by, with their right answers.

        Raises:
            SettingsError: some do not fit the model.
        """
        examples = self.task.examples("dev")[: self.settings.tune.dev_rows]
        rows = [gold_row(self.task, example) for example in examples]
        self.counter.check("dev", rows)
        return rows

    def task_loss(self, opened: "Opened") -> float:
        """Return the loss of the right dev answers, in nats a token."""
        anchor = opened.anchor
        return opened.loss([anchor.row(row) for row in self.dev_rows()] if anchor else self.dev_rows())

    def general_loss(self, opened: "Opened") -> float:
        """Return the loss of the held-out general rows, which carry no anchor, in nats a token."""
        return opened.loss(self.general.held_out)


@dataclass(frozen=True, slots=True)
class Opened:
    """A model in memory, tuned or not.

    Attributes:
        model: its weights.
        adapter: name of the adapter that answers; None for the model itself.
        anchor: what prompts of the task carry.
        owned: true if nobody else uses these weights.
    """

    model: HuggingFaceModel
    adapter: str | None
    anchor: Anchor | None
    owned: bool = False

    def loss(self, rows: Sequence[ChatRow]) -> float:
        """Return the mean loss over all answer tokens of the rows, the stop token included, in nats."""
        requests = [Request(row.prompt, adapter=self.adapter) for row in rows]
        tokens = self.model.logprob(requests, [row.response for row in rows])
        return -sum(map(sum, tokens)) / sum(map(len, tokens))

    def close(self) -> None:
        """Free what is not shared."""
        if self.adapter:
            self.model.unload_adapter(self.adapter)
        if self.owned:
            self.model.close()


def scores_of(rollouts: SolverRollouts) -> dict[str, float]:
    """Return the score of each question, one that was not answered to its end counting nothing.

    Elsewhere a failed call is left out, since it says nothing about an answer. Here the model is the one that is
    tuned: if it never ends, it has not learnt its task, and no arm shall gain by rambling. An answer that a judge
    failed to judge is left out here too.

    Raises:
        RunError: no answer could be judged.
    """
    found = {
        rollout.question_id: rollout.score.value or 0.0
        for rollout in rollouts.rollouts
        if rollout.score.details.get("of") != "judge"
    }
    if not found:
        raise RunError(f"{rollouts.rollouts[0].score.feedback}: no answer could be judged; mend the judge, run again")
    return found


def mean_score(rollouts: SolverRollouts) -> float:
    """Return the mean of `scores_of`."""
    return fmean(scores_of(rollouts).values())


def cut_off_share(rollouts: SolverRollouts) -> float:
    """Return the share of questions whose answer was cut off at the token limit."""
    cut = sum(rollout.score.details.get("failure") == "truncated" for rollout in rollouts.rollouts)
    return cut / len(rollouts.rollouts)


def mix_hash(mix: Sequence[MixedRow]) -> str:
    """Return the hash of the rows in their order."""
    digest = hashlib.sha256()
    for row in mix:
        digest.update(canonical_json(row.to_json()).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()[:16]
