import json
import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.calls import CallStore, call_key
from fulcrum.calls.store import Failed
from fulcrum.chat import Completion, Failure, Request, Sampling, ToolCall, Usage, user
from fulcrum.errors import StoreError
from support.stored import MODEL, key, put, request, write_range


def test_an_answer_comes_back_whole_and_says_that_it_was_stored(tmp_path: Path) -> None:
    answer = Completion(
        "rows: 3 \ud800 €",
        "tool_calls",
        Usage(12, 5),
        0.25,
        "qwen",
        tool_calls=(ToolCall("1", "look_up", '{"id": 3}'),),
        reasoning="well",
        logprobs=(-0.5, -1.25),
    )
    with CallStore(tmp_path / "calls.sqlite") as store:
        stored = put(store, "q", answer)
        found = store.get(stored)
    assert found is not None and found.from_store
    assert found.to_json() == answer.to_json()


@pytest.mark.parametrize("kind", ["timeout", "rate_limit", "server", "budget"])
def test_a_failure_nobody_was_paid_for_is_asked_again_but_counted(tmp_path: Path, kind: str) -> None:
    with CallStore(tmp_path / "calls.sqlite") as store:
        missing = put(store, "q", Completion.failed(kind, "why"))  # pyright: ignore[reportArgumentType]
        assert store.get(missing) is None
        assert store.failures() == [Failed("actor", MODEL.name, kind, 1, "why")]


@pytest.mark.parametrize("kind", ["refused", "truncated", "empty"])
def test_a_failure_that_was_paid_for_is_kept_as_that_failure(tmp_path: Path, kind: str) -> None:
    failure = Failure(kind, "limit 5")  # pyright: ignore[reportArgumentType]
    with CallStore(tmp_path / "calls.sqlite") as store:
        found = store.get(put(store, "q", Completion("half an ans", "length", failure=failure)))
        assert store.failures() == [Failed("actor", MODEL.name, kind, 1, "")]
    assert found is not None and found.failure == failure


def test_the_key_changes_with_all_that_can_change_an_answer_and_with_nothing_else() -> None:
    base = Request((user("q"),), Sampling(temperature=1.0))
    others = [
        Request((user("Q"),), Sampling(temperature=1.0)),
        Request((user("q"),), Sampling(temperature=0.9)),
        Request((user("q"),), Sampling(temperature=1.0, top_p=0.9)),
        Request((user("q"),), Sampling(temperature=1.0, seed=1)),
        Request((user("q"),), Sampling(temperature=1.0, max_tokens=7)),
        Request((user("q"),), Sampling(temperature=1.0, stop=("\n",))),
        Request((user("q"),), Sampling(temperature=1.0), sample=1),
    ]
    keys = {call_key({"model": "a"}, asked) for asked in [base, *others]}
    keys.add(call_key({"model": "b"}, base))
    assert len(keys) == len(others) + 2
    greedy, reseeded = (Request((user("q"),), Sampling(seed=seed)) for seed in (0, 1))
    assert call_key({"model": "a"}, greedy) == call_key({"model": "a"}, reseeded)


@given(st.text(), st.integers(0, 10**6))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str, tokens: int) -> None:
    path = tmp_path_factory.mktemp("store") / "calls.sqlite"
    with CallStore(path) as store:
        found = store.get(put(store, text, Completion(text, usage=Usage(tokens, 1))))
    assert found is not None and found.text == text and found.usage.prompt_tokens == tokens


def test_two_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    spawn = multiprocessing.get_context("spawn")
    # The ranges overlap, and neither process has made the file yet: creation and equal keys race too.
    writers = [spawn.Process(target=write_range, args=(path, start, start + 300)) for start in (0, 200)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with CallStore(path, read_only=True) as store:
        assert len(store) == 500
        answers = {call.request["request"]["messages"][0]["content"]: call.completion.text for call in store.calls()}
    assert answers == {str(index): f"answer {index}" for index in range(500)}


def test_the_first_answer_to_a_key_stands(tmp_path: Path) -> None:
    asked = request("q")
    with CallStore(tmp_path / "calls.sqlite") as store:
        store.put(MODEL, "actor", [(key(asked), asked, Completion("first"))])
        standing = store.put(MODEL, "actor", [(key(asked), asked, Completion("second"))])
    assert standing[key(asked)].text == "first"


def test_a_group_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    good, bad = request("good"), request("bad")
    unstorable = Completion("x", seconds=0.0, model=object())  # pyright: ignore[reportArgumentType]
    with CallStore(tmp_path / "calls.sqlite") as store:
        with pytest.raises(TypeError):
            store.put(MODEL, "actor", [(key(good), good, Completion("a")), (key(bad), bad, unstorable)])
        assert len(store) == 0


def test_totals_by_role_and_model(tmp_path: Path) -> None:
    with CallStore(tmp_path / "calls.sqlite") as store:
        put(store, "a", Completion("x", usage=Usage(10, 1), seconds=0.5))
        put(store, "b", Completion("y", "length", Usage(20, 2), 0.25, failure=Failure("truncated")))
        (paid,) = store.paid()
    assert (paid.role, paid.calls, paid.prompt_tokens, paid.completion_tokens) == ("actor", 2, 30, 3)
    assert (paid.seconds, paid.unusable) == (0.75, 1)


def test_a_short_call_takes_less_than_a_kilobyte(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with CallStore(path) as store:
        for index in range(1000):
            put(store, f"Question {index}: " + json.dumps([index * 7919 % 1009] * 20), Completion(f"answer {index}"))
    assert path.stat().st_size / 1000 < 1000


def test_files_that_are_not_call_stores_are_refused_by_name(tmp_path: Path) -> None:
    text, other, newer = tmp_path / "notes.txt", tmp_path / "other.sqlite", tmp_path / "newer.sqlite"
    text.write_text("not a database, but long enough to be looked at as if it were one" * 20)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    CallStore(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path, reason in ((text, "not a readable call store"), (other, "not a call store"), (newer, "schema 99")):
        with pytest.raises(StoreError, match=reason):
            CallStore(path)
    with pytest.raises(StoreError, match="no such call store"):
        CallStore(tmp_path / "missing.sqlite", read_only=True)


def test_damage_and_a_full_disk_are_store_errors_that_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with CallStore(path) as store:
        known = [put(store, f"question {index}", Completion("x" * index)) for index in range(300)]
        store._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StoreError, match=r"calls\.sqlite: .*full"):
            for index in range(300):
                put(store, f"more {index}", Completion("y" * 200))
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"Z" * (len(content) - 8192))
    with CallStore(path, read_only=True) as damaged:
        for read in (lambda: damaged.get_many(known), damaged.paid, lambda: list(damaged.calls())):
            with pytest.raises(StoreError, match=r"calls\.sqlite: .*malformed"):
                read()


def test_a_failure_may_say_anything(tmp_path: Path) -> None:
    with CallStore(tmp_path / "calls.sqlite") as store:
        put(store, "q", Completion.failed("server", "broken reply: \ud83d"))
        assert store.failures() == [Failed("actor", "python:scripted", "server", 1, "broken reply: \\ud83d")]


def test_what_failed_calls_said_most_often_is_kept(tmp_path: Path) -> None:
    with CallStore(tmp_path / "calls.sqlite") as store:
        for number, detail in enumerate(("HTTP 500: a", "HTTP 401: bad key", "HTTP 401: bad key")):
            put(store, f"q{number}", Completion.failed("server", detail))
        assert store.failures() == [Failed("actor", "python:scripted", "server", 3, "HTTP 401: bad key")]
