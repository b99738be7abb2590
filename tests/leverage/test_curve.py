"""The factor, against numbers worked out by hand; and the shape of a curve over general sizes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.leverage.curve import Curve, factors, monotone, overall_factor, tokens_for
from fulcrum.leverage.jump import shape

TOKENS = [100.0, 200.0, 400.0, 800.0]


def curve(tokens: list[float], scores: list[float], examples: int = 100, turn: int = 0) -> Curve:
    """Return a curve of two seeds; `turn` says from which example on they are solved, round and round."""
    solved = [
        [float((number - turn) % examples < round(score * examples)) for number in range(examples)] for score in scores
    ]
    return Curve(tokens, np.array([[row, row] for row in solved]))


def test_interpolation_in_the_logarithm_of_the_tokens() -> None:
    scores = [0.1, 0.2, 0.4, 0.6]
    assert tokens_for(0.3, TOKENS, scores) == pytest.approx(math.sqrt(200 * 400))
    assert tokens_for(0.45, TOKENS, scores) == pytest.approx(400 * 2**0.25)
    assert tokens_for(0.4, TOKENS, scores) == pytest.approx(400)
    assert tokens_for(0.05, TOKENS, scores) == 100
    assert math.isinf(tokens_for(0.61, TOKENS, scores))


def test_scores_that_fall_are_pooled() -> None:
    assert monotone([0.1, 0.4, 0.2, 0.6]) == pytest.approx([0.1, 0.3, 0.3, 0.6])
    assert monotone([0.5, 0.3, 0.1]) == pytest.approx([0.3] * 3)
    assert tokens_for(0.3, TOKENS, [0.1, 0.4, 0.2, 0.6]) == pytest.approx(200)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_monotone_values_rise_and_keep_the_mean(scores: list[float]) -> None:
    rising = monotone(scores)
    assert all(first <= second + 1e-12 for first, second in itertools.pairwise(rising))
    assert sum(rising) == pytest.approx(sum(scores))


def test_factor_by_size() -> None:
    ours, other = curve(TOKENS[:3], [0.2, 0.4, 0.7], turn=50), curve(TOKENS, [0.1, 0.2, 0.4, 0.6])
    found = factors(ours, other, resamples=500)
    assert [factor.estimate for factor in found] == pytest.approx([2.0, 2.0, math.inf])
    assert "not reached" in str(found[2])
    for factor in found[:2]:
        assert factor.low < factor.estimate < factor.high
        assert not factor.at_most


def test_a_bound_is_called_a_bound() -> None:
    ours, other = curve(TOKENS, [0.05, 0.2, 0.3, 0.4]), curve(TOKENS, [0.1, 0.2, 0.4, 0.6])
    assert [factor.at_most for factor in factors(ours, other, resamples=50)] == [True, False, False, False]
    assert str(factors(ours, other, resamples=50)[0]).startswith("<= 1.00")


def test_the_factor_between_whole_curves_is_their_horizontal_distance() -> None:
    scores = [0.1, 0.2, 0.4, 0.6]
    ours, other = curve([token / 3 for token in TOKENS], scores), curve(TOKENS, scores)
    found = overall_factor(ours, other, resamples=200)
    assert found is not None and found.estimate == pytest.approx(3.0)
    same = overall_factor(other, other, resamples=200)
    assert same is not None and (same.estimate, same.low, same.high) == pytest.approx((1, 1, 1))
    assert overall_factor(curve(TOKENS, [0.8, 0.9, 0.9, 1.0]), other) is None


def test_the_interval_narrows_with_more_examples() -> None:
    few, many = (
        factors(curve(TOKENS, [0.2, 0.4, 0.5, 0.6], n, n // 2), curve(TOKENS, [0.1, 0.2, 0.4, 0.6], n), resamples=400)[
            0
        ]
        for n in (40, 1000)
    )
    assert many.high / many.low < few.high / few.low


def test_sizes_must_increase() -> None:
    with pytest.raises(ValueError, match="increase"):
        Curve([2.0, 2.0], np.zeros((2, 1, 1)))


SIZES = [0, 100, 300, 1000, 3000, 10000, 20000] * 3
rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.05 * math.log1p(size) + rng.normal(0, 0.01) for size in SIZES], "smooth"),
        ([0.6 * (size > 1000) + rng.normal(0, 0.01) for size in SIZES], "jump"),
        ([rng.normal(0.3, 0.05) for _ in SIZES], "undecided"),
        ([0.0 for _ in SIZES], "undecided"),
        ([1.0 for _ in SIZES], "undecided"),
    ],
)
def test_slope_or_step(values: list[float], verdict: str) -> None:
    found = shape(SIZES[: len(values)], values)
    assert found.verdict == verdict
    if verdict == "jump":
        assert found.jump_after == 1000


def test_too_few_sizes_for_a_verdict() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        shape([1, 2, 3, 3], [0.1, 0.2, 0.3, 0.3])
