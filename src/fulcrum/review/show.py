"""How things are shown: texts cut and made harmless, intervals drawn, changes marked, events put into words."""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fulcrum.report.text import Cut, visible
from fulcrum.strategies.markdown import FIELDS
from fulcrum.strategies.records import (
    Advice,
    AnyEvent,
    Checked,
    Decided,
    Edited,
    Effect,
    Measured,
    Merged,
    Proposed,
)

LONGEST = 6_000
"""Most characters of one text on a page."""

MOST_MESSAGES = 60
"""Most messages of one dialogue on a page; the last ones are shown."""

_MINUS = "\N{MINUS SIGN}"
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@cache
def templates() -> Environment:
    """Return the templates: every text that they print is escaped, and its unseen characters are made visible."""
    environment = Environment(
        loader=PackageLoader("fulcrum.review"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[[Any], Any]] = {"cut": shorten, "signed": signed, "segment": segment}
    environment.filters |= filters
    return environment


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def shorten(text: str) -> Cut:
    """Return as much of a text as a page shows; what is left out is not even looked at."""
    return Cut(visible(text[:LONGEST]), max(0, len(text) - LONGEST))


def segment(text: str) -> str:
    """Return a text as one segment of an address."""
    return quote(text, safe="")


def signed(value: float) -> str:
    """Return a figure with its sign, two digits behind the point."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", _MINUS)


@dataclass(frozen=True, slots=True)
class Plot:
    """Where an effect lies in a strip 120 wide, zero in the middle.

    Attributes:
        low: left end of the interval.
        point: the estimate.
        high: right end.
        kind: how to read it.
    """

    low: float
    point: float
    high: float
    kind: Literal["helps", "harms", "unclear"]


def scale_of(effects: Sequence[Effect]) -> float:
    """Return the largest absolute value that a plot of these effects must hold."""
    return max([0.1, *(max(abs(effect.low), abs(effect.high), abs(effect.estimate)) for effect in effects)])


def plot(effect: Effect, scale: float) -> Plot:
    """Place an effect in a strip whose ends are minus and plus `scale`."""
    low, point, high = (round(60 + 56 * value / scale, 1) for value in (effect.low, effect.estimate, effect.high))
    return Plot(low, point, high, "helps" if effect.helps else "harms" if effect.harms else "unclear")


Part = tuple[Literal["same", "gone", "new"], str]


def word_changes(before: str, after: str) -> list[Part]:
    """Return what became of a text word by word."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    parts: list[Part] = []
    for what, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            parts.append(("same", "".join(old[i:j])))
            continue
        if j > i:
            parts.append(("gone", "".join(old[i:j])))
        if m > k:
            parts.append(("new", "".join(new[k:m])))
    return parts


def changes(before: Advice, after: Advice) -> dict[str, list[Part]]:
    """Return the fields that differ, each with what became of its words."""
    return {
        name: word_changes(getattr(before, name), getattr(after, name))
        for name in FIELDS
        if getattr(before, name) != getattr(after, name)
    }


def say_effect(effect: Effect) -> str:
    """Return an effect with its interval on one line."""
    interval = f"[{signed(effect.low)}, {signed(effect.high)}]"
    return f"{effect.measure} {signed(effect.estimate)} {interval}, {effect.n} pairs"


def say_event(event: AnyEvent) -> str:
    """Return what happened, as what its `who` did."""
    match event:
        case Proposed():
            return f"proposed it, from {', '.join(event.parents)}" if event.parents else "proposed it"
        case Decided():
            return f"{event.kind} it"
        case Edited():
            return f"edited it: version {event.parent + 1}"
        case Merged():
            return f"merged it into {event.into}"
        case Measured():
            return f"measured version {event.version}: {say_effect(event.effect)}"
        case Checked():
            found = "; ".join(f"{finding.severity}, {finding.check}" for finding in event.findings)
            return f"checked version {event.version}: {found or 'nothing found'}"
        case _:
            return "wrote a note"
