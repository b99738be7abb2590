"""Figures made readable."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

_MINUS = "\u2212"
"""A true minus sign: a screen reader says it, where it leaves a hyphen out."""


def points(share: float) -> str:
    """Return a share of 1 in points of 100: 0.4167 is `41.7`."""
    return f"{100 * share:.1f}"


def signed(difference: float) -> str:
    """Return a difference of shares in points of 100, with its sign, be it plus or a true minus."""
    rounded = round(100 * difference, 1)
    return "0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", _MINUS)


def spread(low: float, high: float, *, sign: bool = True) -> str:
    """Return the two ends of an interval in points of 100."""
    write = signed if sign else points
    return f"{write(low)} to {write(high)}"


def percent(share: float) -> str:
    """Return a share as `12.5 %`, held together by a space that does not break."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def count(number: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{number:,}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it: `3.4 s`, `12 min 5 s`, `2 h 10 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    whole = round(seconds)
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "min")] if whole >= 3600 else [(whole // 60, "min")]
    parts += [] if whole >= 3600 else [(whole % 60, "s")]
    return " ".join(f"{number}\N{NO-BREAK SPACE}{unit}" for number, unit in parts)


def money(cost: float | None) -> str:
    """Return money in the price table's currency; `unknown` without a price."""
    return "unknown" if cost is None else f"{cost:,.4f}"


def number(value: float) -> str:
    """Return a figure of a curve in at most four digits that say something."""
    return f"{value:.4g}".replace("-", _MINUS)


def table_of(texts: Sequence[str], figures: Sequence[str], title: str | None = None) -> Table:
    """Return an empty table whose texts fold where it is narrow, so that none is cut, and whose figures do not."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
