"""Supplement Generation Training (arXiv 2604.20727), the algorithm.

::

    1  alone(q)  <-  actor(q)                                     for every training question q
    2  pool      <-  9 forms x 5 supplements of the untrained generator, each answered by the actor
    3  G(0)      <-  SFT on the supplements that helped, no form dominating
    4  for r = 1..5:
    5      pool  <-  8 forms + 3 own + 3 concatenated (r = 1), 20 free (r > 1) of G(r-1)
    6      pairs <-  winner > loser on the same question: <= 20 between forms, <= 20 within a form
    7      G(r)  <-  DPO + 1.0 NLL per row, reference G(r-1)
    8  deploy the G(r) that is best on dev

Ours: what helps is measured against `alone`; to say nothing is an option of every question; the adaptive schedule tries
what promises most, and leaves a question once it has shown winners and losers. Where notes are written at every turn,
each turn of the dialogue alone is a question. Every step is a stage of the run, every call is stored: a run that was
killed continues where it stood.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fulcrum.errors import TrainingError
from fulcrum.runs import Run
from fulcrum.supplement.forms import NOTHING
from fulcrum.supplement.labels import Option
from fulcrum.supplement.schedule import round_pool, warm_start_pool
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.steps import Steps
from fulcrum.supplement.trainers import Weights


@dataclass(frozen=True, slots=True)
class Learned:
    """What learning leaves.

    Attributes:
        weights: the generator that is best on dev.
        curve: one record for the warm start and each round, see `Steps.look`.
        chosen: which of them.
        stopped: why the rounds ended early; None if they did not.
        helped: supplements of all pools that helped, with their gain.
    """

    weights: Weights
    curve: Sequence[Mapping[str, Any]]
    chosen: int
    stopped: str | None
    helped: Sequence[Option]

    @property
    def sentence(self) -> str | None:
        """What a person should know of how learning ended."""
        return f"The rounds ended early: {self.stopped}." if self.stopped else None


def learn(run: Run, settings: SupplementSettings) -> Learned:
    """Train the generator of a run.

    Raises:
        TrainingError: there is nothing to learn from; the text says why and what to change.
        BudgetSpent: the budget ended meanwhile; the same command continues.
        TooManyFailures: more calls failed than the budget allows.
    """
    step = Steps(run, settings)
    step.refuse_hopeless()
    untrained = Weights(run.recipe.models["generator"], settings.warm_start.tuning)

    pool = step.try_out("warm-start", untrained, warm_start_pool(settings), [])
    examples = step.worth_imitating([pool])
    if all(supplement == NOTHING for _, supplement in examples):
        raise TrainingError(f"the warm start has nothing to imitate: {step.why_nothing(pool)}")
    generator = step.imitate("warm-start", untrained, examples)
    generators, pools, stopped = [generator], [pool], None
    curve, rewarded = [step.look(0, generator, pools, len(examples), 0)], 0

    for number in range(1, settings.rounds + 1):
        name = f"round-{number}"
        if settings.trainer == "grpo":
            generator, rows, calls = step.reinforce(name, generator, step.calls_of(number))
            rewarded += calls
        else:
            pool = step.try_out(name, generator, round_pool(settings, number), pools)
            pairs, examples = step.pairs(pool), step.worth_imitating([*pools, pool])
            rows = len(pairs) if settings.trainer == "dpo" else len(examples)
            if not rows:
                stopped = f"round {number} had nothing to learn from: {step.why_nothing(pool)}"
                run.log("supplement/stopped", reason=stopped)
                break
            if settings.trainer == "dpo":
                generator = step.prefer(name, generator, pairs)
            else:
                generator = step.imitate(name, untrained, examples, settings.imitation)
            pools.append(pool)
        generators.append(generator)
        curve.append(step.look(number, generator, pools, rows, rewarded))

    # By the gain, which is over the same questions for the actor alone; the earliest of equal ones.
    chosen = max(range(len(curve)), key=lambda place: curve[place]["dev/difference"])
    return Learned(generators[chosen], curve, chosen, stopped, step.helpful(pools))
