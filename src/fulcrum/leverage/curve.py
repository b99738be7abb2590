# pyright: basic
"""The data-efficiency curve: how many more task tokens plain finetuning needs for the same score.

Between measured sizes a curve is read by linear interpolation in the logarithm of the tokens, after the scores have
been made monotone (pooled where more data did worse). Beyond the largest size nothing is read: the answer there is
"not reached", never an extrapolation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """What one arm reached at each size.

    Attributes:
        tokens: different task tokens of each size, increasing.
        scores: score of each example, `[size, seed, example]`, in 0..1.
    """

    tokens: Sequence[float]
    scores: Scores

    def __post_init__(self) -> None:
        if self.scores.ndim != 3 or len(self.scores) != len(self.tokens):
            raise ValueError(f"{len(self.tokens)} sizes need scores [size, seed, example], not {self.scores.shape}")
        if any(second <= first for first, second in zip(self.tokens, self.tokens[1:], strict=False)):
            raise ValueError("the sizes of a curve increase")

    @property
    def means(self) -> Scores:
        """Mean score of each size."""
        return self.scores.mean(axis=(1, 2))


@dataclass(frozen=True, slots=True)
class Factor:
    """How many times as many task tokens the other arm needs.

    Attributes:
        estimate: the factor; infinite where the other arm never reaches the score.
        low: lower end of its 95 % interval.
        high: upper end.
        at_most: true if the other arm is as good at its smallest size already, so that the factor is a bound.
    """

    estimate: float
    low: float
    high: float
    at_most: bool = False

    def __str__(self) -> str:
        bound = "<= " if self.at_most else ""
        return f"{bound}{_written(self.estimate)} [{_written(self.low)}, {_written(self.high)}]"


def _written(factor: float) -> str:
    return "not reached" if math.isinf(factor) else f"{factor:.2f}"


def monotone(scores: Sequence[float] | Scores) -> list[float]:
    """Return the non-decreasing values nearest to the scores: neighbours that fall are pooled to their mean."""
    pools: list[tuple[float, int]] = []
    for score in scores:
        pools.append((float(score), 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (first, n), (second, m) = pools[-2:]
            pools[-2:] = [((first * n + second * m) / (n + m), n + m)]
    return [value for value, count in pools for _ in range(count)]


def tokens_for(score: float, tokens: Sequence[float], scores: Sequence[float] | Scores) -> float:
    """Return the fewest tokens at which a curve reaches a score; infinite if it does not.

    At or below the score of the smallest size that is the smallest size itself.
    """
    rising = monotone(scores)
    if score <= rising[0]:
        return tokens[0]
    for index in range(1, len(rising)):
        if score <= rising[index]:
            part = (score - rising[index - 1]) / (rising[index] - rising[index - 1])
            return math.exp(math.log(tokens[index - 1]) * (1 - part) + math.log(tokens[index]) * part)
    return math.inf


def factors(ours: Curve, other: Curve, *, resamples: int = 2000, seed: int = 0) -> list[Factor]:
    """Return, for each size of ours, how many times its tokens the other arm needs for its score.

    The intervals are percentiles over seeds and examples drawn anew, the same for both arms.
    """
    drawn = [_factors(ours.tokens, mine, other.tokens, theirs) for mine, theirs in _drawn(ours, other, resamples, seed)]
    low, high = _percentiles(np.array(drawn))
    floor = monotone(other.means)[0]
    return [
        Factor(estimate, float(low[index]), float(high[index]), at_most=bool(ours.means[index] <= floor))
        for index, estimate in enumerate(_factors(ours.tokens, ours.means, other.tokens, other.means))
    ]


def overall_factor(ours: Curve, other: Curve, *, resamples: int = 2000, seed: int = 0) -> Factor | None:
    """Return the factor between whole curves: the mean distance of their logarithms over all scores that both reach.

    None if there is no such score.
    """
    estimate = _overall(ours.tokens, ours.means, other.tokens, other.means)
    if estimate is None:
        return None
    drawn = [
        found
        for mine, theirs in _drawn(ours, other, resamples, seed)
        if (found := _overall(ours.tokens, mine, other.tokens, theirs)) is not None
    ]
    low, high = _percentiles(np.array(drawn))
    return Factor(estimate, float(low), float(high))


def _factors(ours: Sequence[float], mine: Scores, other: Sequence[float], theirs: Scores) -> list[float]:
    return [tokens_for(float(score), other, theirs) / tokens for tokens, score in zip(ours, mine, strict=True)]


_LEVELS = 64


def _overall(ours: Sequence[float], mine: Scores, other: Sequence[float], theirs: Scores) -> float | None:
    first, second = monotone(mine), monotone(theirs)
    low, high = max(first[0], second[0]), min(first[-1], second[-1])
    if low >= high:
        return None
    levels = [low + (high - low) * (step + 0.5) / _LEVELS for step in range(_LEVELS)]
    distances = [math.log(tokens_for(y, other, second) / tokens_for(y, ours, first)) for y in levels]
    return math.exp(math.fsum(distances) / len(distances))


def _drawn(ours: Curve, other: Curve, resamples: int, seed: int) -> Sequence[tuple[Scores, Scores]]:
    """Return the means of both arms over seeds and examples drawn with replacement, the same ones for both."""
    if ours.scores.shape[1:] != other.scores.shape[1:]:
        raise ValueError(f"the arms have other seeds or examples: {ours.scores.shape} and {other.scores.shape}")
    random = np.random.default_rng(seed)
    seeds, examples = ours.scores.shape[1:]
    means: list[tuple[Scores, Scores]] = []
    for _ in range(resamples):
        runs: Indices = random.integers(seeds, size=seeds)
        chosen: Indices = random.integers(examples, size=examples)
        weights = np.bincount(chosen, minlength=examples) / examples
        means.append(((ours.scores[:, runs] @ weights).mean(axis=1), (other.scores[:, runs] @ weights).mean(axis=1)))
    return means


def _percentiles(values: Scores) -> tuple[Scores, Scores]:
    """Return the ends of the 95 % interval without averaging, since some values are infinite."""
    ordered = np.sort(values, axis=0)
    last = len(ordered) - 1
    return ordered[math.floor(0.025 * last)], ordered[math.ceil(0.975 * last)]
