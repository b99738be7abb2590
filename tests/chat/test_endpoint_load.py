"""Many calls at once: nothing lost, nothing doubled, nothing read too early, and the server kept busy."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fulcrum.chat import Completion, Request, complete, user
from fulcrum.chat.endpoint import EndpointModel, EndpointSettings
from support.fault_server import FAULTS, LASTING_FAULTS, FaultServer, prompt_of, reversed_prompt


def endpoint(server: FaultServer, **settings: object) -> EndpointModel:
    options = EndpointSettings.model_validate({"backoff": 0.02, "timeout": 1.0, **settings})
    return EndpointModel(f"{server.url}#tiny", server.url, "tiny", options)


def requests(count: int) -> list[Request]:
    return [Request((user(f"prompt {index}"),)) for index in range(count)]


@pytest.mark.slow
def test_with_three_in_ten_calls_faulty_every_request_ends_once_and_rightly() -> None:
    asked = requests(200)
    seen: dict[int, Completion] = {}
    faults = (*FAULTS, *LASTING_FAULTS)
    with FaultServer(fault_rate=0.3, faults=faults, seed=1, latency=0.02) as server:
        model = endpoint(server, retries=2, timeout=2)
        for group in model.generate(asked):
            for index, completion in group:
                assert index not in seen
                seen[index] = completion
        model.close()
        stats = server.stats()
    assert seen.keys() == set(range(200))
    assert set(stats["injected"]) >= set(faults)
    for index, request in enumerate(asked):
        prompt, completion = request.messages[0].content, seen[index]
        if completion.ok:
            assert completion.text == reversed_prompt(prompt)
            assert stats["answered"][prompt] == 1
        else:
            # Three faults in a row, or one that lasts, and the failure says which was the last.
            assert completion.failure is not None
            # A reply without choices is asked for once more only.
            lasting = any(said in completion.failure.detail for said in ("does not exist", "choices"))
            assert completion.failure.kind in ("timeout", "rate_limit", "server")
            assert completion.text == ""
            assert stats["requests"][prompt] == 3 or lasting
            assert prompt not in stats["answered"]
    assert sum(completion.ok for completion in seen.values()) >= 170


def best_of_three(measure: Callable[[], float], wanted: float) -> float:
    """Return the best of up to three measurements: a busy machine can only lower one, never raise it."""
    best = 0.0
    for _ in range(3):
        best = max(best, measure())
        if best > wanted:
            break
    return best


def share_kept_busy(room: int, fault_rate: float) -> float:
    """Measured at the server, from the first call until there is nothing more to send."""
    measured: list[tuple[float, float]] = []

    def source() -> Iterator[Request]:
        yield from warm_up
        measured.append((time.monotonic(), server.busy_seconds))
        yield from asked
        measured.append((time.monotonic(), server.busy_seconds))

    warm_up, asked = requests(240)[:24], requests(240)[24:]
    faults = tuple(fault for fault in FAULTS if fault != "empty_choices")  # those that are tried again and again
    with FaultServer(
        latency=0.4, max_concurrent=room, fault_rate=fault_rate, faults=faults, retry_after=0.05, seed=2
    ) as server:
        model = endpoint(server, timeout=2, retries=10, backoff=0.1)
        completions = [completion for group in model.generate(source()) for _, completion in group]
        model.close()
    assert all(completion.ok for completion in completions)
    (begin, busy_before), (end, busy_after) = measured
    return (busy_after - busy_before) / (room * (end - begin))


@pytest.mark.slow
@pytest.mark.parametrize("fault_rate", [0.0, 0.3])
def test_a_server_with_room_for_twelve_is_kept_busy(fault_rate: float) -> None:
    assert best_of_three(lambda: share_kept_busy(12, fault_rate), wanted=0.8) > 0.8


def answers_a_second(allowed: float) -> float:
    with FaultServer(latency=0.05, requests_per_second=allowed) as server:
        model = endpoint(server, retries=12, timeout=5)
        begin = time.monotonic()
        completions = complete(model, requests(120))
        seconds = time.monotonic() - begin
        model.close()
    assert all(completion.ok for completion in completions)
    return len(completions) / seconds


@pytest.mark.slow
def test_a_server_that_gives_twenty_answers_a_second_gives_sixteen() -> None:
    assert best_of_three(lambda: answers_a_second(20), wanted=16) > 16


def test_retry_after_holds_back_every_call_not_only_the_one_that_was_refused() -> None:
    with FaultServer(fault_rate=1.0, faults=("rate_limit",), retry_after=0.5) as server:
        model = endpoint(server, concurrency=4)
        calls = model.generate(requests(12))
        worker = threading.Thread(target=lambda: list(calls))
        worker.start()
        assert server.wait_until(lambda server: server.requests.total() >= 4)
        server.fault_rate = 0.0
        worker.join()
        first_burst = server.arrivals[0]
        later = [arrival - first_burst for arrival in server.arrivals[4:]]
        model.close()
    assert len(server.arrivals) == 16
    assert min(later) >= 0.45


def test_requests_are_read_only_as_places_become_free() -> None:
    read: list[int] = []

    def source() -> Iterator[Request]:
        for index, request in enumerate(requests(40)):
            read.append(index)
            yield request

    with FaultServer(latency=0.01) as server:
        model = endpoint(server, concurrency=3)
        groups = model.generate(source())
        assert read == []
        answered = len(next(groups))
        assert len(read) <= answered + 3
        for group in groups:
            answered += len(group)
            assert len(read) <= answered + 3
        assert server.most_in_service <= 3
        model.close()
    assert answered == 40


def test_requests_are_read_in_the_thread_of_the_caller() -> None:
    threads: set[int] = set()

    def source() -> Iterator[Request]:
        for request in requests(5):
            threads.add(threading.get_ident())
            yield request

    with FaultServer() as server:
        model = endpoint(server)
        assert sum(len(group) for group in model.generate(source())) == 5
        model.close()
    assert threads == {threading.get_ident()}


def test_closing_early_cancels_what_is_under_way_and_reads_no_more() -> None:
    def respond_at_once_to_the_first(body: object) -> None:
        server.latency = 0.0 if prompt_of(body) == "prompt 0" else 30.0  # type: ignore[arg-type]

    with FaultServer(respond=respond_at_once_to_the_first) as server:
        model = endpoint(server, concurrency=4, timeout=60)
        groups = model.generate(requests(100))
        assert [index for index, _ in next(groups)] == [0]
        groups.close()
        assert server.wait_until(lambda server: server.in_service == 0, timeout=10)
        assert server.requests.total() <= 5
        model.close()


def test_an_error_in_the_iterable_reaches_the_caller_and_cancels_what_is_under_way() -> None:
    def source() -> Iterator[Request]:
        yield requests(1)[0]
        raise LookupError("the data ends here")

    with FaultServer(latency=30) as server:
        model = endpoint(server, timeout=60)
        with pytest.raises(LookupError, match="the data ends here"):
            list(model.generate(source()))
        assert server.wait_until(lambda server: server.in_service == 0, timeout=10)
        model.close()


def test_several_threads_share_one_model_and_its_limit() -> None:
    with FaultServer(latency=0.02) as server:
        model = endpoint(server, concurrency=3)
        results: dict[int, list[str]] = {}

        def work(worker: int) -> None:
            asked = [Request((user(f"worker {worker} prompt {index}"),)) for index in range(10)]
            results[worker] = [completion.text for completion in complete(model, asked)]

        workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        model.close()
    assert results == {
        worker: [reversed_prompt(f"worker {worker} prompt {index}") for index in range(10)] for worker in range(4)
    }
    assert server.most_in_service <= 3


def test_no_thread_is_left_behind_and_close_may_come_twice() -> None:
    with FaultServer() as server:
        model = endpoint(server)
        complete(model, requests(1))
        model.close()
        model.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "fulcrum-endpoint"]
