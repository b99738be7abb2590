# pyright: basic
"""Does more general data help smoothly, or does something jump? Two fits, compared by BIC.

The paper reports an emergence-like jump. A jump in a thresholded score over a loss that falls smoothly is a matter of
the score; so both are fitted.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]

Verdict = Literal["smooth", "jump", "undecided"]

ENOUGH = 2.0
"""Difference of BIC from which on the better fit is named (Kass and Raftery, 1995: positive evidence)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Which of two shapes the values have over the logarithm of the size.

    Attributes:
        verdict: the better one, if it is clearly better than the other and than no change at all.
        smooth_bic: of the better of a line and a parabola; lower is better.
        jump_bic: of two levels with a step between two sizes.
        jump_after: the last size before the best step.
    """

    verdict: Verdict
    smooth_bic: float
    jump_bic: float
    jump_after: int


def shape(sizes: Sequence[int], values: Sequence[float]) -> Shape:
    """Return which shape fits; a size may stand several times, once a seed.

    Raises:
        ValueError: there are fewer than four different sizes: a line and a step cannot be told apart.
    """
    different = sorted(set(sizes))
    if len(different) < 4:
        raise ValueError(f"{len(different)} sizes cannot tell a jump from a slope; give at least 4")
    x, y = np.log1p(np.array(sizes, dtype=float)), np.array(values, dtype=float)
    smooth = min(_bic(y, np.polyval(np.polyfit(x, y, degree), x), degree + 1) for degree in (1, 2))
    steps: list[tuple[float, int]] = []
    for size, _ in itertools.pairwise(different):
        before = np.array(sizes) <= size
        fitted: Values = np.where(before, y[before].mean(), y[~before].mean())
        steps.append((_bic(y, fitted, 3), size))
    jump, after = min(steps)
    level = _bic(y, np.full_like(y, y.mean()), 1)
    verdict: Verdict = "jump" if smooth - jump > ENOUGH else "smooth" if jump - smooth > ENOUGH else "undecided"
    if level - min(smooth, jump) <= ENOUGH:  # nothing changes that could have a shape
        verdict = "undecided"
    return Shape(verdict, smooth, jump, after)


def _bic(values: Values, fitted: Values, parameters: int) -> float:
    """Return n log(RSS/n) + k log n; a perfect fit counts as one to a millionth."""
    n = len(values)
    error = float(np.mean((values - fitted) ** 2))
    return n * math.log(max(error, 1e-12)) + parameters * math.log(n)
