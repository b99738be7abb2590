import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from fulcrum.serving.batching import Batcher, Busy


def test_all_that_comes_in_while_it_works_is_one_batch_and_the_cancelled_is_not_worked_on() -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def work(items: Sequence[int]) -> Iterator[Sequence[tuple[int, int]]]:
        batches.append(list(items))
        begun.set()
        go_on.wait(10)
        for index, item in reversed(list(enumerate(items))):
            yield [(index, item * 10)]

    async def main() -> list[int]:
        batcher = Batcher[int, int](work, size=4, closed=closed.set)
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(batcher.submit(item)) for item in range(1, 8)]
        await asyncio.sleep(0)
        others.pop(1).cancel()
        await asyncio.sleep(0)
        go_on.set()
        answers = await asyncio.gather(first, *others)
        batcher.close()
        with pytest.raises(Busy):
            await batcher.submit(9)
        return answers

    assert asyncio.run(main()) == [0, 10, 30, 40, 50, 60, 70]
    assert batches == [[0], [1, 3, 4, 5], [6, 7]]
    assert closed.wait(10)


def test_an_item_that_cannot_be_answered_costs_no_other_its_answer() -> None:
    begun, go_on = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def work(items: Sequence[int]) -> Iterator[Sequence[tuple[int, int]]]:
        batches.append(list(items))
        begun.set()
        go_on.wait(10)
        for index, item in enumerate(items):
            if item < 0:
                raise LookupError("no")
            yield [(index, item)]

    async def main() -> None:
        batcher = Batcher[int, int](work)
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(batcher.submit(item)) for item in (1, -1, 2)]
        await asyncio.sleep(0)
        go_on.set()
        zero, one, none, two = await asyncio.gather(first, *others, return_exceptions=True)
        batcher.close()
        assert (zero, one, two) == (0, 1, 2) and isinstance(none, LookupError)

    asyncio.run(main())
    assert batches == [[0], [1, -1, 2], [-1], [2]]


def test_too_many_are_refused() -> None:
    go_on = threading.Event()

    def work(items: Sequence[int]) -> Iterator[Sequence[tuple[int, int]]]:
        go_on.wait(10)
        yield list(enumerate(items))

    async def main() -> None:
        batcher = Batcher[int, int](work, size=1, waiting=2)
        tasks = [asyncio.create_task(batcher.submit(item)) for item in range(8)]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert isinstance(done.pop().exception(), Busy) and len(waiting) <= 7
        go_on.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert 2 <= sum(isinstance(result, int) for result in results) <= 3
        batcher.close()

    asyncio.run(main())


def test_two_workers_work_at_once() -> None:
    barrier = threading.Barrier(2, timeout=10)

    def work(items: Sequence[int]) -> Iterator[Sequence[tuple[int, int]]]:
        barrier.wait()
        yield list(enumerate(items))

    async def main() -> list[int]:
        batcher = Batcher[int, int](work, size=1, workers=2)
        answers = await asyncio.gather(batcher.submit(1), batcher.submit(2))
        batcher.close()
        return answers

    assert asyncio.run(main()) == [1, 2]
