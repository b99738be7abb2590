"""Intervals and tests for scores in 0..1, honest for few examples and for rare differences.

The bootstrap here is the percentile bootstrap over examples, on the data *plus a few invented examples at the ends of
the scale*. The plain bootstrap can only show what the data already show: of 20 right answers out of 20 it concludes
that the model is never wrong, and it calls 5 rescued and 0 broken examples a proof where the exact test says p = 0.06.
Two invented differences, +1 and -1, mend that; for right-or-wrong answers it is the adjustment of Bonett and Price
(2012) for paired proportions, and four invented scores, 0 0 1 1, that of Agresti and Coull (1998) for one proportion.
Both vanish as the number of examples grows. The estimate itself is always the plain mean of the data.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float] | NDArray[np.float64]

_DRAWN_AT_ONCE = 4_000_000
"""Counts held in memory at once while resampling: 32 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float

    @property
    def clear_of_zero(self) -> bool:
        """True if zero is outside the interval."""
        return self.low > 0 or self.high < 0


def paired_difference(
    before: Numbers,
    after: Numbers,
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the mean of `after - before` with a bootstrap interval over examples.

    Args:
        before: scores in 0..1.
        after: scores in 0..1 of the same examples, in the same order.
        clusters: the example that each pair belongs to, if an example stands more than once (seeds, samples). Pairs
            of one example are averaged first: an example counts once, however often it was tried.
        confidence: share of such intervals that hold the true difference.
        resamples: how often the examples are drawn anew.
        seed: of the resampling.

    Raises:
        ValueError: there is no pair, the lengths differ, or a score is outside 0..1.
    """
    first, second = _scores(before), _scores(after)
    if len(first) != len(second):
        raise ValueError(f"paired scores must be of the same examples: {len(first)} before, {len(second)} after")
    differences = _cluster_means(second - first, clusters)
    low, high = _bootstrap(differences, (-1.0, 1.0), confidence, resamples, seed)
    return Interval(float(differences.mean()), low, high)


def mean_interval(
    values: Numbers,
    clusters: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the mean of scores in 0..1 with a bootstrap interval over examples; arguments as in `paired_difference`.

    Raises:
        ValueError: there is no score, or one is outside 0..1.
    """
    means = _cluster_means(_scores(values), clusters)
    low, high = _bootstrap(means, (0.0, 0.0, 1.0, 1.0), confidence, resamples, seed)
    return Interval(float(means.mean()), low, high)


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Return a share with its Wilson score interval.

    Both numbers may be fractions: with several attempts an example may be, say, one third solved.

    Raises:
        ValueError: `n` is zero, or `successes` is not in 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"no share of {successes} in {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At 0 and n of n the bound is the share itself, but for rounding.
    return Interval(share, max(0.0, min(share, center - half)), min(1.0, max(share, center + half)))


def mcnemar_exact(broken: int, rescued: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: are breaks and rescues equally likely?

    Without any of them the p-value is 1.
    """
    n, fewer = broken + rescued, min(broken, rescued)
    # The binomial coefficients n over 0, 1, .. fewer, each made from the one before: ten thousand take milliseconds.
    ways = accumulate(range(fewer), lambda before, k: before * (n - k) // (k + 1), initial=1)
    return min(1.0, 2 * sum(ways) / 2**n)


def _scores(values: Numbers) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.size == 0:
        raise ValueError("there is no score: a mean of nothing has no value and no interval")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a score is between 0 and 1")
    return scores


def _cluster_means(values: NDArray[np.float64], clusters: Sequence[Hashable] | None) -> NDArray[np.float64]:
    if clusters is None:
        return values
    numbers: dict[Hashable, int] = {}
    index = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    if len(index) != len(values):
        raise ValueError(f"{len(values)} values need as many cluster names, not {len(index)}")
    return np.bincount(index, weights=values) / np.bincount(index)


def _bootstrap(
    values: NDArray[np.float64], invented: Sequence[float], confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Return the percentile interval of the mean of `values` and `invented`, drawn with replacement.

    Equal values are drawn as one multinomial count, so right-or-wrong scores cost the same for any n.
    """
    distinct, counts = np.unique(np.concatenate([values, invented]), return_counts=True)
    n = int(counts.sum())
    shares = counts / n
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _DRAWN_AT_ONCE // len(distinct))
    for start in range(0, resamples, step):
        drawn = random.multinomial(n, shares, size=min(step, resamples - start))
        means[start : start + step] = drawn @ distinct / n
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
