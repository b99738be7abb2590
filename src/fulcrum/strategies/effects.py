"""The causal effect of each strategy on whole dialogues: switched on alone, and left out of the library."""

from collections.abc import Mapping, Sequence

from fulcrum.errors import RunError
from fulcrum.evaluation.pairing import Outcome, outcomes
from fulcrum.strategies.bench import Bench, without
from fulcrum.strategies.fold import Strategy, Versions, versions
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import Effect
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.solver import retrieved
from fulcrum.strategies.trials import measured

WHO = "fulcrum"

_MOST_MISSING = 0.05
"""Largest share of dialogues that an effect may be without."""


class Effects:
    """Measures strategies on the same development dialogues.

    Args:
        bench: the run.
        dialogues: how many development dialogues.
    """

    def __init__(self, bench: Bench, dialogues: int) -> None:
        self._bench = bench
        self._dialogues = dialogues
        self._known: dict[tuple[Versions, Versions], dict[str, Outcome]] = {}

    def of(self, strategy: Strategy, library: Sequence[Strategy]) -> list[Effect]:
        """Return both effects of a strategy; `library` is what is served, with or without it.

        Raises:
            RunError: too many dialogues are missing: a strategy that breaks its own dialogues would seem to do no harm.
        """
        others = without(library, strategy.id)
        found = [
            _change("on-off", self._play([]), self._play([strategy], beside=others)),
            self.between("leave-one-out", others, [*others, strategy]),
        ]
        missing, dialogues = max(map(self.missing, found)), self._count
        if missing > _MOST_MISSING * dialogues:
            raise RunError(
                f"{strategy.id}: {missing} of {dialogues} dialogues could not be compared, for a call failed, so no "
                "effect is kept; mend the endpoint (`fulcrum doctor`) and run it again: only what failed is asked again"
            )
        return found

    def between(self, measure: str, less: Sequence[Strategy], more: Sequence[Strategy]) -> Effect:
        """Return what one library does that another does not, under the name of a measure."""
        return _change(measure, self._play(less), self._play(more))

    def missing(self, effect: Effect) -> int:
        """Return how many dialogues an effect is without, for a call failed in them."""
        return self._count - effect.n

    @property
    def _count(self) -> int:
        return min(self._dialogues, len(self._bench.task.examples("dev")))

    def _play(self, strategies: Sequence[Strategy], beside: Sequence[Strategy] = ()) -> dict[str, Outcome]:
        key = versions(strategies), versions(beside)
        if key not in self._known:
            bench = self._bench
            # The library's order decides between equal scores, so it must be the same whoever was left out.
            ordered = sorted(strategies, key=lambda strategy: strategy.id)
            retriever = Retriever(ordered, bench.settings.retrieval, beside=beside)
            student = bench.student(retrieved(retriever, bench.wording), name="retrieved")
            self._known[key] = outcomes(bench.roll_out(student, "dev", self._dialogues).rollouts)
        return self._known[key]


def _change(measure: str, before: Mapping[str, Outcome], after: Mapping[str, Outcome]) -> Effect:
    """Return the difference in the dialogues that both came through."""
    shared = [id for id in before if id in after]
    return measured(measure, [before[id].value for id in shared], [after[id].value for id in shared])


def measure_library(bench: Bench, library: Library, strategies: Sequence[Strategy]) -> None:
    """Measure every strategy, and retire what the library is better without.

    The worst goes first, and the others are measured again: of two that stand in each other's way one may stay.
    """
    effects = Effects(bench, bench.settings.effect_dialogues)
    serving, suspects = list(strategies), list(strategies)
    while suspects:
        found = {strategy.id: _measure(effects, library, strategy, serving) for strategy in suspects}
        harmful = [strategy for strategy in suspects if found[strategy.id].harms and strategy.status == "proposed"]
        if not harmful:
            return
        worst = min(harmful, key=lambda strategy: found[strategy.id].estimate)
        effect = found[worst.id]
        reason = f"the library is better without it: {effect.estimate:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
        library.decide(worst.id, "retired", who=WHO, reason=reason)
        serving = without(serving, worst.id)
        suspects = without(harmful, worst.id)


def measure(bench: Bench, library: Library, strategy: Strategy, serving: Sequence[Strategy]) -> Strategy:
    """Measure one strategy anew, as after an edit, and keep the result."""
    dialogues = bench.settings.effect_dialogues or len(bench.task.examples("dev"))
    _measure(Effects(bench, dialogues), library, strategy, serving)
    return library.strategy(strategy.id)


def _measure(effects: Effects, library: Library, strategy: Strategy, serving: Sequence[Strategy]) -> Effect:
    """Keep both effects of these words, should others stand there by now, and return that of leaving it out."""
    for effect in (found := effects.of(strategy, serving)):
        library.record_effect(strategy.id, effect, who=WHO, version=strategy.version)
    return found[-1]
