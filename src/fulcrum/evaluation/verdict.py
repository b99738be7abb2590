"""The sentence at the top of a page: what was shown, in the words that the evidence allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fulcrum.evaluation.compare import Comparison
from fulcrum.evaluation.diagnosis import explained_by_control, failures_could_decide, no_control, same_answers
from fulcrum.evaluation.figures import count, points, signed, spread
from fulcrum.evaluation.pairing import outcomes
from fulcrum.evaluation.results import pool_seeds
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.table import EvaluationRow, baseline_of, rivals_of, strongest

Kind = Literal["helped", "unclear cause", "did not help", "cannot be told", "nothing to judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a page claims.

    Attributes:
        kind: the claim in a word, for the mark beside it.
        headline: the claim in a sentence, with its figure.
        because: what it rests on, and what stands against it.
        row: the row that is the claim, None if there is none.
        baseline: the row that it is measured against.
        command: what to run next, if there is nothing to judge yet.
    """

    kind: Kind
    headline: str
    because: list[str]
    row: EvaluationRow | None = None
    baseline: EvaluationRow | None = None
    command: str = ""


def unevaluated(folder: str, learned: bool, command: str) -> Verdict:
    """Return the verdict on a run that was not measured: there is none, and this is how to get one."""
    if not learned:
        said = "The same command continues where it stopped:"
        return Verdict("nothing to judge", "Not trained to the end yet.", [said], command=command)
    said = "Nothing is known of a gain until held-out examples are answered with and without it:"
    return Verdict("nothing to judge", "Not evaluated yet.", [said], command=f"fulcrum evaluate {folder}")


def judge_run(rows: Sequence[EvaluationRow], results: Sequence[SolverRollouts]) -> Verdict:
    """Judge the method of a run: its first row, which the recipe chose before anything was measured.

    *Helped* needs an interval above zero that no left-out failure could undo; a control that does as well is named in
    the same breath. *Did not help* needs an interval below zero, or the baseline's own words. All else cannot be told.
    """
    baseline = baseline_of(rows)
    assert baseline is not None
    method = next((row for row in rows if row.role_of_solver == "method"), None)
    if method is None:
        return _nothing_trained(rows, baseline)
    by_solver = pool_seeds(results)
    after, before = by_solver[method.solver], by_solver[baseline.solver]
    if method.difference is None or method.difference_low is None or method.difference_high is None:
        said = f"Whether {method.solver} helps cannot be told: no example was scored with and without it."
        return Verdict("cannot be told", said, [], method, baseline)
    gain = f"{signed(method.difference)} points"
    rests = [_rests_on(method, baseline)]
    if unused := same_answers(after, before):
        said = f"{method.solver} did not help: it changes no answer."
        return Verdict("did not help", said, [unused], method, baseline)
    if method.difference_high < 0:
        return Verdict("did not help", f"{method.solver} did not help: {gain}.", rests, method, baseline)
    if method.difference_low <= 0:
        said = f"Whether {method.solver} helps cannot be told: {gain}, and the interval includes zero."
        return Verdict("cannot be told", said, rests, method, baseline)
    if undone := failures_could_decide(after, before):
        said = f"Whether {method.solver} helps cannot be told: failed calls could undo its {gain}."
        return Verdict("cannot be told", said, [*rests, undone], method, baseline)
    achieved = {name: outcomes(result.rollouts) for name, result in by_solver.items()}
    if missing := no_control(rows):
        rests.append(missing)
    explained = [
        sentence
        for rival in rivals_of(rows)
        if (sentence := explained_by_control(method, achieved[method.solver], rival, achieved[rival.solver]))
    ]
    if explained:
        said = f"{method.solver} gained {gain}, but a control may explain it."
        return Verdict("unclear cause", said, [*rests, *explained], method, baseline)
    return Verdict("helped", f"{method.solver} helped: {gain}.", rests, method, baseline)


def judge_comparison(comparison: Comparison) -> Verdict:
    """Judge several runs: two methods against each other, more of them each against the one baseline."""
    if len(comparison.differences) == 1:
        (difference,) = comparison.differences
        gap = difference.pairing.difference
        rests = (
            f"95 % interval {spread(gap.low, gap.high)} points, on {count(difference.pairing.n)} examples that both "
            f"answered: {count(difference.pairing.rescued)} won, {count(difference.pairing.broken)} lost."
        )
        if not gap.clear_of_zero:
            said = (
                f"Which of {difference.first} and {difference.second} is better cannot be told: "
                f"{signed(gap.estimate)} points, and the interval includes zero."
            )
            return Verdict("cannot be told", said, [rests])
        if difference.undone:
            said = (
                f"Which of {difference.first} and {difference.second} is better cannot be told: failed calls could "
                f"undo the {signed(gap.estimate)} points."
            )
            return Verdict("cannot be told", said, [rests, difference.undone])
        better, worse = difference.second, difference.first
        if gap.estimate < 0:
            better, worse = worse, better
        said = f"{better} is better than {worse}, by {points(abs(gap.estimate))} points."
        return Verdict("helped", said, [rests])
    baseline, *others = comparison.rows
    gained = [row for row in others if row.difference_low is not None and row.difference_low > 0]
    better = [row for row in gained if row.solver not in comparison.undone]
    said = f"{len(better)} of {len(others)} are shown to be better than {baseline.solver}."
    kind: Kind = "helped" if better else "cannot be told"
    return Verdict(kind, said, ["Each interval stands for itself: of twenty without effect, one may look clear."])


def _nothing_trained(rows: Sequence[EvaluationRow], baseline: EvaluationRow) -> Verdict:
    rests = ["This run trains nothing: it shows what a method would have to beat."]
    best = strongest(row for row in rows if row.role_of_solver == "control")
    if best is not None:
        assert best.difference is not None and best.difference_low is not None and best.difference_high is not None
        beaten = best.difference <= 0
        which = f"Without training none is better than {baseline.solver}; the" if beaten else "Without training the"
        rests.append(
            f"{which} strongest is {best.solver}: {signed(best.difference)} points, 95 % interval "
            f"{spread(best.difference_low, best.difference_high)}."
        )
    if baseline.mean is None:
        return Verdict("nothing to judge", f"{baseline.solver} has no scored answer.", rests, None, baseline)
    said = f"{baseline.solver} scores {points(baseline.mean)} of 100."
    return Verdict("nothing to judge", said, rests, None, baseline)


def _rests_on(method: EvaluationRow, baseline: EvaluationRow) -> str:
    assert method.difference_low is not None and method.difference_high is not None
    shared = "" if method.paired is None else f"{count(method.paired)} "
    return (
        f"95 % interval {spread(method.difference_low, method.difference_high)} points against {baseline.solver}, "
        f"paired on the same {shared}{method.split} examples of {method.task}."
    )
