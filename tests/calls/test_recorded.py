import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.calls import Budget, BudgetSettings, CallStore, Ledger, Price, Prices, RecordedModel, spend_stored
from fulcrum.chat import Completion, Request, Sampling, Usage, complete, user
from fulcrum.errors import BudgetSpent, ModelError, TooManyFailures
from support.scripted import ScriptedModel, echo

REMOTE = "http://localhost:1/v1#m"


def requests(*texts: str) -> list[Request]:
    return [Request((user(text),)) for text in texts]


class Desk:
    """A recorded model with its store, ledger and budget at hand."""

    def __init__(self, folder: Path, model: ScriptedModel, **limits: float) -> None:
        self.store = CallStore(folder / "calls.sqlite")
        self.ledger = Ledger(Prices(models={REMOTE: Price(prompt=1e6, completion=0)}))
        self.budget = Budget(BudgetSettings(**limits))  # pyright: ignore[reportArgumentType]
        self.model = RecordedModel(model, "actor", self.store, self.ledger, self.budget)

    def ask(self, *texts: str) -> list[Completion]:
        return complete(self.model, requests(*texts))


def test_an_answer_is_paid_once_and_equal_requests_are_one_call(tmp_path: Path) -> None:
    inner = ScriptedModel()
    desk = Desk(tmp_path, inner)
    assert [answer.text for answer in desk.ask("a", "b", "a")] == ["A", "B", "A"]
    assert [answer.text for answer in desk.ask("c", "b")] == ["C", "B"]
    assert [request.messages[0].content for request in inner.requests] == ["a", "b", "c"]
    total = desk.ledger.total()
    assert (total.calls, total.stored) == (4, 1)


def test_repeated_draws_are_different_calls(tmp_path: Path) -> None:
    inner = ScriptedModel()
    desk = Desk(tmp_path, inner)
    draws = [Request((user("a"),), Sampling(temperature=1.0), sample=sample) for sample in range(3)]
    complete(desk.model, draws)
    assert len(inner.requests) == 3


@pytest.mark.parametrize("batch", [1, 4])
def test_the_call_budget_is_exact_and_the_rest_is_marked(tmp_path: Path, batch: int) -> None:
    inner = ScriptedModel(batch=batch)
    desk = Desk(tmp_path, inner, calls=3)
    answers = desk.ask(*"abcdef")
    assert [answer.text for answer in answers if answer.ok] == ["A", "B", "C"]
    assert {answer.failure.kind for answer in answers if answer.failure} == {"budget"}
    assert len(inner.requests) == 3
    with pytest.raises(BudgetSpent, match="calls 3 of 3"):
        desk.budget.check()
    assert [answer.text for answer in desk.ask("a", "b", "c")] == ["A", "B", "C"]


def test_a_budget_that_suffices_exactly_stops_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(), calls=3)
    desk.ask("a", "b", "c")
    desk.budget.check()


@pytest.mark.parametrize(("limit", "expected"), [({"tokens": 5}, "tokens 6 of 5"), ({"money": 2.5}, "money 3.00 of")])
def test_tokens_and_money_stop_before_the_next_call(tmp_path: Path, limit: dict[str, float], expected: str) -> None:
    inner = ScriptedModel(name=REMOTE)
    desk = Desk(tmp_path, inner, **limit)
    answers = desk.ask("a", "b", "c", "d", "e")  # one token in and one out, and one unit of money, each
    assert sum(answer.ok for answer in answers) == 3
    with pytest.raises(BudgetSpent, match=expected):
        desk.budget.check()


def test_a_local_model_stops_between_batches(tmp_path: Path) -> None:
    inner = ScriptedModel(batch=2)
    desk = Desk(tmp_path, inner, tokens=3)
    answers = desk.ask(*"abcdef")
    assert [answer.ok for answer in answers] == [True, True, False, False, False, False]
    assert len(desk.store) == 2


def test_minutes_of_earlier_sittings_count(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(), minutes=10)
    desk.budget.minutes_before = 10.0
    assert not desk.ask("a")[0].ok
    with pytest.raises(BudgetSpent, match="minutes"):
        desk.budget.check()


def test_failures_are_passed_on_counted_and_asked_again(tmp_path: Path) -> None:
    def flaky(request: Request) -> Completion:
        if len(inner.requests) <= 2 and request.messages[0].content == "b":
            return Completion.failed("server", "500")
        return echo(request)

    inner = ScriptedModel(flaky)
    desk = Desk(tmp_path, inner)
    first = desk.ask("a", "b")
    assert first[0].ok and first[1].failure is not None and first[1].failure.kind == "server"
    assert desk.ledger.total().failures == 1
    assert [answer.text for answer in desk.ask("a", "b")] == ["A", "B"]


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    broken = ScriptedModel(lambda _: Completion.failed("server", "500"))
    desk = Desk(tmp_path, broken)
    desk.ask(*map(str, range(19)))
    desk.budget.check()
    desk.ask("one more")
    with pytest.raises(TooManyFailures, match="20 of 20 calls failed"):
        desk.budget.check()


def test_a_dead_endpoint_is_not_asked_for_a_whole_batch(tmp_path: Path) -> None:
    dead = ScriptedModel(lambda _: Completion.failed("timeout", "late"), name=REMOTE)
    desk = Desk(tmp_path, dead)
    answers = desk.ask(*map(str, range(500)))
    assert len(dead.requests) == 20 and len(answers) == 500
    assert all(answer.failure is not None for answer in answers)
    with pytest.raises(TooManyFailures, match="20 of 20 calls failed"):
        desk.budget.check()


def test_a_batch_is_not_stopped_for_failures_that_chance_explains(tmp_path: Path) -> None:
    def fails_first(request: Request) -> Completion:
        failing = int(request.messages[0].content) < 6
        return Completion.failed("server", "500") if failing else echo(request)

    desk = Desk(tmp_path, ScriptedModel(fails_first, name=REMOTE))
    assert sum(answer.ok for answer in desk.ask(*map(str, range(40)))) == 34
    desk.budget.check()


def test_failed_calls_of_earlier_sittings_count_as_calls_and_not_as_failures(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(lambda _: Completion.failed("server", "500")))
    desk.ask("a", "b", "c")
    again = Desk(tmp_path, ScriptedModel(), calls=5)
    again.budget.failed_before = again.store.failed_calls()
    assert [answer.ok for answer in again.ask("a", "b", "c")] == [True, True, False]
    assert again.budget.refused == "calls 5 of 5" and again.budget.spent.failures == 0


def test_money_is_unknown_when_the_price_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(name="http://elsewhere/v1#m"))
    desk.ask("a")
    assert desk.ledger.total().cost is None


@pytest.mark.parametrize("limit", [{"tokens": 10}, {"money": 10.0}])
def test_an_endpoint_that_counts_no_tokens_stops_a_budget_that_counts_them(
    tmp_path: Path, limit: dict[str, float]
) -> None:
    uncounted = ScriptedModel(lambda request: replace(echo(request), usage=Usage()), name=REMOTE)
    for desk in (Desk(tmp_path, uncounted, **limit), Desk(tmp_path, uncounted, calls=9)):
        desk.ask("a", "b")
        assert desk.ledger.total().cost is None
    assert [request.messages[0].content for request in uncounted.requests] == ["a", "b"]
    desk = Desk(tmp_path, uncounted, **limit)
    desk.budget.spent = spend_stored(desk.store, desk.ledger.prices)["actor"]
    assert not desk.ask("c")[0].ok
    with pytest.raises(BudgetSpent, match=r"answered 2 times without the number of tokens.*budget\.calls"):
        desk.budget.check()


def test_one_call_of_a_model_without_a_price_stops_a_budget_of_money(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(name="http://elsewhere/v1#m"), money=10.0)
    assert [answer.ok for answer in desk.ask("a", "b")] == [True, False]
    with pytest.raises(BudgetSpent, match=r"money unknown of 10\.00: a model has no price; name it"):
        desk.budget.check()


def test_a_function_that_counts_no_tokens_takes_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(lambda request: Completion("yes")), tokens=10, money=1.0)
    assert all(answer.ok for answer in desk.ask("a", "b", "c"))
    stored = spend_stored(desk.store, Prices())["actor"]
    assert desk.ledger.total().cost == stored.cost == 0.0 and stored.uncounted == 0


def test_a_call_that_failed_without_an_answer_is_no_uncounted_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(lambda _: Completion.failed("timeout", "late"), name=REMOTE), money=1.0)
    desk.ask("a", "b")
    assert desk.budget.spent.paid_cost == 0.0


def test_options_in_a_name_do_not_change_its_price() -> None:
    prices = Prices(models={REMOTE: Price(prompt=1, completion=2)})
    assert prices.of("http://localhost:1/v1?timeout=9&retries=2#m") == prices.of(REMOTE) != prices.of(REMOTE + "2")


def test_stored_answers_cost_what_they_cost_when_made_but_are_not_paid_again(tmp_path: Path) -> None:
    Desk(tmp_path, ScriptedModel(name=REMOTE)).ask("abc")
    desk = Desk(tmp_path, ScriptedModel(name=REMOTE))
    desk.ask("abc")
    total = desk.ledger.total()
    assert (total.cost, total.paid_cost) == (3.0, 0.0)
    assert desk.budget.spent.calls == 0


def test_the_ledger_subtracts_to_what_lies_between(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel())
    desk.ask("a", "b")
    before = desk.ledger.total()
    desk.ask("b", "ccc")
    between = desk.ledger.total() - before
    assert (between.calls, between.stored, between.prompt_tokens, between.seconds) == (1, 1, 4, 1.0)


def test_the_answer_of_another_process_stands(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel(lambda request: replace(echo(request), text="late")))
    other = Desk(tmp_path, ScriptedModel())
    generating = desk.model.generate(requests("a"))
    other.ask("a")  # between our look-up, which has not begun to yield, and our own store
    assert [completion.text for group in generating for _, completion in group] == ["A"]


class Doorkeeper:
    """Watches a ledger, and waits until so many threads have asked."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._asked = threading.Semaphore(0)

    def expect(self, role: str, answers: int) -> None:
        self._asked.release()

    def record(self, role: str, spend: object) -> None: ...

    def train(self, role: str, step: int, steps: int) -> None: ...

    def wait(self) -> None:
        for _ in range(self._threads):
            assert self._asked.acquire(timeout=60)


def asked_at_once(folder: Path, answer: Callable[[Request], Completion]) -> tuple[Desk, int, list[Completion]]:
    """Ask the same in eight threads; the first call is answered when all have asked. Return how many were made."""
    door = Doorkeeper(threads=8)

    def first_waits(request: Request) -> Completion:
        if len(inner.requests) == 1:
            door.wait()
        return answer(request)

    inner = ScriptedModel(first_waits)
    desk = Desk(folder, inner)
    desk.ledger.watcher = door

    def ask(_: int) -> Completion:
        try:
            return desk.ask("a")[0]
        except ModelError as error:
            return Completion.failed("server", str(error))

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(ask, range(8)))
    return desk, len(inner.requests), said


def test_a_call_that_another_thread_is_making_is_waited_for(tmp_path: Path) -> None:
    desk, made, said = asked_at_once(tmp_path, echo)
    assert made == 1 and [answer.text for answer in said] == ["A"] * 8
    total = desk.ledger.total()
    assert (total.calls, total.stored, desk.budget.spent.calls) == (1, 7, 1)


def test_the_failure_of_a_call_is_that_of_all_who_waited_for_it(tmp_path: Path) -> None:
    desk, made, said = asked_at_once(tmp_path, lambda _: Completion.failed("timeout", "late"))
    assert made == 1 and not any(answer.ok for answer in said)
    assert (desk.budget.spent.failures, desk.store.failed_calls()) == (1, 1)


def test_where_the_one_who_called_was_stopped_another_makes_the_call(tmp_path: Path) -> None:
    stops = iter([ModelError("stopped")])

    def stopped_once(request: Request) -> Completion:
        for error in stops:
            raise error
        return echo(request)

    _, made, said = asked_at_once(tmp_path, stopped_once)
    assert made == 2 and sorted(answer.text for answer in said) == ["", *["A"] * 7]


def test_whoever_stops_listening_leaves_the_open_calls_to_others(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ScriptedModel())
    generating = desk.model.generate(requests("a", "b"))
    next(generating)
    generating.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert [answer.text for answer in desk.ask("b")] == ["B"]


def test_many_threads_and_models_with_one_store_pay_for_nothing_twice(tmp_path: Path) -> None:
    inner = ScriptedModel()
    desk = Desk(tmp_path, inner)
    models = [RecordedModel(inner, role, desk.store, desk.ledger, desk.budget) for role in ("actor", "judge")]

    def ask(number: int) -> None:
        drawn = random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=10)
        assert [one.text for one in complete(models[number % 2], requests(*drawn))] == [text.upper() for text in drawn]

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(100)))
    assert len(inner.requests) == len(desk.store) == desk.budget.spent.calls == 26
    assert desk.ledger.total().answers == 1000


KILLED = """
import os, signal, sys
from pathlib import Path
from support.scripted import ScriptedModel, echo
from fulcrum.calls import *
from fulcrum.chat import Request, complete, user

def answer(request):
    log.write(request.messages[0].content + "\\n"); log.flush()
    if log.tell() > int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return echo(request)

folder = Path(sys.argv[1])
log = (folder / "asked.txt").open("a")
model = RecordedModel(ScriptedModel(answer), "actor", CallStore(folder / "calls.sqlite"), Ledger(), Budget())
complete(model, [Request((user(f"{index:03}"),)) for index in range(100)])
"""


@pytest.mark.slow
def test_killed_runs_ask_again_only_what_was_in_flight(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(KILLED))
    codes: list[int] = []
    for limit in (100, 210, 300, 10**9):
        command = [sys.executable, str(script), str(tmp_path), str(limit)]
        codes.append(subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tests)}).returncode)
    assert codes == [-signal.SIGKILL] * 3 + [0]
    asked = (tmp_path / "asked.txt").read_text().split()
    assert set(asked) == {f"{index:03}" for index in range(100)}
    assert len(asked) == 100 + 3  # the one call that each kill interrupted
