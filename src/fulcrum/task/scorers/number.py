r"""The answer is right if its final number is the target."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from pydantic import NonNegativeFloat

from fulcrum.task.example import Example
from fulcrum.task.score import Score, right, unparsable, wrong
from fulcrum.task.scorers.boxed import last_boxed
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_error

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
# A minus that follows a digit, a letter or a bracket subtracts or joins; a fraction is not part of a date.
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w)\]}}])[-+\u2212])? (?:\\?[$€£])? (?P<inner_sign>(?<=[$€£])-)?
    (?:
        \\[dt]?frac\{{ (?P<top>-?[0-9]+) \}} \{{ (?P<bottom>[0-9]+) \}}
      | (?P<whole>[0-9]+)[ ](?P<over>[0-9]+)/(?P<under>[0-9]+) (?![0-9/]|\.[0-9])
      | (?<!/)(?P<numerator>{_DIGITS})/(?P<denominator>{_DIGITS}) (?![0-9/]|\.[0-9])
      | (?P<decimal>(?:{_DIGITS}(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+)(?:[eE][-+]?[0-9]{{1,3}}(?![0-9]))?)
    )
    (?P<percent>\s?\\?%)?
    """,
    re.VERBOSE,
)
_MARK = re.compile(r"####[ \t]*(?P<rest>[^\n]*)")
_LIST_ITEM = re.compile(r"[0-9]+[.)]\s")
_UNIT = re.compile(
    r"\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}(?:\^(?:[0-9]|\{[0-9]\}))?|\^(?:\\circ|\{\\circ\})|\\[,;!: ]|~"
)
_LATEX_COMMA = re.compile(r"(?<=[0-9])(?:\{,\}|,\\!|\\[,!])(?=[0-9]{3}(?![0-9]))")
_MINUS_APART = re.compile(r"^\s*([-\u2212])\s+")
_LONGEST = 400
"""Digits of the longest number that is read: more are noise, and would cost time."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: `value` without the percent sign, and whether there was one."""

    value: Fraction
    percent: bool = False


class NumberScorer(ConfiguredScorer):
    r"""Compares final numbers.

    The final number is what stands in the last `\boxed{...}`; else behind the last `####`; else the last number of
    the text. A box with no number in it, or with several, is unparsable. Read are signs, thousands separators,
    decimals, exponents, currency signs, `a/b`, `a b/c`, `\frac{a}{b}` and percent. If one side has a percent sign,
    both `50 %` = `50` and `50 %` = `0.5` hold, for the questions that ask for "percent" do not agree on it.

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
        return wrong(f"expected {_written(target)}, not {_written(given)}")

    def gold(self, example: Example) -> str:
        """Return the target."""
        return _written(_target(example))

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


def final_number(text: str) -> Number | None:
    """Return the final number of an answer, None if there is none or if it is not clear which it is."""
    boxed = last_boxed(text)
    if boxed is not None:
        # A box may hold "x = 5"; "3, 4" or "10^6" in it are answers, but not one number.
        whole = _MINUS_APART.sub(r"\1", _LATEX_COMMA.sub(",", boxed.rpartition("=")[2]))
        content = _UNIT.sub(" ", whole)
        if not content.strip():  # all of it is set as text, as in \boxed{\text{12}}
            content = whole
        numbers = _numbers(content)
        return numbers[0] if len(numbers) == 1 and "^" not in content else None
    marked = [
        number
        for mark in _MARK.finditer(text)
        if not _LIST_ITEM.match(mark["rest"]) and (number := _NUMBER.match(mark["rest"]))
    ]
    if marked and (number := _read(marked[-1])):
        return number
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


def _numbers(text: str) -> list[Number]:
    return [number for match in _NUMBER.finditer(text) if (number := _read(match))]


def _read(match: re.Match[str]) -> Number | None:
    if len(match.group()) > _LONGEST:
        return None
    part = {name: (value or "").replace(",", "") for name, value in match.groupdict().items()}
    if part["decimal"]:
        value = Fraction(part["decimal"])
    else:
        bottom = int(part["bottom"] or part["under"] or part["denominator"])
        if bottom == 0:
            return None
        value = Fraction(int(part["top"] or part["over"] or part["numerator"]), bottom) + int(part["whole"] or 0)
    negative = part["sign"] in ("-", "\u2212") or bool(part["inner_sign"])
    return Number(-value if negative else value, bool(part["percent"]))


def _target(example: Example) -> Number:
    target = example.target
    if isinstance(target, int | float) and not isinstance(target, bool) and math.isfinite(target):
        return Number(Fraction(str(target)))
    if isinstance(target, str) and (match := _NUMBER.fullmatch(target.strip())) and (number := _read(match)):
        return number
    raise target_error(example, "a number")


def _written(number: Number) -> str:
    """Return a number as a person writes it: 12, 0.5, 1/3, 50%."""
    value, rest = number.value, number.value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    # Only a denominator of twos and fives has an end as a decimal.
    text = str(value) if value.denominator == 1 or rest > 1 else _decimal(value)
    return f"{text}%" if number.percent else text


def _decimal(value: Fraction) -> str:
    places = 0
    while (value * 10**places).denominator > 1:
        places += 1
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
