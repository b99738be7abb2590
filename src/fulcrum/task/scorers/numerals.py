r"""Numbers as people and models write them: `1,080`, `-$5`, `3 1/2`, `\frac12`, `3.5 x 10^5`, `50 %`."""

import re
from dataclasses import dataclass
from fractions import Fraction

from fulcrum.task.scorers.boxed import last_boxed

_SUPERSCRIPTS = "⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹"
_ON_THE_LINE = str.maketrans(_SUPERSCRIPTS, "-+0123456789")
_DASH = re.compile("[\u2212\u2013]")
_BETWEEN_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|,\\!|\\[,;:! ]|[\u00a0\u2009\u202f'\u2019])(?=[0-9]{3}(?![0-9]))")
_SUPERSCRIPT = re.compile(rf"(?<=[0-9)\]}}])[{_SUPERSCRIPTS}]+")
_FRACTION = re.compile(
    r"(?P<whole>(?<=[0-9])\s*)?\\[cdt]?frac\s*"
    r"(?:\{\s*(?P<top>-?[0-9]+)\s*\}|(?P<top_digit>[0-9]))\s*"
    r"(?:\{\s*(?P<bottom>[0-9]+)\s*\}|(?P<bottom_digit>[0-9])(?![0-9]))"
)

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,2}(?:,[0-9]{2}){1,9},[0-9]{3}(?![0-9])|[0-9]+)"
# A minus that follows a digit, a letter or a bracket subtracts or joins; a fraction is not part of a date. A number is
# not read if it stands `inside` a power, a root or a fraction of terms, if one is `joined` to it, or if plain spaces
# `split` it; it is found all the same, so that no other is taken for the final one.
_NUMBER = re.compile(
    rf"""
    (?P<inside>\^(?:\{{[^{{}}]*)?|(?:√|\\sqrt|\\[cdt]?frac)\s*\{{?|[\]}}]\{{)??
    (?P<sign>(?<![-\w)\]}}])[-+])? (?P<currency>\\?[$€£¥₹])? (?P<inner_sign>(?<=[$€£¥₹])-)?
    (?:
        (?P<split>[0-9]{{1,3}}(?:[ ][0-9]{{3}})+(?![0-9])(?:[.,/][0-9]+)*)
      | (?P<whole>[0-9]+)[ ](?P<over>[0-9]+)/(?P<under>[0-9]+) (?![0-9/]|\.[0-9])
      | (?<!/)(?P<numerator>{_DIGITS})/(?P<denominator>{_DIGITS}) (?![0-9/]|\.[0-9])
      | (?P<decimal>(?:{_DIGITS}(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+)(?:[eE][-+]?[0-9]{{1,3}}(?![0-9]))?)
        (?:[ ]?(?:[x*\u00d7\u00b7]|\\times|\\cdot)[ ]?10\^\{{?(?P<power>[-+]?[0-9]{{1,3}})(?![0-9])\}}?)?
    )
    (?P<percent>\s?\\?%)?
    (?P<joined>[ ]?(?:(?:\^(?!\{{?\\circ)|√|\\sqrt)(?:\{{[^{{}}]*\}}|-?\w*)|π|\\pi\b))?
    """,
    re.VERBOSE,
)
_LONGEST = 400
"""Digits of the longest number that is read: more are noise, and would cost time."""

_MARK = re.compile(r"####[ \t]*(?P<rest>[^\n]*)")
_LIST_ITEM = re.compile(r"[0-9]+[.)]\s")
_MINUS_APART = re.compile(r"^\s*-\s+")
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}(?:\^(?:[0-9]|\{[0-9]\}))?")
_AROUND = re.compile(
    r"\^(?:\\circ|\{\\circ\})|\\[,;:! ]|~|(?<=[0-9])(?:[ckm]m(?:/h)?|[km]g|ml|ft|lbs?|mph|st|nd|rd|th)(?![A-Za-z])"
    r"|\\(?:left|right|approx|q?quad|displaystyle|(?:text|math|bold)\w*|mbox|underline|pounds|euro|degree)(?![A-Za-z])"
)
"""Units, spaces and commands that change nothing of a number beside them."""
_TERM = re.compile(
    r"\\[A-Za-z]|[-+^_<>≤≥±\u00d7\u00b7÷√]|(?<!\*)\*(?!\*)"
    r"|0\s*!|[A-Za-z\u03b1-\u03c9]\(?0|0\)?[A-Za-z\u03b1-\u03c9]|/\s*0|0\s*/\s*(?![A-Za-z]{2})"
)
"""What makes the number in a box, here a 0, a part of something else: a function, an operator, a variable."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: `value` without the percent sign, and whether there was one."""

    value: Fraction
    percent: bool = False

    def __str__(self) -> str:
        """Return the number as a person writes it: 12, 0.5, 1/3, 50%."""
        value, rest = self.value, self.value.denominator
        for prime in (2, 5):
            while rest % prime == 0:
                rest //= prime
        # Only a denominator of twos and fives has an end as a decimal.
        text = str(value) if value.denominator == 1 or rest > 1 else _decimal(value)
        return f"{text}%" if self.percent else text


def read_number(text: str) -> Number | None:
    """Return the number that a text is, None if it is anything else."""
    match = _NUMBER.fullmatch(_plain(text.strip()))
    return _read(match) if match else None


def final_number(text: str) -> Number | None:
    """Return the final number of an answer, None if there is none or if it is not clear which it is."""
    boxed = last_boxed(text)
    if boxed is not None:
        return _only_number(boxed)
    text = _plain(text)
    marked = [
        number
        for mark in _MARK.finditer(text)
        if not _LIST_ITEM.match(mark["rest"]) and (number := _NUMBER.match(mark["rest"]))
    ]
    numbers = marked or list(_NUMBER.finditer(text))
    return _read(numbers[-1]) if numbers else None


def _only_number(boxed: str) -> Number | None:
    """Return what a box holds: it may hold "x = 5 kg"; "3, 4", "10^6" and "2x" are answers, but not one number."""
    whole = _MINUS_APART.sub("-", _plain(boxed).rpartition("=")[2])
    content = _TEXT.sub(" ", whole)
    content = _AROUND.sub(" ", content if content.strip() else whole)  # all of it may be text, as in \boxed{\text{12}}
    numbers = list(_NUMBER.finditer(content))
    if len(numbers) != 1:
        return None
    (number,) = numbers
    mark = " 0" if number["currency"] else "0"
    if _TERM.search(content[: number.start()] + mark + content[number.end() :]):
        return None
    return _read(number)


def _plain(text: str) -> str:
    """Return a text with every dash as `-`, thousands behind commas, superscripts behind `^`, fractions as `a/b`."""
    text = _BETWEEN_THOUSANDS.sub(",", _DASH.sub("-", text))
    text = _SUPERSCRIPT.sub(lambda found: f"^{{{found[0].translate(_ON_THE_LINE)}}}", text)
    return _FRACTION.sub(_with_slash, text)


def _with_slash(fraction: re.Match[str]) -> str:
    top, bottom = fraction["top"] or fraction["top_digit"], fraction["bottom"] or fraction["bottom_digit"]
    return f"{'' if fraction['whole'] is None else ' '}{top}/{bottom}"


def _read(match: re.Match[str]) -> Number | None:
    part = {name: (value or "").replace(",", "") for name, value in match.groupdict().items()}
    if len(match.group()) > _LONGEST or part["inside"] or part["split"] or part["joined"]:
        return None
    if part["decimal"]:
        value = Fraction(part["decimal"]) * Fraction(10) ** int(part["power"] or 0)
    else:
        bottom = int(part["under"] or part["denominator"])
        if bottom == 0:
            return None
        value = Fraction(int(part["over"] or part["numerator"]), bottom) + int(part["whole"] or 0)
    negative = part["sign"] == "-" or bool(part["inner_sign"])
    return Number(-value if negative else value, bool(part["percent"]))


def _decimal(value: Fraction) -> str:
    places = 0
    while (value * 10**places).denominator > 1:
        places += 1
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
