"""What is claimed of a method."""

from dataclasses import replace

import pytest

from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.render import conclusions
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.table import rows_from
from fulcrum.evaluation.verdict import judge_run
from support.evaluation import made

DIRECT = made("direct", "baseline", [1] * 30 + [0] * 70)
BETTER = made("mine", "method", [1] * 60 + [0] * 40)


@pytest.mark.parametrize(
    ("others", "kind", "says"),
    [
        ([BETTER], "helped", "mine helped: +30.0 points."),
        ([BETTER, made("shuffled", "control", [1] * 31 + [0] * 69)], "helped", "mine helped: +30.0 points."),
        ([BETTER, made("shuffled", "control", [1] * 59 + [0] * 41)], "unclear cause", "a control may explain"),
        ([BETTER, made("vote", "baseline", [1] * 59 + [0] * 41)], "unclear cause", "a control may explain"),
        ([BETTER, made("shuffled", "control", ["timeout"] * 100)], "unclear cause", "a control may explain"),
        ([BETTER, made("vote", "baseline", ["timeout"] * 100)], "unclear cause", "a control may explain"),
        ([made("mine", "method", [0] * 100)], "did not help", "\N{MINUS SIGN}30.0 points"),
        ([made("mine", "method", [0] * 4 + [1] * 31 + [0] * 65)], "cannot be told", "the interval includes zero"),
        ([made("mine", "method", ["timeout"] * 30 + [1] * 20 + [0] * 50)], "cannot be told", "failed calls could undo"),
        ([made("mine", "method", ["timeout"] * 100)], "cannot be told", "no example was scored"),
        ([replace(DIRECT, solver="mine", role="method")], "did not help", "it changes no answer"),
        ([made("shots", "control", [1] * 100)], "nothing to judge", "direct scores 30.0 of 100."),
    ],
)
def test_the_verdict_claims_what_the_evidence_allows(others: list[object], kind: str, says: str) -> None:
    results = [DIRECT, *others]
    verdict = judge_run(rows_from(results, "direct"), results)  # pyright: ignore[reportArgumentType]
    assert verdict.kind == kind and says in verdict.headline


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            [1] * 10 + [0] * 90,
            "Without training none is better than direct; the strongest is shots: \N{MINUS SIGN}20.0 ",
        ),
        ([1] * 50 + [0] * 50, "Without training the strongest is shots: +20.0 "),
    ],
)
def test_where_nothing_is_trained_the_strongest_is_praised_only_if_it_is_better(values: list[float], says: str) -> None:
    results = [DIRECT, made("shots", "control", values), made("vote", "control", ["timeout"] * 100)]
    assert judge_run(rows_from(results, "direct"), results).because[1].startswith(says)


def test_a_verdict_says_on_how_many_examples_it_rests() -> None:
    results = [made("direct", "baseline", [0] * 60 + ["timeout"] * 40), BETTER]
    verdict = judge_run(rows_from(results, "direct"), results)
    assert "paired on the same 60 test examples of toy." in verdict.because[0]


def test_the_first_method_is_the_claim_whatever_others_reach() -> None:
    results = [DIRECT, made("mine", "method", [1] * 29 + [0] * 71), replace(BETTER, solver="also")]
    assert judge_run(rows_from(results, "direct"), results).headline.startswith("Whether mine helps cannot be told")


@pytest.mark.parametrize("weak", [[], [made("placebo", "control", [1] * 30 + [0] * 70)]])
def test_a_control_whose_every_call_failed_is_not_beaten(weak: list[SolverRollouts]) -> None:
    results = [DIRECT, BETTER, *weak, made("whole", "control", ["too_long"] * 100)]
    rows = rows_from(results, "direct")
    verdict = judge_run(rows, results)
    missing = "No control was evaluated: a gain may have another cause than the method."
    assert verdict.kind == "unclear cause"
    told = "mine gains, but cannot be compared with the control whole: no example was answered by both."
    assert told in verdict.because and told in diagnose(results, rows)
    assert (missing in verdict.because) == (missing in conclusions(rows)) == (not weak)


def test_as_many_failures_of_the_baseline_elsewhere_excuse_none_of_the_method() -> None:
    results = [
        made("direct", "baseline", [1] * 15 + ["timeout"] * 15 + [0] * 58 + [1] * 12),
        made("mine", "method", ["refused"] * 15 + [0] * 15 + [1] * 12 + [0] * 46 + [1] * 12),
    ]
    verdict = judge_run(rows_from(results, "direct"), results)
    assert verdict.kind == "cannot be told"
    assert any(
        "15 attempts failed (15 of direct)" in said and "-3.5 instead of +17.1" in said for said in verdict.because
    )
