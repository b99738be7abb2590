"""Clients of the OpenAI protocol in front, a scripted upstream behind."""

import asyncio
import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from starlette.responses import JSONResponse, Response

from fulcrum.artifact import Rewritten
from serving.fakes import DONE, Notes, Proxy, Upstream, ask, note

Serve = Callable[..., Proxy]
CHAT = "/chat/completions"


def client(proxy: Proxy, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=proxy.url, api_key="secret-of-the-client", max_retries=0, **options)


def test_the_upstream_gets_the_request_with_help_and_the_client_its_answer(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    with client(serve(upstream=upstream_url)) as sdk:
        reply = sdk.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": "hi"}], n=2, extra_body={"mirostat": {"tau": 1}}
        )
    assert upstream.bodies[-1] == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi\n\n[note]"}],
        "n": 2,
        "mirostat": {"tau": 1},
    }
    assert [choice.message.content for choice in reply.parse().choices] == ["re: hi\n\n[note]"] * 2
    assert reply.headers["x-upstream"] == "yes"
    assert reply.headers["x-fulcrum-outcome"] == "added"
    assert reply.headers["x-fulcrum-added-characters"] == "8"
    assert json.loads(reply.headers["x-fulcrum-facts"]) == {"form": "note"}


def test_a_request_without_help_goes_through_byte_for_byte(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    proxy = serve(Notes(Rewritten), upstream=upstream_url)
    upstream.reply = lambda _: JSONResponse({})
    content = b'{ "messages":[{"role":"user","content":"caf\\u00e9 \\ud83d"}], "model" : "m", "x": 1.50e0, "x": 2 }'
    reply = httpx.post(proxy.url + CHAT, content=content)
    assert reply.status_code == 200 and upstream.raw == [content]


def test_what_is_not_text_stays_in_a_message_that_gets_help(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    proxy = serve(upstream=upstream_url)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    message = {"role": "user", "name": "ann", "content": [{"type": "text", "text": "what is this?"}, image]}
    developer = {"role": "developer", "content": "be brief"}
    httpx.post(proxy.url + CHAT, json={"model": "m", "messages": [developer, message]}).raise_for_status()
    text, kept, added = upstream.bodies[-1]["messages"][1]["content"]
    assert (text, kept) == (message["content"][0], image) and added == {"type": "text", "text": "[note]"}
    assert upstream.bodies[-1]["messages"][0] == developer and upstream.bodies[-1]["messages"][1]["name"] == "ann"


def test_tools_go_through_and_come_back(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}

    def reply(body: dict[str, Any]) -> JSONResponse:
        done = body["messages"][-1]["role"] == "tool"
        message = {"content": "sunny"} if done else {"content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
        return JSONResponse({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})

    upstream.reply = reply
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    messages: list[Any] = [{"role": "user", "content": "weather in Rome?"}]
    with client(serve(upstream=upstream_url)) as sdk:
        first = sdk.chat.completions.create(model="m", messages=messages, tools=tools).choices[0].message
        assert first.tool_calls and first.tool_calls[0].id == "c1"
        messages += [first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": "c1", "content": "sun"}]
        last = sdk.chat.completions.create(model="m", messages=messages, tools=tools).choices[0].message
    assert last.content == "sunny"
    assert upstream.bodies[-1]["tools"] == tools
    assert upstream.bodies[-1]["messages"][1]["tool_calls"] == [call]


def test_a_stream_goes_through_byte_for_byte(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    upstream.pieces = [b": hello\n", b"\ndata: {\xff", b"\r\n\n", DONE]
    reply = httpx.post(serve(upstream=upstream_url).url + CHAT, json=ask("hi", stream=True))
    assert reply.content == b"".join(upstream.pieces)
    assert reply.headers["content-type"].startswith("text/event-stream")


def test_the_first_token_is_there_before_the_upstream_has_the_second(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    upstream.go_on.clear()
    with client(serve(upstream=upstream_url)) as sdk:
        stream = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
        first = next(iter(stream))
        assert first.choices[0].delta.content == "Hel"
        upstream.go_on.set()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "lo"


def test_the_async_client_streams_many_at_once_and_their_help_is_one_batch(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def rule(request: Any) -> Rewritten:
        if request.messages[-1].content == "first":
            begun.set()
            go_on.wait(10)
        return note(request)

    notes = Notes(rule)
    proxy = serve(notes, upstream=upstream_url, deadline=10.0)

    async def stream(sdk: openai.AsyncOpenAI, text: str) -> str:
        events = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], stream=True)
        return "".join([event.choices[0].delta.content or "" async for event in events])

    async def main() -> list[str]:
        async with openai.AsyncOpenAI(base_url=proxy.url, api_key="k", max_retries=0) as sdk:
            first = asyncio.create_task(stream(sdk, "first"))
            await asyncio.to_thread(begun.wait, 10)
            others = [asyncio.create_task(stream(sdk, f"other {i}")) for i in range(8)]
            while proxy_in_flight(proxy) < 9:
                await asyncio.sleep(0.01)
            go_on.set()
            return await asyncio.gather(first, *others)

    assert asyncio.run(main()) == ["Hello"] * 9
    assert sum(notes.batches) == 1 + 9 and max(notes.batches) >= 6  # the probe, the first, and the rest together


def proxy_in_flight(proxy: Proxy) -> int:
    text = httpx.get(proxy.root + "/metrics").text
    return int(float(text.split("\nfulcrum_requests_in_flight ")[1].split()[0]))


def test_an_upstream_that_dies_in_the_middle_of_a_stream_is_no_end_of_the_stream(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    upstream.break_after = 1
    with client(serve(upstream=upstream_url)) as sdk:
        stream = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
        got: list[str | None] = []
        with pytest.raises(openai.APIConnectionError):
            got.extend(chunk.choices[0].delta.content for chunk in stream)
    assert got == ["Hel"]


def test_a_client_that_leaves_cancels_the_upstream(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    proxy = serve(upstream=upstream_url)
    upstream.go_on.clear()
    with httpx.stream("POST", proxy.url + CHAT, json=ask("hi", stream=True)) as reply:
        next(reply.iter_raw())
    assert upstream.left.wait(10)


def test_a_client_that_leaves_before_the_answer_cancels_the_upstream(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    proxy = serve(upstream=upstream_url)
    upstream.go_on.clear()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(proxy.url + CHAT, json=ask("hi"), timeout=0.5)
    assert upstream.left.wait(10)


def test_errors_of_the_upstream_go_through_as_they_are(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    told = {"error": {"message": "slow down", "type": "x", "code": "y"}}
    upstream.reply = lambda _: JSONResponse(told, 429, headers={"retry-after": "7"})
    with client(serve(upstream=upstream_url)) as sdk, pytest.raises(openai.RateLimitError) as caught:
        sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.body == told["error"]
    assert caught.value.response.headers["retry-after"] == "7"


def test_an_upstream_that_is_not_there_is_502(serve: Serve) -> None:
    with client(serve(upstream="http://127.0.0.1:9/v1")) as sdk, pytest.raises(openai.InternalServerError) as caught:
        sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.status_code == 502 and caught.value.code == "upstream_unavailable"


def test_a_silent_upstream_is_504(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    upstream.go_on.clear()
    reply = httpx.post(serve(upstream=upstream_url, timeout=0.2).url + CHAT, json=ask("hi"))
    assert reply.status_code == 504 and reply.json()["error"]["type"] == "server_error"


def test_the_clients_key_goes_to_the_upstream_only_if_it_is_not_ours(
    serve: Serve, upstream: Upstream, upstream_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client(serve(upstream=upstream_url)) as sdk:
        sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert upstream.headers[-1]["authorization"] == "Bearer secret-of-the-client"
    monkeypatch.setenv("FULCRUM_API_KEYS", "secret-of-the-client other")
    with client(serve(upstream=upstream_url)) as sdk:
        sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert "authorization" not in upstream.headers[-1]
    monkeypatch.setenv("UPSTREAM_KEY", " theirs\n")  # as a file of variables may hold it
    with client(serve(upstream=upstream_url, upstream_key_env="UPSTREAM_KEY")) as sdk:
        sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert upstream.headers[-1]["authorization"] == "Bearer theirs"


def test_headers_of_the_connection_and_ours_stop_at_the_proxy(
    serve: Serve, upstream: Upstream, upstream_url: str
) -> None:
    sent = {
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "te": "trailers",
        "proxy-authorization": "Basic eA==",
        "x-fulcrum-user": "ann",
        "x-kept": "caf\xe9".encode(),
        "openai-organization": "org",
    }
    httpx.post(serve(upstream=upstream_url).url + CHAT, json=ask("hi"), headers=sent).raise_for_status()  # type: ignore[arg-type]
    got = upstream.headers[-1]
    assert not {"x-hop", "te", "proxy-authorization", "x-fulcrum-user"} & got.keys()
    assert got["x-kept"].encode("latin-1") == "caf\xe9".encode() and got["openai-organization"] == "org"
    assert got["host"] in upstream_url and got["content-type"] == "application/json"


def test_a_compressed_answer_stays_compressed(serve: Serve, upstream: Upstream, upstream_url: str) -> None:
    packed = gzip.compress(b'{"hello": 1}')
    upstream.reply = lambda _: Response(packed, headers={"content-encoding": "gzip"})
    with httpx.stream("POST", serve(upstream=upstream_url).url + CHAT, json=ask("hi")) as reply:
        assert b"".join(reply.iter_raw()) == packed and reply.headers["content-encoding"] == "gzip"


def test_models_are_the_upstreams(serve: Serve, upstream_url: str) -> None:
    with client(serve(upstream=upstream_url)) as sdk:
        assert [model.id for model in sdk.models.list()] == ["m"]


def test_health_and_metrics(serve: Serve, upstream_url: str) -> None:
    proxy = serve(upstream=upstream_url)
    httpx.post(proxy.url + CHAT, json=ask("hi"))
    health = httpx.get(proxy.root + "/health").json()
    assert health["status"] == "ok" and health["method"] == "fake"
    metrics = httpx.get(proxy.root + "/metrics").text
    assert 'fulcrum_requests_total{status="200"} 1.0' in metrics
    assert 'fulcrum_help_total{arm="help",outcome="added"} 1.0' in metrics
    assert f'digest="{health["artifact"]}"' in metrics
