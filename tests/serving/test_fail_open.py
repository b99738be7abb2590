"""Whatever is wrong with the help, the request goes through as it came, and is counted."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from fulcrum.artifact import Rewritten
from fulcrum.chat import Request, system
from serving.fakes import Notes, Proxy, Upstream, ask, is_probe, note

Serve = Callable[..., Proxy]
CHAT = "/chat/completions"


def counted(proxy: Proxy, outcome: str, arm: str = "help") -> float:
    line = f'fulcrum_help_total{{arm="{arm}",outcome="{outcome}"}} '
    text = httpx.get(proxy.root + "/metrics").text
    return float(text.split(line)[1].split()[0]) if line in text else 0.0


def raising(request: Request) -> Rewritten:
    if not is_probe(request):
        raise ZeroDivisionError("the generator has died")
    return Rewritten(request)


def forgetting(request: Request) -> Rewritten:
    return Rewritten(replace(request, messages=(system("only this"),)), "only this")


def unspeakable(request: Request) -> Rewritten:
    circle: list[Any] = []
    circle.append(circle)
    return Rewritten(note(request).request, "x", {"circle": circle})


def refused(request: Request) -> Rewritten:
    facts = {"generator_failure": "timeout", "detail": "http://internal:8001"}
    return Rewritten(request, facts={} if is_probe(request) else facts)


@pytest.mark.parametrize("rule", [raising, forgetting, unspeakable, refused], ids=lambda rule: rule.__name__)
def test_a_failing_artifact(serve: Serve, upstream: Upstream, upstream_url: str, rule: Any) -> None:
    proxy = serve(Notes(rule), upstream=upstream_url)
    reply = httpx.post(proxy.url + CHAT, json=ask("hi"))
    assert reply.status_code == 200 and reply.headers["x-fulcrum-outcome"] == "failed"
    assert upstream.last_text() == "hi" and counted(proxy, "failed") == 1
    assert "x-fulcrum-facts" not in reply.headers


def test_an_artifact_that_returns_too_few(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    class Short(Notes):
        def rewrite(self, requests: Any) -> list[Rewritten]:
            return super().rewrite(requests) if is_probe(requests[0]) else []

    reply = httpx.post(serve(Short(), upstream=upstream_url).url + CHAT, json=ask("hi"))
    assert reply.headers["x-fulcrum-outcome"] == "failed" and upstream.last_text() == "hi"


def test_a_slow_artifact_is_waited_for_until_the_deadline_and_not_at_all_once_it_is_stuck(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    go_on = threading.Event()

    def rule(request: Request) -> Rewritten:
        if not is_probe(request):
            go_on.wait(30)
        return note(request)

    proxy = serve(Notes(rule), upstream=upstream_url, deadline=0.3)
    late = httpx.post(proxy.url + CHAT, json=ask("hi"))
    assert late.status_code == 200 and late.headers["x-fulcrum-outcome"] == "late"
    assert late.elapsed.total_seconds() >= 0.3
    busy = httpx.post(proxy.url + CHAT, json=ask("hi"))
    assert busy.status_code == 200 and busy.headers["x-fulcrum-outcome"] == "busy"
    assert (counted(proxy, "late"), counted(proxy, "busy")) == (1, 1)
    go_on.set()
    outcomes = [httpx.post(proxy.url + CHAT, json=ask("hi")).headers["x-fulcrum-outcome"] for _ in range(20)]
    assert outcomes[-1] == "added", outcomes  # it has recovered, and so has the help


@pytest.mark.parametrize(
    "messages",
    [None, [], "hi", [{"role": "alien", "content": "x"}], [{"role": "user", "content": {"a": 1}}], [7]],
    ids=str,
)
def test_messages_that_no_artifact_can_read(serve: Serve, upstream: Upstream, upstream_url: str, messages: Any) -> None:
    from starlette.responses import JSONResponse

    upstream.reply = lambda body: JSONResponse({"got": body["messages"]})
    reply = httpx.post(serve(upstream=upstream_url).url + CHAT, json={"model": "m", "messages": messages})
    assert reply.json() == {"got": messages} and reply.headers["x-fulcrum-outcome"] == "unreadable"


def test_a_client_can_decline(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    reply = httpx.post(serve(upstream=upstream_url).url + CHAT, json=ask("hi"), headers={"x-fulcrum": "off"})
    assert upstream.last_text() == "hi" and reply.headers["x-fulcrum-outcome"] == "off"


def test_no_answer_of_the_upstream_is_lost_while_both_ends_fail(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    from starlette.responses import JSONResponse

    def flaky_help(request: Request) -> Rewritten:
        text = request.messages[-1].content
        if text.endswith("3"):
            raise RuntimeError("no help today")
        return note(request)

    def flaky_upstream(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"].split("\n")[0]
        return JSONResponse({}, 500) if text.endswith("7") else upstream.answer(ask(text))

    upstream.reply = flaky_upstream
    proxy = serve(Notes(flaky_help), upstream=upstream_url)
    with httpx.Client(limits=httpx.Limits(max_connections=20)) as client, ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda i: client.post(proxy.url + CHAT, json=ask(f"q{i}"), timeout=60), range(200)))
    assert all(
        reply.status_code == 500
        if str(i).endswith("7")
        else reply.json()["choices"][0]["message"]["content"] == f"re: q{i}"
        for i, reply in enumerate(replies)
    )
    assert len(upstream.bodies) == 200
