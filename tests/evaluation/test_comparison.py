from dataclasses import replace

import pytest

from fulcrum.errors import RunError
from fulcrum.evaluation.compare import compare
from fulcrum.evaluation.verdict import judge_comparison
from support.evaluation import made

DIRECT = made("direct", "baseline", [1, 0, 0, 0])


def test_methods_of_two_runs_are_paired_with_one_baseline_and_with_each_other() -> None:
    comparison = compare(
        {
            "one": [DIRECT, made("tuned", "method", [1, 1, 0, 0]), made("shuffled", "control", [0, 0, 0, 0])],
            "two": [DIRECT, made("guided", "method", [0, 1, 1, 1])],
        }
    )
    assert [row.solver for row in comparison.rows] == ["one: direct", "one: tuned", "two: guided"]
    assert [row.difference for row in comparison.rows] == [None, 0.25, 0.5]
    (difference,) = comparison.differences
    assert (difference.first, difference.second) == ("one: tuned", "two: guided")
    assert difference.pairing.difference.estimate == 0.25
    assert (difference.pairing.broken, difference.pairing.rescued) == (1, 2)
    assert comparison.notes == []


def test_another_baseline_is_said_and_not_mixed_in() -> None:
    comparison = compare(
        {
            "one": [DIRECT, made("tuned", "method", [1, 1, 0, 0])],
            "two": [made("direct", "baseline", [1, 1, 1, 0]), made("guided", "method", [1, 1, 1, 0])],
        }
    )
    assert comparison.rows[2].difference == 0.5
    assert comparison.notes == [
        "The baseline of two is not that of one: +50.0 points, so models or settings differ. All differences in the "
        "table are against the baseline of one."
    ]


def test_runs_on_other_examples_are_paired_on_the_shared_ones() -> None:
    comparison = compare(
        {
            "one": [DIRECT, made("tuned", "method", {"q0": 0, "q1": 1})],
            "two": [DIRECT, made("guided", "method", {"q1": 0, "q2": 1, "q3": 1})],
        }
    )
    assert comparison.differences[0].pairing.n == 1
    assert comparison.differences[0].pairing.difference.estimate == -1
    assert "one: tuned 2, two: guided 3" in comparison.notes[0]


def test_seeds_under_one_name_are_pooled_and_their_spread_is_said() -> None:
    seeds = [made("tuned", "method", values, seed=seed) for seed, values in enumerate([[1, 1, 0, 0], [1, 1, 1, 1]])]
    comparison = compare({"one": [DIRECT, *seeds], "two": [DIRECT, made("guided", "method", [1, 0, 0, 0])]})
    assert (comparison.rows[1].seed, comparison.rows[1].difference) == (None, 0.5)
    assert comparison.notes == [
        "one: tuned: 2 seeds, whose differences go from +25.0 to +75.0 points; the interval is over examples and does "
        "not hold this spread."
    ]


def test_a_run_that_trains_nothing_brings_its_controls() -> None:
    comparison = compare(
        {
            "one": [DIRECT, made("tuned", "method", [1, 1, 0, 0]), made("shuffled", "control", [0, 0, 0, 0])],
            "two": [DIRECT, made("vote", "control", [1, 1, 1, 0]), made("oracle", "ceiling", [1, 1, 1, 1])],
        }
    )
    assert [row.solver for row in comparison.rows] == ["one: direct", "one: tuned", "two: vote"]


def test_failed_calls_are_told_and_a_difference_that_they_could_undo_is_not_claimed() -> None:
    direct = made("direct", "baseline", [0] * 100)
    failing = made("m", "method", ["refused"] * 30 + [1] * 35 + [0] * 35)
    runs = {"a": [direct, made("m", "method", [1] * 50 + [0] * 50)], "b": [direct, failing]}
    comparison = compare(runs)
    undone = (
        "b: m: 30 attempts failed (0 of a: m). Were they wrong answers, the difference would be -15.0 instead of "
        "+21.4: mend the failures before you believe the gain."
    )
    assert [difference.undone for difference in comparison.differences] == [undone]
    assert undone in comparison.notes
    assert any(note.startswith("b: m: 30 % of 100 attempts ended in a failure") for note in comparison.notes)
    verdict = judge_comparison(comparison)
    assert verdict.kind == "cannot be told" and "failed calls could undo the +21.4 points" in verdict.headline
    mirrored = compare({"b": [direct, failing], "a": runs["a"]})
    assert judge_comparison(mirrored).headline.endswith("failed calls could undo the \N{MINUS SIGN}21.4 points.")


def test_of_more_than_two_methods_none_is_counted_whose_gain_failed_calls_could_undo() -> None:
    direct = made("direct", "baseline", [1] * 40 + [0] * 60)
    failing = made("m", "method", ["refused"] * 40 + [1] * 15 + [0] * 45)
    good = made("m", "method", [1] * 70 + [0] * 30)
    comparison = compare(
        {"a": [direct, good], "b": [direct, failing], "c": [direct, replace(direct, solver="m", role="method")]}
    )
    assert list(comparison.undone) == ["b: m"] and comparison.undone["b: m"] in comparison.notes
    assert judge_comparison(comparison).headline == "1 of 3 are shown to be better than a: direct."


def test_what_cannot_be_compared_is_refused() -> None:
    whole = [DIRECT, made("tuned", "method", [1, 1, 0, 0])]
    with pytest.raises(RunError, match="at least two runs, not 1"):
        compare({"one": whole})
    with pytest.raises(RunError, match="two has nothing but a baseline"):
        compare({"one": whole, "two": [DIRECT]})
    with pytest.raises(RunError, match="two has no baseline"):
        compare({"one": whole, "two": whole[1:]})
    with pytest.raises(RunError, match="one was evaluated on split 'test' and two on 'dev'"):
        compare({"one": whole, "two": [made(s.solver, s.role, [1], split="dev") for s in whole]})
    with pytest.raises(RunError, match=r"one \(toy\) and two \(toy\) were evaluated on different tasks"):
        compare({"one": whole, "two": [made(s.solver, s.role, [1], task_fingerprint="f1") for s in whole]})
