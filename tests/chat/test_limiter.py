"""The limiter, run in virtual time: hours of calls take milliseconds and no test depends on the machine's speed."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from fulcrum.chat.limiter import Limiter


class VirtualTime(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when + 1e-6)
        super()._run_once()


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        runner.run(test())


class Server:
    """Serves `capacity` calls at once, each in a tenth of a second, and refuses the others at once."""

    def __init__(self, limiter: Limiter, capacity: int, chance_of_refusal: float = 0.0) -> None:
        self.limiter = limiter
        self.capacity = capacity
        self.chance_of_refusal = chance_of_refusal
        self.dice = random.Random(0)
        self.busy = 0
        self.served = 0
        self.refused = 0

    async def call(self) -> None:
        while True:
            async with self.limiter.slot() as slot:
                if self.busy < self.capacity and self.dice.random() >= self.chance_of_refusal:
                    self.busy += 1
                    await anyio.sleep(self.dice.uniform(0.07, 0.13))
                    self.busy -= 1
                    self.served += 1
                    slot.answered()
                    return
                await anyio.sleep(0.002)
                self.refused += 1
                slot.refused()
            await anyio.sleep(self.dice.uniform(0.1, 0.2))

    async def serve(self, calls: int) -> float:
        begin = anyio.current_time()
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(self.call)
        return self.served * 0.1 / (self.capacity * (anyio.current_time() - begin))


@pytest.mark.parametrize("capacity", [1, 4, 8, 32])
def test_finds_the_capacity_and_uses_nearly_all_of_it(capacity: int) -> None:
    async def test() -> None:
        server = Server(Limiter(maximum=64), capacity)
        share = await server.serve(calls=60 * capacity)
        assert share > 0.85
        assert server.served == 60 * capacity

    in_virtual_time(test)


def test_few_calls_are_refused_once_the_capacity_is_known() -> None:
    async def test() -> None:
        server = Server(Limiter(maximum=64), capacity=16)
        await server.serve(calls=1600)
        assert server.refused < 0.1 * server.served

    in_virtual_time(test)


@pytest.mark.parametrize("capacity", [8, 16])
def test_refusals_by_chance_do_not_keep_the_limit_down(capacity: int) -> None:
    async def test() -> None:
        server = Server(Limiter(maximum=64), capacity, chance_of_refusal=0.04)
        assert await server.serve(calls=1000) > 0.8

    in_virtual_time(test)


def test_never_exceeds_its_maximum() -> None:
    async def test() -> None:
        limiter = Limiter(maximum=5)
        server = Server(limiter, capacity=64)
        assert 4.5 / 64 < await server.serve(calls=500) < 5.5 / 64
        assert limiter.limit == 5

    in_virtual_time(test)


def test_one_event_halves_once_however_many_calls_it_refuses() -> None:
    async def test() -> None:
        limiter = Limiter(maximum=8)
        refuse = anyio.Event()

        async def call() -> None:
            async with limiter.slot() as slot:
                await refuse.wait()
                slot.refused()

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(call)
            await anyio.sleep(1)
            refuse.set()
        assert limiter.limit == 3

    in_virtual_time(test)


def test_an_isolated_refusal_takes_one_place() -> None:
    async def test() -> None:
        limiter = Limiter(maximum=8)
        async with limiter.slot() as slot:
            slot.refused()
        assert limiter.limit == 7

    in_virtual_time(test)


def test_a_server_that_loses_most_of_its_capacity_is_not_flooded() -> None:
    async def test() -> None:
        server = Server(Limiter(maximum=64), capacity=40)
        await server.serve(calls=800)
        server.capacity, server.served, server.refused = 5, 0, 0
        assert await server.serve(calls=400) > 0.8
        assert server.refused < 0.4 * server.served

    in_virtual_time(test)


def test_a_pause_holds_every_call_and_cannot_be_shortened() -> None:
    async def test() -> None:
        limiter = Limiter(maximum=8)
        started: list[float] = []

        async def call() -> None:
            async with limiter.slot():
                started.append(anyio.current_time())

        begin = anyio.current_time()
        limiter.pause(30)
        limiter.pause(5)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(call)
            await anyio.sleep(20)
            assert started == []
            limiter.pause(40)
        assert len(started) == 3
        assert min(started) - begin >= 60

    in_virtual_time(test)


def test_a_lone_call_does_not_raise_the_limit() -> None:
    async def test() -> None:
        limiter = Limiter(maximum=64)
        before = limiter.limit
        for _ in range(100):
            async with limiter.slot() as slot:
                slot.answered()
        assert limiter.limit == before

    in_virtual_time(test)


def test_a_cancelled_call_gives_its_place_back_and_a_cancelled_waiter_loses_nobodys_turn() -> None:
    async def test() -> None:
        limiter = Limiter(maximum=1)
        async with anyio.create_task_group() as holder:
            started = anyio.Event()

            async def hold() -> None:
                async with limiter.slot():
                    started.set()
                    await anyio.sleep_forever()

            holder.start_soon(hold)
            await started.wait()
            with anyio.move_on_after(1):
                async with limiter.slot():
                    raise AssertionError("there is only one place")
            holder.cancel_scope.cancel()
        with anyio.fail_after(1):
            async with limiter.slot():
                pass

    in_virtual_time(test)
