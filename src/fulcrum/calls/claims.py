"""Claims: which thread makes a call that several want at the same time."""

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future

from fulcrum.chat import Completion

Claim = Future[Completion | None]
"""A call in flight: its answer, or None if none came of it, and whoever waits may make the call."""


class Claims:
    """The calls that are being made now, by key, so that another thread waits for one in place of paying again."""

    def __init__(self) -> None:
        self._open: dict[str, Claim] = {}
        self._lock = threading.Lock()

    def take(self, keys: Iterable[str]) -> tuple[dict[str, Claim], dict[str, Claim]]:
        """Return the claims that are now the caller's, to be settled or released, and those of other threads."""
        own: dict[str, Claim] = {}
        others: dict[str, Claim] = {}
        with self._lock:
            for key in keys:
                if key in self._open:
                    others[key] = self._open[key]
                else:
                    own[key] = self._open[key] = Claim()
        return own, others

    def settle(self, answers: Mapping[str, Completion | None]) -> None:
        """Hand answers to the threads that wait for them. What can be stored is stored before."""
        with self._lock:
            for key, answer in answers.items():
                self._open[key].set_result(answer)
                del self._open[key]

    def release(self, own: Mapping[str, Claim]) -> None:
        """Give up those of the caller's claims that it has not settled."""
        self.settle(dict.fromkeys(key for key, claim in own.items() if not claim.done()))
