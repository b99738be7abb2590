import itertools
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulcrum.evaluation.pairing import Outcome, outcomes, pair, pass_at
from fulcrum.evaluation.results import pool_seeds
from support.evaluation import made


def test_attempts_of_one_example_are_averaged_and_failures_left_out() -> None:
    parts = [
        made("mine", "method", {"a": 1, "b": 0.5, "c": "timeout", "d": None}, sample=0),
        made("mine", "method", {"a": 0, "b": "server", "c": "timeout", "d": 1}, sample=1),
        made("mine", "method", {"a": 0.5, "b": 1, "c": "timeout", "d": 0}, seed=1),
    ]
    result = outcomes(pool_seeds(parts)["mine"].rollouts)
    assert result == {
        "a": Outcome(value=0.5, solved=1 / 3),
        "b": Outcome(value=0.75, solved=0.5),
        "d": Outcome(value=1 / 3, solved=1 / 3),
    }


def test_harm_and_rescue_by_hand() -> None:
    #                                     kept  kept broken rescued no   no  failed failed
    before = outcomes(made("direct", "baseline", [1, 1, 1, 0, 0, 0.5, 1, "timeout"]).rollouts)
    after = outcomes(made("mine", "method", [1, 1, 0, 1, 0, 0.75, "timeout", 1]).rollouts)
    pairing = pair(before, after)
    assert pairing is not None
    assert pairing.n == 6
    assert pairing.difference.estimate == pytest.approx((0 + 0 - 1 + 1 + 0 + 0.25) / 6)
    assert pairing.harm is not None
    assert pairing.rescue is not None
    assert pairing.harm.estimate == pytest.approx(1 / 3)
    assert pairing.rescue.estimate == pytest.approx(1 / 3)
    assert (pairing.broken, pairing.rescued, pairing.p_value) == (1, 1, 1.0)


def test_with_several_attempts_harm_is_the_chance_that_a_right_attempt_becomes_a_wrong_one() -> None:
    before = {"a": Outcome(1, 1), "b": Outcome(0.5, 0.5), "c": Outcome(0, 0)}
    after = {"a": Outcome(0.75, 0.75), "b": Outcome(0.25, 0.25), "c": Outcome(0.5, 0.5)}
    pairing = pair(before, after)
    assert pairing is not None
    assert pairing.harm is not None
    assert pairing.rescue is not None
    assert pairing.harm.estimate == pytest.approx((1 * 0.25 + 0.5 * 0.75) / 1.5)
    assert pairing.rescue.estimate == pytest.approx((0.5 * 0.25 + 1 * 0.5) / 1.5)
    assert (pairing.broken, pairing.rescued) == (2, 1)


def test_what_cannot_be_measured_is_none_and_not_zero() -> None:
    solved, unsolved = {"a": Outcome(1, 1)}, {"a": Outcome(0, 0)}
    nothing_solved, all_solved = pair(unsolved, solved), pair(solved, unsolved)
    assert nothing_solved is not None
    assert all_solved is not None
    assert nothing_solved.harm is None
    assert all_solved.rescue is None
    assert pair(solved, {"b": Outcome(1, 1)}) is None


outcome_maps = st.dictionaries(
    st.sampled_from("abcdefgh"), st.integers(0, 12).map(lambda right: Outcome(right / 12, right / 12)), min_size=1
)


@settings(max_examples=50, deadline=None)
@given(outcome_maps, outcome_maps)
def test_what_is_gained_is_rescue_less_harm(before: dict[str, Outcome], after: dict[str, Outcome]) -> None:
    pairing = pair(before, after)
    shared = before.keys() & after.keys()
    if pairing is None:
        assert not shared
        return
    solved = sum(before[key].solved for key in shared)
    harm = pairing.harm.estimate if pairing.harm else 0.0
    rescue = pairing.rescue.estimate if pairing.rescue else 0.0
    gained = rescue * (len(shared) - solved) - harm * solved
    assert gained / len(shared) == pytest.approx(pairing.difference.estimate, abs=1e-6)


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=6), st.integers(1, 6))
def test_pass_at_k_is_the_best_averaged_over_all_choices_of_k_attempts(values: list[float], k: int) -> None:
    parts = [made("mine", "method", {"a": value}, sample=sample) for sample, value in enumerate(values)]
    result = pass_at(pool_seeds(parts)["mine"].rollouts, k)
    if k > len(values):
        assert result == {}
        return
    best = [max(choice) for choice in itertools.combinations(values, k)]
    assert 0 <= result["a"].value <= 1
    assert result["a"].value == pytest.approx(statistics.fmean(best))
    assert result["a"].solved == pytest.approx(statistics.fmean(value == 1 for value in best))


def test_pass_at_k_leaves_out_failed_attempts_and_refuses_zero() -> None:
    parts = [made("mine", "method", {"a": 1, "b": 1}), made("mine", "method", {"a": "timeout", "b": 0}, sample=1)]
    rollouts = pool_seeds(parts)["mine"].rollouts
    assert pass_at(rollouts, 2) == {"b": Outcome(1.0, 1.0)}
    with pytest.raises(ValueError, match="at least 1"):
        pass_at(rollouts, 0)
