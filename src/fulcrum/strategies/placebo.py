"""The placebo: does any text in the prompt help, or what it says? And how much text each solver was shown."""

from collections.abc import Sequence

from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.solver import Adviser, shuffled
from fulcrum.strategies.suggestions import known
from fulcrum.strategies.wording import Wording


def placebo(
    library: Library, retriever: Retriever, wording: Wording, settings: StrategiesSettings, seed: int
) -> Adviser | None:
    """Return the control that gives each turn as many strategies as retrieval would, but others.

    Where what is served is too little to draw from, strategies that the library holds and does not serve make up the
    number: neither what a check blocks or what harms, nor what says the same as one that is served.

    Returns:
        None if a turn might find no other strategy: the control would then be the bare student under another name.
    """
    serving, most = retriever.strategies, min(settings.retrieval.top_k, len(retriever.strategies))
    spare: dict[str, Strategy] = {}
    if len(serving) < 2 * most:
        for strategy in library.strategies():
            harmful = strategy.blocked or any(effect.harms for effect in strategy.effects.values())
            same = strategy.merged_into or known(strategy.advice, serving, settings.duplicate)
            if not harmful and not same:
                spare.setdefault(strategy.advice.guidance, strategy)
    if not serving or len(serving) + len(spare) <= most:
        return None
    return shuffled(retriever, wording, seed, list(spare.values()))


def lines_a_turn(results: Sequence[SolverRollouts]) -> dict[str, float]:
    """Return how many lines of guidance each solver was shown at a turn, on average; none for one that shows none."""
    shown: dict[str, list[int]] = {}
    for result in results:
        traces = [trace for rollout in result.rollouts for trace in rollout.traces]
        shown[result.solver] = [len(trace.get("strategies") or trace.get("advice") or ()) for trace in traces]
    return {solver: sum(lines) / len(lines) for solver, lines in shown.items() if any(lines)}
