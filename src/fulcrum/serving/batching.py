"""From single requests on an event loop to batches for a function that blocks."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Work = Callable[[Sequence[Item]], Iterable[Sequence[tuple[int, Answer]]]]
"""Answers a batch, in groups as they finish, each answer with the index of its item."""

_log = logging.getLogger(__name__)


class Busy(Exception):
    """There is no prospect of an answer in time, so none was waited for."""


@dataclass(eq=False, slots=True)
class _Ticket:
    item: Any
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Batcher(Generic[Item, Answer]):
    """Gives a blocking function all that has come in while it was at work, as its next batch.

    Nothing ever waits for a batch to fill: alone, a request is a batch of one, at once. What nobody waits for any
    more is dropped before it is worked on. What a batch that failed leaves unanswered is tried once more, one by one:
    an item that cannot be answered costs no other its answer.

    Args:
        work: the function; called in threads of the batcher.
        size: most items in a batch.
        workers: batches under way at once.
        waiting: most items that wait; beyond it they are refused.
        patience: seconds after which a batch under way counts as stuck. While all workers are stuck, new items are
            refused at once: to wait as well would make every request late.
        closed: called in the last worker, when it ends.
        observe: told the size of each batch.
    """

    def __init__(
        self,
        work: Work[Item, Answer],
        *,
        size: int = 16,
        workers: int = 1,
        waiting: int = 1024,
        patience: float | None = None,
        closed: Callable[[], None] = lambda: None,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._work = work
        self._size = size
        self._waiting = waiting
        self._patience = patience
        self._when_closed = closed
        self._observe = observe
        self._queue: deque[_Ticket] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._alive = workers
        self._busy_since: list[float | None] = [None] * workers
        self._threads = [
            threading.Thread(target=self._run, args=(index,), name=f"fulcrum-batch-{index}", daemon=True)
            for index in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def submit(self, item: Item) -> Answer:
        """Return the answer to one item; cancelling takes the item back.

        Raises:
            Busy: too many wait already, or the function is stuck.
            Exception: whatever the function raised for the item alone.
        """
        loop = asyncio.get_running_loop()
        ticket = _Ticket(item, loop, loop.create_future())
        with self._changed:
            if self._closing or len(self._queue) >= self._waiting or self._stuck():
                raise Busy
            self._queue.append(ticket)
            self._changed.notify()
        return await ticket.future

    def close(self) -> None:
        """Take nothing more, and end when all that waits is done; does not wait for that."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end after `close`, for so many seconds at most."""
        for thread in self._threads:
            thread.join(timeout)

    def _stuck(self) -> bool:
        if self._patience is None:
            return False
        limit = time.monotonic() - self._patience
        return all(since is not None and since < limit for since in self._busy_since)

    def _run(self, worker: int) -> None:
        while tickets := self._next(worker):
            self._observe(len(tickets))
            self._answer(tickets)
        with self._changed:
            self._alive -= 1
            last = self._alive == 0
        if last:
            self._when_closed()

    def _next(self, worker: int) -> list[_Ticket]:
        """Wait for items; return none when there will be no more."""
        with self._changed:
            self._busy_since[worker] = None
            while True:
                tickets: list[_Ticket] = []
                while self._queue and len(tickets) < self._size:
                    ticket = self._queue.popleft()
                    if not ticket.future.done():
                        tickets.append(ticket)
                if tickets or self._closing:
                    break
                self._changed.wait()
            self._busy_since[worker] = time.monotonic()
            return tickets

    def _answer(self, tickets: Sequence[_Ticket]) -> None:
        unanswered = dict(enumerate(tickets))
        try:
            for group in self._work([ticket.item for ticket in tickets]):
                for index, answer in group:
                    _deliver(unanswered.pop(index), answer)
            error: Exception = RuntimeError("no answer came back for a request of the batch")
        except (
            Exception
        ) as raised:  # whatever it is, it is those who wait that must hear of it, and the thread lives on
            error = raised
        for ticket in unanswered.values():
            if len(tickets) == 1:
                _deliver(ticket, error)
            elif not ticket.future.done():
                self._answer([ticket])


def _deliver(ticket: _Ticket, answer: Any) -> None:
    try:
        ticket.loop.call_soon_threadsafe(_settle, ticket.future, answer)
    except RuntimeError:  # the loop is closed: the server has stopped without waiting for this answer
        _log.info("an answer came after the server had stopped")


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
