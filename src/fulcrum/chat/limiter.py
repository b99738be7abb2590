"""How many calls may be under way at once: discovered from the endpoint's answers, not guessed by the user."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

_START = 8
_ISOLATED = 0.1


class Limiter:
    """Additive increase, multiplicative decrease (AIMD), as TCP finds the width of a link.

    A round is as many answers as the limit allows calls. Until the endpoint first refuses a call the limit doubles
    each round. An isolated refusal (the first of a round, or up to a tenth of it) takes one place: an endpoint that
    is shared with others refuses a call now and then, and to halve for each would leave most of it unused. More
    refusals halve the limit, once for all calls that were under way together. Each answer then gives one place
    back, up to just below the height of the refusal; beyond it each round tries one place more.

    It belongs to one event loop; only `limit` may be read from other threads.

    Args:
        maximum: the limit never exceeds this.
    """

    def __init__(self, maximum: int) -> None:
        self.limit = min(_START, maximum)
        self._maximum = maximum
        self._refused_at: int | None = None
        self._halvings: int = 0
        self._answers = 0
        self._refusals = 0
        self._in_flight = 0
        self._opens_at = 0.0
        self._turnstile = anyio.Lock()
        self._changed = anyio.Event()

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator["Slot", None]:
        """Wait for a free place and for the end of any pause, and hold the place for one call."""
        async with self._turnstile:  # First come, first served: only the head of the queue watches for a place.
            while True:
                if (closed_for := self._opens_at - anyio.current_time()) > 0:
                    await anyio.sleep(closed_for)
                elif self._in_flight >= self.limit:
                    await self._changed.wait()
                else:
                    break
            self._in_flight += 1
        try:
            yield Slot(self, self._halvings)
        finally:
            self._in_flight -= 1
            self._wake()

    def pause(self, seconds: float) -> None:
        """Begin no call for so long; calls that are under way go on."""
        self._opens_at = max(self._opens_at, anyio.current_time() + seconds)

    def grow(self) -> None:
        """Count one answer of a call that still holds its place."""
        if self._in_flight * 2 < self.limit:
            return  # So few calls under way say nothing about a higher limit.
        self._answers += 1
        round_ends = self._answers >= self.limit
        if self._refused_at is None or self.limit < self._refused_at - 1 or round_ends:
            self.limit = min(self.limit + 1, self._maximum)
            self._wake()
        if round_ends:
            self._answers = self._refusals = 0

    def shrink(self, halvings: int) -> None:
        """Count one refusal of a call that began after so many halvings; older news changes nothing."""
        if halvings != self._halvings:
            return
        self._refusals += 1
        height = self._refused_at or 0
        if self._refusals <= max(1, self.limit * _ISOLATED):
            self._refused_at = max(self.limit, height)
            self.limit = max(1, self.limit - 1)
        else:
            self._refused_at = max(self.limit, (self.limit + height) // 2)
            self.limit = max(1, self.limit // 2)
            self._halvings += 1
            self._answers = self._refusals = 0

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class Slot:
    """The place of one call; the call reports here how the endpoint took it."""

    def __init__(self, limiter: Limiter, halvings: int) -> None:
        self._limiter = limiter
        self._halvings = halvings

    def answered(self) -> None:
        """The endpoint had room for the call."""
        self._limiter.grow()

    def refused(self) -> None:
        """The endpoint was too busy for the call."""
        self._limiter.shrink(self._halvings)
