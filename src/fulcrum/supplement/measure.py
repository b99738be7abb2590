"""How a generator is measured, as it would be deployed: on dev after each round, and by `fulcrum supplement curve`."""

from collections.abc import Iterable, Sequence

from fulcrum.chat import Sampling
from fulcrum.evaluation.baselines import Direct
from fulcrum.evaluation.rollouts import Rollout, roll_out
from fulcrum.evaluation.solver import Solver
from fulcrum.runs import Run
from fulcrum.supplement.forms import NONE
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.solver import Supplemented
from fulcrum.supplement.trainers import Weights
from fulcrum.supplement.writer import writer_of
from fulcrum.task import Split


def answers_alone(run: Run, settings: SupplementSettings, split: Split, limit: int | None) -> Sequence[Rollout]:
    """Return the actor's greedy answers without help."""
    return _rollouts(run, Direct(run.model("actor"), _greedy(run, settings)), split, limit)


def answers_helped(
    run: Run, settings: SupplementSettings, weights: Weights, split: Split, limit: int | None
) -> Sequence[Rollout]:
    """Return the actor's greedy answers with the notes that a generator writes, as it would be deployed."""
    with weights.opened(run) as model:
        writer = writer_of(model, settings)
        solver = Supplemented("supplemented", writer.rewrite_turns, run.model("actor"), _greedy(run, settings))
        return _rollouts(run, solver, split, limit)


def forms_in(rollouts: Iterable[Rollout]) -> list[str]:
    """Return the form of every note, `none` for saying nothing; one that failed has no form."""
    return [str(trace["form"]) for rollout in rollouts for trace in rollout.traces if "form" in trace]


def silence(forms: Sequence[str]) -> float:
    """Return the share of notes that say nothing."""
    return sum(form == NONE for form in forms) / max(1, len(forms))


def _greedy(run: Run, settings: SupplementSettings) -> Sampling:
    return Sampling(max_tokens=settings.answer_tokens or run.task.max_tokens)


def _rollouts(run: Run, solver: Solver, split: Split, limit: int | None) -> Sequence[Rollout]:
    return roll_out(solver, run.task, split, role="method", ledger=run.ledger, budget=run.budget, limit=limit).rollouts
