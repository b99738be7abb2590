r"""The answer is right if its final number is the target."""

import math
from fractions import Fraction

from pydantic import NonNegativeFloat

from fulcrum.task.example import Example
from fulcrum.task.score import Score, right, unparsable, wrong
from fulcrum.task.scorers.numerals import Number, final_number, read_number
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_error


class NumberScorer(ConfiguredScorer):
    r"""Compares final numbers.

    The final number is what stands in the last `\boxed{...}`; else behind the last `####`; else the last number of
    the text. A box with no number in it, with several, or with more than a number and its unit is unparsable; so is,
    anywhere, a number that is part of a power, a root or a fraction of terms, or whose digits a plain space parts.
    Read are signs, thousands separators, decimals, exponents and `a x 10^b`, currency signs, `a/b`, `a b/c`,
    `\frac{a}{b}` and percent. If one side has a percent sign, both `50 %` = `50` and `50 %` = `0.5` hold, for the
    questions that ask for "percent" do not agree on it.

    Attributes:
        tolerance: allowed distance, absolute up to a target of 1 and relative beyond.
    """

    kind = "number"
    tolerance: NonNegativeFloat = 1e-6

    def score(self, example: Example, text: str) -> Score:
        """Return right, wrong, or unparsable if there is no final number."""
        target, given = _target(example), final_number(text)
        if given is None:
            return unparsable("no final number found")
        if self._equal(given, target):
            return right()
        return wrong(f"expected {target}, not {given}")

    def gold(self, example: Example) -> str:
        """Return the target."""
        return str(_target(example))

    def answer_key(self, text: str) -> str | None:
        """Return the final number as a whole number or fraction, without a percent sign."""
        number = final_number(text)
        return str(number.value) if number else None

    def _equal(self, given: Number, target: Number) -> bool:
        goals = [target.value]
        if given.percent and not target.percent:
            goals.append(target.value * 100)
        elif target.percent and not given.percent:
            goals.append(target.value / 100)
        tolerance = Fraction(self.tolerance)
        return any(abs(given.value - goal) <= tolerance * max(1, abs(goal)) for goal in goals)


def _target(example: Example) -> Number:
    target = example.target
    if isinstance(target, int | float) and not isinstance(target, bool) and math.isfinite(target):
        return Number(Fraction(str(target)))
    if isinstance(target, str) and (number := read_number(target)):
        return number
    raise target_error(example, "a number")
