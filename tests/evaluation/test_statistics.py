import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fulcrum.evaluation.statistics import Interval, mcnemar_exact, mean_interval, paired_difference, wilson

scores = st.floats(0, 1, allow_subnormal=False)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_the_interval_holds_the_plain_mean(pairs: list[tuple[float, float]]) -> None:
    before, after = [first for first, _ in pairs], [second for _, second in pairs]
    interval = paired_difference(before, after, resamples=500)
    assert interval.estimate == pytest.approx(np.mean(after) - np.mean(before))
    assert -1 <= interval.low <= interval.estimate + 1e-9
    assert interval.estimate - 1e-9 <= interval.high <= 1
    assert interval.low < interval.high


# Eighths, whose sums are exact, so that equal means are equal to the last digit.
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 8).map(lambda eighths: eighths / 8), min_size=1, max_size=40), st.integers(1, 4))
def test_trying_an_example_more_often_makes_no_more_examples(values: list[float], times: int) -> None:
    repeated = [value for value in values for _ in range(times)]
    clusters = [place for place in range(len(values)) for _ in range(times)]
    assert mean_interval(repeated, clusters, resamples=500) == mean_interval(values, resamples=500)


def test_attempts_taken_for_examples_would_give_a_narrower_interval() -> None:
    random = np.random.default_rng(0)
    easy = random.random(40) < 0.5
    attempts, clusters = np.repeat(easy.astype(float), 10), np.repeat(np.arange(40), 10).tolist()
    honest, naive = mean_interval(attempts, clusters), mean_interval(attempts)
    assert honest.high - honest.low > 2.5 * (naive.high - naive.low)


def test_an_example_counts_once_however_often_it_was_tried() -> None:
    assert mean_interval([1, 0, 0, 0], ["a", "b", "b", "b"]).estimate == 0.5


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    before, after = np.linspace(0, 1, 37), np.linspace(1, 0, 37) ** 2
    assert paired_difference(before, after, seed=3) == paired_difference(before, after, seed=3)
    assert paired_difference(before, after, seed=3) != paired_difference(before, after, seed=4)


def test_drawing_in_parts_is_drawing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(0, 1, 50)
    whole = mean_interval(values, resamples=1000)
    monkeypatch.setattr("fulcrum.evaluation.statistics._DRAWN_AT_ONCE", 54 * 7)
    assert mean_interval(values, resamples=1000) == whole


def test_without_any_difference_the_interval_still_has_a_width() -> None:
    few, many = paired_difference([1.0] * 20, [1.0] * 20), paired_difference([1.0] * 2000, [1.0] * 2000)
    assert few.estimate == many.estimate == 0
    assert few.low < -0.03 < 0.03 < few.high
    assert -0.002 < many.low <= 0 <= many.high < 0.002


def test_always_right_on_twenty_is_not_never_wrong() -> None:
    interval = mean_interval([1.0] * 20)
    assert 0.7 < interval.low < 0.9
    assert interval.high == 1


@pytest.mark.parametrize(("rescued", "clear"), [(3, False), (5, False), (6, True), (9, True)])
def test_a_rare_gain_is_clear_of_zero_only_where_the_exact_test_says_so(rescued: int, clear: bool) -> None:
    interval = paired_difference([0.0] * rescued + [1.0] * (150 - rescued), [1.0] * 150)
    assert interval.clear_of_zero == clear == (mcnemar_exact(0, rescued) < 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "rescued", "broken"), [(30, 0.2, 0.05), (60, 0.3, 0.3), (150, 0.05, 0.0), (300, 0.15, 0.05)]
)
def test_about_95_of_100_intervals_hold_the_true_difference(n: int, rescued: float, broken: float) -> None:
    random = np.random.default_rng(n)
    hits = 0
    for trial in range(600):
        kind = random.choice(3, size=n, p=[rescued, broken, 1 - rescued - broken])
        before, after = (kind == 1).astype(float), (kind == 0).astype(float)
        interval = paired_difference(before, after, resamples=1000, seed=trial)
        hits += interval.low <= rescued - broken <= interval.high
    assert 0.93 <= hits / 600 <= 0.985


@pytest.mark.slow
def test_about_95_of_100_intervals_hold_the_true_difference_of_clustered_grades() -> None:
    random = np.random.default_rng(5)
    clusters = np.repeat(np.arange(60), 4).tolist()
    hits = 0
    for trial in range(600):
        ease = np.repeat(random.random(60), 4)
        before, after = random.random(240) < ease, random.random(240) < np.sqrt(ease)
        interval = paired_difference(
            before.astype(float), after.astype(float), clusters=clusters, resamples=1000, seed=trial
        )
        hits += interval.low <= 2 / 3 - 1 / 2 <= interval.high
    assert 0.93 <= hits / 600 <= 0.985


def test_wilson_gives_the_published_figures() -> None:
    # Newcombe (1998), table I, method 3.
    for successes, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        interval = wilson(successes, n)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n))))
def test_a_wilson_interval_holds_its_share(counts: tuple[float, int]) -> None:
    interval = wilson(*counts)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low < interval.high


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_counts_all_outcomes_as_rare_as_the_one_seen(broken: int, rescued: int) -> None:
    n = broken + rescued
    ways = [math.comb(n, k) for k in range(n + 1)]
    expected = sum(way for way in ways if way <= ways[broken]) / 2**n
    assert mcnemar_exact(broken, rescued) == pytest.approx(expected)


def test_mcnemar_is_exact_and_quick_for_ten_thousand_discordant_pairs() -> None:
    started = time.process_time()
    found = [mcnemar_exact(broken, 10_000 - broken) for broken in (0, 4_500, 4_950, 5_000)]
    assert time.process_time() - started < 1
    assert found == pytest.approx([binomtest(broken, 10_000).pvalue for broken in (0, 4_500, 4_950, 5_000)])


def test_a_mean_of_nothing_is_refused() -> None:
    for refused in (
        lambda: mean_interval([]),
        lambda: paired_difference([], []),
        lambda: wilson(0, 0),
        lambda: wilson(3, 2),
        lambda: mean_interval([math.nan]),
        lambda: mean_interval([1.5]),
        lambda: paired_difference([1.0], [1.0, 0.0]),
        lambda: mean_interval([1.0, 0.0], ["a"]),
    ):
        with pytest.raises(ValueError, match=r"score|share|cluster"):
            refused()


def test_clear_of_zero_is_on_either_side() -> None:
    assert Interval(0.2, 0.1, 0.3).clear_of_zero
    assert Interval(-0.2, -0.3, -0.1).clear_of_zero
    assert not Interval(0.1, 0.0, 0.2).clear_of_zero
