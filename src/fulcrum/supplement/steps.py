"""The steps of the algorithm in `fulcrum.supplement.learn`, each a stage of the run."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from fulcrum.atomic import read_json, write_json
from fulcrum.chat import ChatModel, Sampling
from fulcrum.errors import TrainingError
from fulcrum.evaluation.pairing import outcomes, pair
from fulcrum.runs import Run
from fulcrum.supplement.bench import Bench
from fulcrum.supplement.collector import Collector
from fulcrum.supplement.forms import Supplement
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
from fulcrum.supplement.measure import answers_alone, answers_helped, forms_in, silence
from fulcrum.supplement.reasons import hopeless, nothing_to_learn
from fulcrum.supplement.schedule import Pool, allowance, questions_to_try, round_pool
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.trainers import Trainers, Weights
from fulcrum.supplement.trials import State, Trial, actor_calls, read_trials, write_trials
from fulcrum.supplement.wording import WORDINGS
from fulcrum.supplement.writer import SupplementWriter, writer_of
from fulcrum.task.split import sample_by_hash
from fulcrum.training.settings import TrainingSettings

TRIALS = "trials.jsonl"
GENERATOR = "generator"
CALLS = "calls.json"
"""How many calls of the actor a round of GRPO made."""


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
        return self._tried_alone("alone", self._bench, queries)

    @cached_property
    def _states(self) -> dict[str, list[State]]:
        """What a supplement can be written for, by question: itself, or every turn of its dialogue without help."""
        return {trial.query: [state for state, _ in trial.said] for trial in self._unhelped}

    @cached_property
    def _redrawn(self) -> list[Trial]:
        """Answers without help to what was solved at first: was that luck?"""
        samples = self._settings.luck_samples
        if not samples:
            return []
        drawn = Sampling(1.0, max_tokens=self._bench.sampling.max_tokens, seed=self._run.recipe.seed)
        solved = [trial.query for trial in self._unhelped if trial.labels and min(trial.labels) >= 1.0]
        return self._tried_alone("luck", replace(self._bench, sampling=drawn, samples=samples), solved)

    def _tried_alone(self, name: str, bench: Bench, queries: Sequence[str]) -> list[Trial]:
        folder = self._run.stage(
            name, {"queries": queries}, lambda folder: write_trials(folder / TRIALS, bench.alone(queries))
        )
        return read_trials(folder / TRIALS)

    @cached_property
    def _alone(self) -> dict[str, float]:
        """Line 1: the actor's mean score without help, by the same rule as that of a supplement."""
        redrawn = {trial.query: trial for trial in self._redrawn}
        joined = (
            trial.with_attempts(redrawn[trial.query]) if trial.query in redrawn else trial for trial in self._unhelped
        )
        return {trial.query: fmean(trial.labels) for trial in joined if trial.labels}

    def refuse_hopeless(self) -> None:
        """Stop before anything more is paid, if no supplement can help.

        Raises:
            TrainingError: with the reason, and what to change.
        """
        if reason := hopeless(self._alone, self._unhelped):
            raise TrainingError(reason)

    def why_nothing(self, pool: Sequence[Trial]) -> str:
        """Return why a pool teaches nothing."""
        unhelped = {trial.query: trial.answers for trial in self._unhelped}
        return nothing_to_learn(self._rule, self._alone, pool, unhelped)

    def try_out(self, name: str, weights: Weights, pool: Pool, before: Sequence[Sequence[Trial]]) -> list[Trial]:
        """Lines 2 and 5: let the generator write, and the actor answer."""

        def work(folder: Path) -> None:
            with weights.opened(self._run) as model:
                collector = Collector(
                    self._bench,
                    self._writer(model, self._settings.temperature),
                    self._settings,
                    self._rule,
                    self._alone,
                    self._states,
                    [trial for one in before for trial in one],
                    lambda joined: weights.could_write(joined, self._settings.max_tokens),
                    self._run.recipe.seed,
                )
                write_trials(folder / TRIALS, collector.collect(pool))

        folder = self._run.stage(f"{name}-pool", {"pool": name, "generator": _stage_of(weights)}, work)
        return read_trials(folder / TRIALS)

    def worth_imitating(self, pools: Sequence[Sequence[Trial]]) -> list[tuple[State, Supplement]]:
        """Line 3: the supplements that helped, no form dominating."""
        share, seed = self._settings.solved_share, self._run.recipe.seed
        options = self._options([trial for pool in pools for trial in pool])
        return examples_to_imitate(self._rule, options, self._alone, self._states, share, seed)

    def pairs(self, pool: Sequence[Trial]) -> list[Pair]:
        """Line 6."""
        settings = self._settings
        options = self._options(pool)
        return preference_pairs(self._rule, options, settings.pairs, settings.solved_share, self._run.recipe.seed)

    def imitate(
        self,
        name: str,
        weights: Weights,
        examples: Sequence[tuple[State, Supplement]],
        training: TrainingSettings | None = None,
    ) -> Weights:
        """Line 3: supervised finetuning, by default the warm start's."""
        training = training or self._settings.warm_start
        return self._trained(name, weights, lambda folder: self._trainers.imitate(weights, examples, training, folder))

    def prefer(self, name: str, weights: Weights, pairs: Sequence[Pair]) -> Weights:
        """Line 7: DPO and the winner's likelihood."""
        return self._trained(name, weights, lambda folder: self._trainers.prefer(weights, pairs, folder))

    def reinforce(self, name: str, weights: Weights, calls: int) -> tuple[Weights, int, int]:
        """In place of lines 5 to 7: GRPO, with as many answers of the actor as they would take.

        Returns:
            The generator, the states that it wrote for, and the calls of the actor that were made for it.
        """
        queries = questions_to_try(self._settings, self._alone, self._run.recipe.seed)
        states = [state for query in queries for state in self._states[query]]

        def work(generator: Path) -> None:
            begun = generator.with_name("calls_before.json")
            if not begun.exists():  # after a kill, what was paid for before it counts too
                write_json(begun, self._paid())
            self._trainers.reinforce(weights, self._bench, states, self._alone, calls, generator)
            write_json(generator.with_name(CALLS), self._paid() - read_json(begun))

        trained = self._trained(name, weights, work)
        assert trained.trained is not None
        return trained, len(states), read_json(trained.trained.with_name(CALLS))

    def _paid(self) -> int:
        return sum(paid.calls for paid in self._run.store.paid() if paid.role == "actor")

    def calls_of(self, number: int) -> int:
        """Return the answers of the actor that a round takes at most."""
        return allowance(round_pool(self._settings, number), self._settings, len(self._alone))

    def look(
        self, number: int, weights: Weights, pools: Sequence[Sequence[Trial]], rows: int, rewarded: int
    ) -> dict[str, Any]:
        """Return, and log, how the generator does on dev, and what the pool was like that it learned from.

        Args:
            number: of the round; 0 is the warm start.
            weights: the generator after it.
            pools: of the warm start and each round; a round of GRPO has none.
            rows: what it was trained on.
            rewarded: calls of the actor for rewards, of all rounds so far.
        """
        assert weights.trained is not None
        folder = self._run.stage(
            f"dev-{number}",
            {"generator": _stage_of(weights)},
            lambda folder: write_json(folder / "dev.json", self._dev(weights)),
        )
        dev = read_json(folder / "dev.json")
        alone = sum(trial.calls for trial in (*self._unhelped, *self._redrawn))
        calls = alone + actor_calls(trial for pool in pools for trial in pool) + rewarded
        record = {
            "round": number,
            "rows": rows,
            "generator": weights.trained.relative_to(self._run.folder).as_posix(),
            "actor/calls": calls,
            **(self._of_pool(pools[number]) if number < len(pools) else {}),
            "dev/gain_per_1000_calls": 1000 * dev["dev/difference"] / calls,
            **dev,
        }
        self._run.log("supplement/round", **record)
        return record

    def _of_pool(self, pool: Sequence[Trial]) -> dict[str, Any]:
        return {
            "pool/trials": len(pool),
            "pool/failed": sum(not trial.labels for trial in pool),
            "pool/form_entropy": form_entropy(one.supplement.form for trial in pool for one in trial.written),
            "labels/usable_share": usable_share(self._rule, self._options(pool)),
            "labels/flip_rate": flip_rate(pool),
        }

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
        inputs = {"generator": _stage_of(weights)}
        folder = self._run.stage(name, inputs, lambda folder: train(folder / GENERATOR))
        return weights.after(folder / GENERATOR)

    def _dev(self, weights: Weights) -> dict[str, Any]:
        """Measure the generator, as it would be deployed, on the dev split."""
        run, settings, limit = self._run, self._settings, self._settings.dev_queries
        helped = answers_helped(run, settings, weights, "dev", limit)
        before, after, forms = outcomes(answers_alone(run, settings, "dev", limit)), outcomes(helped), forms_in(helped)
        paired = pair(before, after)
        if paired is None:
            raise TrainingError(
                "no dev question has a score both with and without a supplement: look at the failures with `fulcrum "
                "calls stats RUN`"
            )
        return {
            "dev/n": paired.n,
            "dev/alone": fmean(before[query].value for query in before.keys() & after.keys()),
            "dev/mean": fmean(after[query].value for query in before.keys() & after.keys()),
            "dev/difference": paired.difference.estimate,
            "dev/harm": paired.harm and paired.harm.estimate,
            "dev/form_entropy": form_entropy(forms),
            "dev/silent": silence(forms),
        }


def _stage_of(weights: Weights) -> str:
    """Return the stage that trained some weights: its name holds the hash of all that came before."""
    return weights.trained.parent.name if weights.trained else "untrained"
