"""The steps of the algorithm in `fulcrum.supplement.learn`, each a stage of the run."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from fulcrum.atomic import read_json, write_json
from fulcrum.chat import ChatModel, Sampling
from fulcrum.errors import TrainingError
from fulcrum.evaluation.baselines import Direct
from fulcrum.evaluation.pairing import outcomes, pair
from fulcrum.evaluation.rollouts import Rollout, roll_out
from fulcrum.evaluation.solver import Solver
from fulcrum.runs import Run
from fulcrum.supplement.bench import Bench
from fulcrum.supplement.forms import NONE, Supplement
from fulcrum.supplement.labels import (
    Option,
    Pair,
    Rule,
    examples_to_imitate,
    flip_rate,
    form_entropy,
    preference_pairs,
    usable_share,
)
from fulcrum.supplement.reasons import hopeless, nothing_to_learn
from fulcrum.supplement.schedule import Pool, allowance, collect, questions_to_try, round_pool
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.solver import Supplemented
from fulcrum.supplement.trainers import Trainers, Weights
from fulcrum.supplement.trials import State, Trial, actor_calls, read_trials, write_trials
from fulcrum.supplement.wording import WORDINGS
from fulcrum.supplement.writer import SupplementWriter, writer_of
from fulcrum.task.split import sample_by_hash

TRIALS = "trials.jsonl"
GENERATOR = "generator"


class Steps:
    """The steps of the algorithm, each a stage of the run.

    Args:
        run: whose models, task and folder.
        settings: of the method.
    """

    def __init__(self, run: Run, settings: SupplementSettings) -> None:
        self._run = run
        self._settings = settings
        self._rule = Rule(settings.labels, settings.margin)
        self._trainers = Trainers(run, settings)
        self._bench = Bench(
            task=run.task,
            actor=run.model("actor"),
            sampling=Sampling(
                settings.label_temperature,
                max_tokens=settings.answer_tokens or run.task.max_tokens,
                seed=run.recipe.seed,
            ),
            samples=settings.label_samples,
            wording=WORDINGS[settings.wording],
            when=settings.when,
            budget=run.budget,
        )

    @cached_property
    def _unhelped(self) -> list[Trial]:
        examples = self._run.task.examples("train")
        count = min(self._settings.queries or len(examples), len(examples))
        queries = [example.id for example in sample_by_hash(examples, count, self._run.recipe.seed)]
        folder = self._run.stage(
            "alone", {"queries": queries}, lambda folder: write_trials(folder / TRIALS, self._bench.alone(queries))
        )
        return read_trials(folder / TRIALS)

    @cached_property
    def _alone(self) -> dict[str, float]:
        """Line 1: the actor's mean score without help."""
        return {trial.query: fmean(trial.scored) for trial in self._unhelped if trial.scored}

    def refuse_hopeless(self) -> None:
        """Stop before anything more is paid, if no supplement can help.

        Raises:
            TrainingError: with the reason, and what to change.
        """
        if reason := hopeless(self._alone, self._unhelped):
            raise TrainingError(reason)

    def why_nothing(self, pool: Sequence[Trial]) -> str:
        """Return why a pool teaches nothing."""
        return nothing_to_learn(self._alone, pool, {trial.query: trial.answers for trial in self._unhelped})

    def try_out(
        self, name: str, weights: Weights, pool: Pool, winners: Mapping[str, Sequence[Supplement]]
    ) -> list[Trial]:
        """Lines 2 and 5: let the generator write, and the actor answer."""

        def work(folder: Path) -> None:
            with weights.opened(self._run) as model:
                writer = self._writer(model, self._settings.temperature)
                write_trials(
                    folder / TRIALS,
                    collect(
                        self._bench,
                        writer,
                        pool,
                        self._alone,
                        self._settings,
                        self._rule,
                        winners,
                        self._run.recipe.seed,
                    ),
                )

        folder = self._run.stage(f"{name}-pool", {"pool": name, "generator": _stage_of(weights)}, work)
        return read_trials(folder / TRIALS)

    def worth_imitating(self, pool: Sequence[Trial]) -> list[tuple[State, Supplement]]:
        """Line 3: the supplements that helped, no form dominating."""
        share, seed = self._settings.solved_share, self._run.recipe.seed
        return examples_to_imitate(self._rule, self._options(pool), self._alone, share, seed)

    def pairs(self, pool: Sequence[Trial]) -> list[Pair]:
        """Line 6."""
        settings = self._settings
        options = self._options(pool)
        return preference_pairs(self._rule, options, settings.pairs, settings.solved_share, self._run.recipe.seed)

    def imitate(self, name: str, weights: Weights, examples: Sequence[tuple[State, Supplement]]) -> Weights:
        """Line 3: supervised finetuning."""
        return self._trained(name, weights, lambda folder: self._trainers.imitate(weights, examples, folder))

    def prefer(self, name: str, weights: Weights, pairs: Sequence[Pair]) -> Weights:
        """Line 7: DPO and the winner's likelihood."""
        return self._trained(name, weights, lambda folder: self._trainers.prefer(weights, pairs, folder))

    def reinforce(self, name: str, weights: Weights, calls: int) -> Weights:
        """In place of lines 5 to 7: GRPO, with as many answers of the actor as they would take."""
        queries = questions_to_try(self._settings, self._alone, self._run.recipe.seed)
        return self._trained(
            name,
            weights,
            lambda folder: self._trainers.reinforce(weights, self._bench, queries, self._alone, calls, folder),
        )

    def calls_of(self, number: int) -> int:
        """Return the answers of the actor that a round takes at most."""
        return allowance(round_pool(self._settings, number), self._settings, len(self._alone))

    def look(self, number: int, weights: Weights, pools: Sequence[Sequence[Trial]], rows: int) -> dict[str, Any]:
        """Return, and log, how the generator does on dev and what its last pool was like."""
        folder = self._run.stage(
            f"dev-{number}",
            {"generator": _stage_of(weights)},
            lambda folder: write_json(folder / "dev.json", self._dev(weights)),
        )
        dev = read_json(folder / "dev.json")
        last, options = pools[-1], self._options(pools[-1])
        calls = actor_calls(self._unhelped) + sum(map(actor_calls, pools))
        if self._settings.trainer == "grpo":
            calls += sum(self.calls_of(earlier) for earlier in range(1, number + 1))
        record = {
            "round": number,
            "rows": rows,
            "actor/calls": calls,
            "pool/trials": len(last),
            "pool/failed": sum(not trial.labels for trial in last),
            "pool/form_entropy": form_entropy(one.supplement.form for trial in last for one in trial.written),
            "labels/usable_share": usable_share(self._rule, options),
            "labels/flip_rate": flip_rate(last),
            "dev/gain_per_1000_calls": 1000 * dev["dev/difference"] / calls,
            **dev,
        }
        self._run.log("supplement/round", **record)
        return record

    def winners(self, pools: Sequence[Sequence[Trial]]) -> dict[str, list[Supplement]]:
        """Return the supplements that helped so far, by question."""
        found: dict[str, list[Supplement]] = {}
        for option in self.helpful(pools):
            found.setdefault(option.state[0], []).append(option.supplement)
        return found

    def helpful(self, pools: Sequence[Sequence[Trial]]) -> list[Option]:
        """Return every option of some pools that helped."""
        options = (option for pool in pools for said in self._options(pool).values() for option in said)
        return [option for option in options if self._rule.helps(option)]

    def _options(self, pool: Sequence[Trial]) -> dict[State, list[Option]]:
        return self._rule.options(pool, self._alone)

    def _writer(self, model: ChatModel, temperature: float) -> SupplementWriter:
        return writer_of(model, self._settings, temperature, self._run.recipe.seed)

    def _trained(self, name: str, weights: Weights, train: Callable[[Path], None]) -> Weights:
        """Run a training as a stage; what it is trained on follows from the stages before it."""
        inputs = {"trainer": self._settings.trainer, "generator": _stage_of(weights), "name": name}
        folder = self._run.stage(name, inputs, lambda folder: train(folder / GENERATOR))
        return weights.after(folder / GENERATOR)

    def _dev(self, weights: Weights) -> dict[str, Any]:
        """Measure the generator, as it would be deployed, on the dev split."""
        run, settings = self._run, self._settings
        sampling = Sampling(max_tokens=settings.answer_tokens or run.task.max_tokens)
        with weights.opened(run) as model:
            writer = self._writer(model, 0.0)
            helped = self._rollouts(Supplemented("supplemented", writer.rewrite_turns, run.model("actor"), sampling))
        alone = self._rollouts(Direct(run.model("actor"), sampling))
        forms = [str(trace.get("form")) for rollout in helped for trace in rollout.traces if "form" in trace]
        paired = pair(outcomes(alone), outcomes(helped))
        if paired is None:
            raise TrainingError(
                "no dev question has a score both with and without a supplement: look at the failures with `fulcrum "
                "calls stats RUN`"
            )
        return {
            "dev/n": paired.n,
            "dev/alone": fmean(outcome.value for outcome in outcomes(alone).values()),
            "dev/mean": fmean(outcome.value for outcome in outcomes(helped).values()),
            "dev/difference": paired.difference.estimate,
            "dev/harm": paired.harm and paired.harm.estimate,
            "dev/form_entropy": form_entropy(forms),
            "dev/silent": sum(form == NONE for form in forms) / max(1, len(forms)),
        }

    def _rollouts(self, solver: Solver) -> Sequence[Rollout]:
        run = self._run
        limit = self._settings.dev_queries
        return roll_out(
            solver, run.task, "dev", role="method", ledger=run.ledger, budget=run.budget, limit=limit
        ).rollouts


def _stage_of(weights: Weights) -> str:
    """Return the stage that trained some weights: its name holds the hash of all that came before."""
    return weights.trained.parent.name if weights.trained else "untrained"
