"""Which strategies a reviewer sees, in which order, and which are like one another."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast
from urllib.parse import urlencode

from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import STATUSES, Effect, Status
from fulcrum.strategies.words import tokens

PAGE = 50
"""Strategies on one page."""

_MEASURES = ("leave-one-out", "on-off", "state")
"""What says most of a strategy in use comes first."""


def effect_of(strategy: Strategy) -> Effect | None:
    """Return the effect that counts most among those measured, or None."""
    known = [strategy.effects[measure] for measure in _MEASURES if measure in strategy.effects]
    return next(iter([*known, *strategy.effects.values()]), None)


def _by_effect(strategy: Strategy) -> tuple[float, float]:
    effect = effect_of(strategy)
    return (-effect.estimate, effect.low) if effect else (math.inf, 0.0)


def _by_doubt(strategy: Strategy) -> float:
    """What was never measured is the most uncertain; an interval clear of zero is certain, however wide."""
    effect = effect_of(strategy)
    if effect is None:
        return -math.inf
    return 0.0 if effect.helps or effect.harms else effect.low - effect.high


def _by_objections(strategy: Strategy) -> tuple[int, int]:
    return (-len(strategy.before_approval()), -len(strategy.findings or ()))


ORDERS: Mapping[str, tuple[str, Callable[[Strategy], object] | None]] = {
    "effect": ("most effect first", _by_effect),
    "uncertain": ("most uncertain first", _by_doubt),
    "objections": ("most objections first", _by_objections),
    "newest": ("newest first", None),
}
"""Name in the address -> what a person reads, and the key; None turns the library's own order round."""


@dataclass(frozen=True, slots=True)
class View:
    """A queue, as the address of a page names it.

    Attributes:
        status: only these; None for all.
        order: a key of `ORDERS`.
        words: only strategies that hold each of these words.
        page: from 1.
    """

    status: Status | None = "proposed"
    order: str = "effect"
    words: str = ""
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """Return the view that the query of an address names; what it cannot read is as if it were not there."""
        status, order, page = query.get("status", "proposed"), query.get("order", ""), query.get("page", "")
        return cls(
            status=status if status in STATUSES else None if status == "all" else "proposed",
            order=order if order in ORDERS else "effect",
            words=query.get("q", "")[:200],
            page=int(page) if page.isdecimal() and 0 < len(page) < 7 else 1,
        )

    @property
    def query(self) -> str:
        """The view as the query of an address, its page left out."""
        return urlencode(self.fields)

    @property
    def fields(self) -> dict[str, str]:
        """The view as fields of a form, its page left out."""
        return {"status": self.status or "all", "order": self.order, "q": self.words}

    def but(self, **changes: object) -> str:
        """Return the query of a view that differs in these attributes."""
        other = replace(self, **cast("dict[str, str]", {"page": 1, **changes}))
        return other.query + (f"&page={other.page}" if other.page > 1 else "")

    def look(self, library: Library) -> "Queue":
        """Return what is in the queue now."""
        found = library.search(self.words) if self.words.strip() else library.strategies()
        chosen = [strategy for strategy in found if self.status in (None, strategy.status)]
        key = ORDERS[self.order][1]
        chosen = chosen[::-1] if key is None else sorted(chosen, key=cast("Callable[[Strategy], float]", key))
        return Queue(self, tuple(chosen), Counter(strategy.status for strategy in found))


@dataclass(frozen=True, slots=True)
class Queue:
    """The strategies of a view.

    Attributes:
        view: which.
        strategies: all of them, in order.
        counts: how many there are of each status, with these words.
    """

    view: View
    strategies: Sequence[Strategy]
    counts: Mapping[str, int]

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, math.ceil(len(self.strategies) / PAGE))

    @property
    def page(self) -> Sequence[Strategy]:
        """The strategies of the view's page; behind the last page, those of the last."""
        start = (self.number - 1) * PAGE
        return self.strategies[start : start + PAGE]

    @property
    def number(self) -> int:
        """Number of the page shown."""
        return min(self.view.page, self.pages)

    def around(self, id: str) -> "Place":
        """Return where a strategy stands in the queue."""
        ids = [strategy.id for strategy in self.strategies]
        if id not in ids:
            return Place(0, len(ids), None, None)
        index = ids.index(id)
        return Place(
            index + 1, len(ids), ids[index - 1] if index else None, ids[index + 1] if index + 1 < len(ids) else None
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where one strategy stands in a queue.

    Attributes:
        number: from 1; 0 if it is not in it (any more).
        of: length of the queue.
        before: id of the one before it.
        after: id of the one behind it.
    """

    number: int
    of: int
    before: str | None
    after: str | None


class Neighbours:
    """Finds the strategies that share most words with one; a strategy's words are read once a version."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[int, frozenset[str]]] = {}

    def of(
        self, strategy: Strategy, others: Sequence[Strategy], *, most: int = 5, least: float = 0.2
    ) -> list[tuple[Strategy, float]]:
        """Return the strategies most like one, with the share of words in common, 0..1.

        Args:
            strategy: the one.
            others: where to look; itself and what was merged away is left out.
            most: no more than this.
            least: none that shares less.
        """
        own = self.words(strategy)
        shares = [
            (other, len(own & words) / len(own | words))
            for other in others
            if other.id != strategy.id and other.merged_into is None and (words := self.words(other)) and own
        ]
        alike = sorted((pair for pair in shares if pair[1] >= least), key=lambda pair: (-pair[1], pair[0].id))
        return alike[:most]

    def words(self, strategy: Strategy) -> frozenset[str]:
        """Return the words of a strategy that carry meaning."""
        version, words = self._words.get(strategy.id, (0, frozenset[str]()))
        if version != strategy.version:
            advice = strategy.advice
            words = frozenset(tokens(f"{advice.scenario} {advice.when} {advice.do} {advice.avoid}"))
            self._words[strategy.id] = (strategy.version, words)
        return words
