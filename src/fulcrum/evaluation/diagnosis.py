"""What the figures mean, in sentences that say what to do.

Every check is a pure function that returns a sentence, or None if there is nothing to say.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

from fulcrum.evaluation.pairing import Outcome, outcomes, pair
from fulcrum.evaluation.results import pool_seeds
from fulcrum.evaluation.rollouts import Rollout, SolverRollouts
from fulcrum.evaluation.table import EvaluationRow, baseline_of, rivals_of, strongest
from fulcrum.task import wrong

_NOTICEABLE_FAILURES = 0.02
_NOTICEABLE_UNPARSABLE = 0.1
_NOTICEABLE_HARM = 0.05
_HIGH = 0.97

_Z95 = NormalDist().inv_cdf(0.975)
_Z80 = NormalDist().inv_cdf(0.8)

_REMEDIES: Mapping[str, str] = {
    "timeout": "allow more time or fewer calls at once",
    "rate_limit": "lower the number of calls at once, or continue the run later",
    "server": "look at the endpoint with `fulcrum doctor`",
    "too_long": "shorten the prompts, or take a model with a larger context",
    "invalid": "look with `fulcrum calls stats RUN` at what the chat template does not take",
    "refused": "look at the prompts that the model or its filter declines",
    "truncated": "raise max_tokens",
    "empty": "check the chat template and the stop texts",
    "budget": "raise the limit under [budget]",
}


def diagnose(results: Sequence[SolverRollouts], rows: Sequence[EvaluationRow]) -> list[str]:
    """Return all that is worth saying about an evaluation, the gravest first.

    Args:
        results: the attempts that the rows were made from.
        rows: of `fulcrum.evaluation.table.rows_from`; rows without attempts of their own (oracles) may be among them.
    """
    solvers = pool_seeds(results)
    baselines = [row for row in [baseline_of(rows)] if row]
    rivals = rivals_of(rows)
    achieved = {name: outcomes(result.rollouts) for name, result in solvers.items()}
    said: list[str | None] = [nothing_solved(rows), *(nothing_to_gain(row) for row in baselines)]
    for name, result in solvers.items():
        said += [*failed_calls(name, result.rollouts), unparsable_answers(name, result.rollouts)]
    for row in (row for row in rows if row.role_of_solver == "method"):
        said += [failures_could_decide(solvers[row.solver], solvers[baseline.solver]) for baseline in baselines]
        said += [same_answers(solvers[row.solver], solvers[baseline.solver]) for baseline in baselines]
        said += [too_few_examples(row), harmful(row)]
        said += [explained_by_control(row, achieved[row.solver], rival, achieved[rival.solver]) for rival in rivals]
    return [sentence for sentence in said if sentence]


def nothing_solved(rows: Sequence[EvaluationRow]) -> str | None:
    """No solver ever got a point: no difference can show."""
    if any(row.mean != 0 for row in rows):
        return None
    return (
        "No solver ever solves anything: there is no signal. Check with `fulcrum validate` that gold answers "
        "score 1.0 and that the prompt asks for the form the scorer reads; else use easier examples or a better model."
    )


def nothing_to_gain(baseline: EvaluationRow) -> str | None:
    """The baseline is so good that no method can show a gain."""
    if baseline.mean is None or baseline.mean < _HIGH:
        return None
    if baseline.mean == 1:
        return f"{baseline.solver} solves everything: there is nothing to gain. Use harder examples."
    return (
        f"{baseline.solver} already scores {_percent(baseline.mean)}: at most {_points(1 - baseline.mean)} can be "
        "gained. Use harder examples."
    )


def failed_calls(solver: str, rollouts: Sequence[Rollout]) -> list[str]:
    """Attempts that ended in a failed call, by kind, each with its remedy."""
    kinds = Counter(str(r.score.details.get("failure")) for r in rollouts if r.score.verdict == "failed")
    return [
        f"{solver}: {_percent(count / len(rollouts))} of {len(rollouts)} attempts ended in a failure of kind {kind}, "
        f"and are in no mean: {_REMEDIES.get(kind, 'see `fulcrum calls stats RUN`')}."
        for kind, count in kinds.most_common()
        if count > _NOTICEABLE_FAILURES * len(rollouts)
    ]


def unparsable_answers(solver: str, rollouts: Sequence[Rollout]) -> str | None:
    """Answers in which the scorer finds nothing to judge."""
    share = sum(rollout.score.verdict == "unparsable" for rollout in rollouts) / len(rollouts)
    if share <= _NOTICEABLE_UNPARSABLE:
        return None
    return (
        f"{solver}: {_percent(share)} of answers are unparsable, which scores 0 but says nothing about knowledge: "
        "check that the prompt asks for the answer format that the scorer reads."
    )


def failures_could_decide(after: SolverRollouts, before: SolverRollouts) -> str | None:
    """The left-out failures are enough to undo a gain, were they all wrong answers.

    What must stay positive is the estimate; its interval may then hold zero.
    """
    if not after.failures:
        return None
    known = outcomes(before.rollouts)
    as_wrong = (replace(r, score=wrong()) if r.score.verdict == "failed" else r for r in after.rollouts)
    gain, at_worst = pair(known, outcomes(after.rollouts)), pair(known, outcomes(as_wrong))
    if gain is None or at_worst is None or gain.difference.low <= 0 or at_worst.difference.estimate > 0:
        return None
    return (
        f"{after.solver}: {after.failures} attempts failed ({before.failures} of {before.solver}). Were they wrong "
        f"answers, the difference would be {_signed(at_worst.difference.estimate)} instead of "
        f"{_signed(gain.difference.estimate)}: mend the failures before you believe the gain."
    )


def same_answers(method: SolverRollouts, baseline: SolverRollouts) -> str | None:
    """The method says and does, in all its turns, what the baseline does: it is probably not applied at all."""
    said = {(r.question_id, r.seed, r.sample): _all_said(r) for r in baseline.rollouts if r.score.verdict != "failed"}
    pairs = [
        (said[key], _all_said(r))
        for r in method.rollouts
        if r.score.verdict != "failed" and (key := (r.question_id, r.seed, r.sample)) in said
    ]
    if not pairs or any(before != after for before, after in pairs):
        return None
    return (
        f"{method.solver} says word for word what {baseline.solver} says, on all {len(pairs)} attempts: the artifact "
        "changes nothing, or is not used."
    )


def _all_said(rollout: Rollout) -> tuple[object, ...]:
    """Return the solver's own part of an attempt; the ids of tool calls are the server's, and differ each time."""
    turns = [turn for turn in rollout.turns if turn.role == "assistant"]
    return rollout.text, [(turn.content, [(call.name, call.arguments) for call in turn.tool_calls]) for turn in turns]


def too_few_examples(row: EvaluationRow) -> str | None:
    """The interval includes zero: how many examples would show a difference of this size, or of any."""
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return None
    if row.difference_low > 0 or row.difference_high < 0:
        return None
    n = row.paired or row.n
    # An interval is 2 * 1.96 standard errors wide; a difference of (1.96 + 0.84) of them is found in 80 % of trials.
    visible = (row.difference_high - row.difference_low) / (2 * _Z95) * (_Z95 + _Z80)
    text = (
        f"{row.solver}: the interval {_signed(row.difference)} [{_signed(row.difference_low)}, "
        f"{_signed(row.difference_high)}] includes zero. With n = {n} a true difference below "
        f"{_points(visible)} will often be missed"
    )
    # Without a difference of at least half a point there is no size to plan for.
    if abs(row.difference) < 0.005:
        return f"{text}; this looks like no difference."
    # The two invented examples of the interval pull its middle to zero, as they will with more examples.
    needed = n * (visible / (row.difference * n / (n + 2))) ** 2
    return f"{text}; if the true one is {_points(abs(row.difference))}, use about {_rounded_up(needed)} examples."


def harmful(row: EvaluationRow) -> str | None:
    """A method breaks a noticeable share of what was solved without it."""
    if row.harm is None or row.harm <= _NOTICEABLE_HARM:
        return None
    return (
        f"{row.solver} breaks {_percent(row.harm)} of what the baseline solves: let it do nothing on easy inputs, or "
        "route those around it."
    )


def explained_by_control(
    method: EvaluationRow,
    method_outcomes: Mapping[str, Outcome],
    control: EvaluationRow,
    control_outcomes: Mapping[str, Outcome],
) -> str | None:
    """A method gains, but is not clearly better than a solver that lacks what the method claims to add.

    Nor is it where that solver answered none of the same examples: what failed is not beaten.
    """
    pairing = pair(control_outcomes, method_outcomes)
    if not _clear_gain(method) or (pairing is not None and pairing.difference.low > 0):
        return None
    rival = f"the {control.role_of_solver} {control.solver}"
    if pairing is None:
        return f"{method.solver} gains, but cannot be compared with {rival}: no example was answered by both."
    gap = pairing.difference
    return (
        f"{method.solver} gains, but is not clearly better than {rival}: "
        f"{_signed(gap.estimate)} [{_signed(gap.low)}, {_signed(gap.high)}] on {pairing.n} examples. The gain may "
        "be had without it."
    )


def no_control(rows: Sequence[EvaluationRow]) -> str | None:
    """Nothing that could explain a gain away has a scored answer."""
    if strongest(rivals_of(rows)) is not None:
        return None
    return "No control was evaluated: a gain may have another cause than the method."


def _clear_gain(row: EvaluationRow) -> bool:
    return row.difference_low is not None and row.difference_low > 0


def _rounded_up(number: float) -> int:
    """Return the next number of two leading digits, for an estimate that deserves no more."""
    step = 10 ** max(0, len(str(int(number))) - 2)
    return -int(-number // step) * step


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"


def _signed(difference: float) -> str:
    return f"{round(100 * difference, 1) + 0.0:+.1f}"
