"""Keys, limits, shadow, split and log, over HTTP."""

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from fulcrum.artifact import Rewritten
from fulcrum.chat import Request
from fulcrum.hashing import content_hash
from fulcrum.serving.arms import compare_arms
from fulcrum.serving.log import read_log
from fulcrum.serving.settings import ServeSettings
from serving.fakes import Notes, Proxy, Upstream, ask, is_probe, note

Serve = Callable[..., Proxy]
CHAT = "/chat/completions"


def test_without_a_key_nothing_reaches_the_upstream_and_keys_are_in_no_log(
    serve: Serve,
    upstream: Upstream,
    upstream_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FULCRUM_API_KEYS", "sk-right-key")
    monkeypatch.setenv("UP_KEY", "sk-upstream-key")
    log = tmp_path / "log.jsonl"

    def rule(request: Request) -> Rewritten:
        if "fail" in request.messages[-1].content:
            raise RuntimeError("broken")
        return note(request)

    proxy = serve(Notes(rule), upstream=upstream_url, upstream_key_env="UP_KEY", log=log, log_content=True)
    for headers in ({}, {"authorization": "Bearer sk-wrong-key"}):
        for reply in (
            httpx.post(proxy.url + CHAT, json=ask("hi"), headers=headers),
            httpx.get(proxy.url + "/models", headers=headers),
        ):
            assert reply.status_code == 401 and reply.json()["error"]["code"] == "invalid_api_key"
    assert upstream.bodies == []
    good = {"authorization": "Bearer sk-right-key"}
    for text in ("hi", "fail"):
        assert httpx.post(proxy.url + CHAT, json=ask(text), headers=good).status_code == 200
    assert httpx.get(proxy.root + "/health").status_code == 200
    proxy.__exit__()
    everything = log.read_text() + caplog.text + str(upstream.headers[:0])
    assert '"hi"' in everything and "sk-" not in everything


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    proxy = serve(upstream=upstream_url, max_body=1000)
    large = json.dumps(ask("x" * 1000)).encode()
    announced = httpx.post(proxy.url + CHAT, content=large)
    chunked = httpx.post(proxy.url + CHAT, content=(large[i : i + 100] for i in range(0, len(large), 100)))
    assert [announced.status_code, chunked.status_code] == [413, 413]
    assert announced.json()["error"]["code"] == "request_too_large" and upstream.raw == []
    assert httpx.post(proxy.url + CHAT, json=ask("x" * 500)).status_code == 200


def test_a_large_body_goes_through_whole(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    proxy = serve(Notes(Rewritten), upstream=upstream_url)
    content = json.dumps(ask("x" * 3_000_000)).encode()
    assert httpx.post(proxy.url + CHAT, content=content).status_code == 200
    assert upstream.raw == [content]


def test_beyond_its_limit_it_says_when_to_come_back(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    proxy = serve(upstream=upstream_url, concurrency=2)
    upstream.go_on.clear()
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(httpx.post, proxy.url + CHAT, json=ask("hi"), timeout=30) for _ in range(2)]
        while len(upstream.raw) < 2:
            pass
        refused = httpx.post(proxy.url + CHAT, json=ask("hi"))
        upstream.go_on.set()
        assert [reply.result().status_code for reply in held] == [200, 200]
    assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"
    assert httpx.post(proxy.url + CHAT, json=ask("hi")).status_code == 200


def test_the_shadow_delays_nothing_and_is_logged(
    serve: Serve, upstream: Upstream, upstream_url: str, tmp_path: Path
) -> None:
    go_on = threading.Event()

    def rule(request: Request) -> Rewritten:
        if not is_probe(request):
            go_on.wait(30)
        return note(request)

    log = tmp_path / "log.jsonl"
    proxy = serve(Notes(rule), upstream=upstream_url, shadow=True, log=log, log_content=True, deadline=20.0)
    reply = httpx.post(proxy.url + CHAT, json=ask("hi"))  # comes although the help has not
    assert reply.headers["x-fulcrum-outcome"] == "shadow" and upstream.last_text() == "hi"
    go_on.set()
    proxy.__exit__()
    (row,), _ = read_log(log)
    assert row.shadow and row.outcome == "added" and row.added == 8 and row.seconds["help"] > 0
    assert row.content == {"messages": ask("hi")["messages"], "help": "\n\n[note]", "reply": "re: hi"}
    assert row.request == reply.headers["x-fulcrum-request"]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_request_that_ends_before_its_help_comes_counts_as_late_in_the_help_arm(
    serve: Serve, upstream_url: str, tmp_path: Path, stopped: bool
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def rule(request: Request) -> Rewritten:
        if not is_probe(request):
            asked.set()
            go_on.wait(30)
        return note(request)

    log = tmp_path / "log.jsonl"
    proxy = serve(Notes(rule), upstream=upstream_url, log=log, deadline=20.0)
    proxy.server.config.timeout_graceful_shutdown = 0 if stopped else 5
    with closing(HTTPConnection("127.0.0.1", proxy.port, timeout=30)) as client:
        client.request("POST", "/v1/chat/completions", json.dumps(ask("hi")))
        assert asked.wait(10)
        if stopped:
            proxy.__exit__()
            reply = client.getresponse()
            assert (reply.status, reply.headers["x-fulcrum-outcome"]) == (503, "late")
    proxy.__exit__()
    go_on.set()
    (row,), _ = read_log(log)
    assert (row.arm, row.outcome, row.status, row.complete) == ("help", "late", 503 if stopped else 499, False)
    arm = compare_arms([row], lambda row: 0.0).help
    assert (arm.requests, arm.helped, arm.failed) == (1, 0.0, 1.0)


def test_a_split_keeps_conversations_together_and_its_log_can_be_compared(
    serve: Serve, upstream: Upstream, upstream_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    proxy = serve(upstream=upstream_url, share=0.5, log=log)
    for talk in range(10):
        first = {"role": "user", "content": f"hello {talk}"}
        turns: list[dict[str, Any]] = [first]
        arms = set[str]()
        for turn in range(2):
            reply = httpx.post(proxy.url + CHAT, json={"model": "m", "messages": turns, "stream": turn == 1})
            arms.add(reply.headers["x-fulcrum-arm"])
            helped = upstream.last_text().endswith("[note]")
            assert helped == (reply.headers["x-fulcrum-outcome"] == "added") == (arms == {"help"})
            turns = [first, {"role": "assistant", "content": "hm"}, {"role": "user", "content": "more"}]
        assert len(arms) == 1
    proxy.__exit__()
    rows, _ = read_log(log)
    assert len(rows) == 20 and len({row.unit for row in rows}) == 10 and {row.arm for row in rows} == {"help", "plain"}
    assert all(row.content is None for row in rows) and "hello" not in log.read_text()
    whole = [row for row in rows if not row.stream]
    assert all(row.usage == {"prompt_tokens": 3, "completion_tokens": 5} for row in whole)
    assert {row.finish_reason for row in rows} == {"stop"} and {row.complete for row in rows} == {True}
    assert whole[0].prompt == content_hash([{"role": "user", "content": "hello 0"}])
    result = compare_arms(rows, lambda row: float(row.outcome == "added"))
    assert result.difference is not None and result.difference.estimate == 1.0 and result.difference.clear_of_zero


def test_a_stream_that_broke_off_is_logged_as_such(
    serve: Serve, upstream: Upstream, upstream_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    proxy = serve(upstream=upstream_url, log=log, log_content=True)
    upstream.break_after = 1
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(proxy.url + CHAT, json=ask("hi", stream=True))
    proxy.__exit__()
    (row,), _ = read_log(log)
    assert (row.status, row.complete) == (200, False)
    assert row.content is not None and row.content["reply"] == "Hel"


def test_what_a_stop_cuts_off_is_told_to_the_client_the_log_and_the_operator(
    serve: Serve, upstream: Upstream, upstream_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log.jsonl"
    proxy = serve(upstream=upstream_url, log=log)
    proxy.server.config.timeout_graceful_shutdown = 0
    upstream.go_on.clear()
    with ThreadPoolExecutor(1) as pool, httpx.stream("POST", proxy.url + CHAT, json=ask("hi", stream=True)) as stream:
        pieces = stream.iter_raw()
        next(pieces)
        held = pool.submit(httpx.post, proxy.url + CHAT, json=ask("hi"), timeout=30)
        while len(upstream.raw) < 2:
            pass
        proxy.__exit__()
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
        reply = held.result()
    assert reply.status_code == 503 and reply.json()["error"]["code"] == "stopped"
    assert sorted((row.status, row.complete) for row in read_log(log)[0]) == [(200, False), (503, False)]
    assert "2 requests were cut off" in caplog.text and "finished first" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_stop_that_cuts_nothing_off_says_so(
    serve: Serve, upstream_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    proxy = serve(upstream=upstream_url)
    assert httpx.post(proxy.url + CHAT, json=ask("hi")).status_code == 200
    proxy.__exit__()
    assert "every request under way was finished first" in caplog.text and "cut off" not in caplog.text


def test_a_request_over_which_the_server_stumbles_is_logged(
    serve: Serve, upstream_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    log = tmp_path / "log.jsonl"
    proxy = serve(upstream=upstream_url, log=log)
    monkeypatch.setattr("fulcrum.serving.app.add_help_in_time", stumble)
    assert httpx.post(proxy.url + CHAT, json=ask("hi")).status_code == 500
    proxy.__exit__()
    (row,), _ = read_log(log)
    assert (row.status, row.complete) == (500, False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/", 404),
        ("GET", "/v1/../../etc/passwd", 404),
    ],
)
def test_what_is_not_served_is_told_in_the_protocols_shape(
    serve: Serve, upstream_url: str, method: str, path: str, status: int
) -> None:
    reply = httpx.request(method, serve(upstream=upstream_url).root + path)
    assert reply.status_code == status and reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"share": 0.5}, "set log too"),
        ({"share": 0.5, "shadow": True, "log": "x"}, "nothing to split"),
        ({"log_content": True}, "no log to write to"),
        ({"upstream": "http://h/v1#m"}, "leave out #m"),
        ({"upstream": "http:///v1"}, "not a base URL"),
        ({"upstream": "http://h:80a/v1"}, "an address that cannot work"),
        ({"upstream": "http://me:secret@h/v1"}, "put the key into the environment variable that upstream_key_env"),
        ({"upstream": "lab:large", "upstream_key_env": "X"}, "over HTTP"),
        ({"deadline": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told) as raised:
        ServeSettings(**settings)
    assert "secret" not in raised.value.errors()[0]["msg"]


def test_a_models_name_leads_nowhere_else(serve: Serve, upstream_url: str) -> None:
    proxy = serve(upstream=upstream_url)
    for path in (b"/v1/models/..%2f..%2fhealth", b"/v1/models/../chat", b"/v1/models/a//b", b"/v1/models/%2e%2e/x"):
        reply = httpx.get(httpx.URL(proxy.root, raw_path=path))
        assert reply.status_code == 404 and "error" in reply.json(), path
