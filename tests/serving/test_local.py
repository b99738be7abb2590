"""Models in this process behind the same API: an artifact that answers itself, and a local upstream."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fulcrum.chat import Completion, Failure, FailureKind, Request, ToolCall, Usage
from fulcrum.errors import RunError, SettingsError
from serving.fakes import Notes, Proxy, ask, is_probe
from support.scripted import ScriptedModel, echo

Serve = Callable[..., Proxy]
CHAT = "/chat/completions"
NAME = "tiny-recipe"


def say(text: str) -> dict[str, Any]:
    return {"model": NAME, "messages": [{"role": "user", "content": text}]}


def once_open(answer: Callable[[Request], Completion]) -> Callable[[Request], Completion]:
    """Let the request through with which a model is tried before it is served."""
    return lambda request: echo(request) if is_probe(request) else answer(request)


def sdk_of(proxy: Proxy) -> openai.OpenAI:
    return openai.OpenAI(base_url=proxy.url, api_key="k", max_retries=0)


def test_an_artifact_answers_itself_with_usage_and_n(serve: Serve) -> None:
    model = ScriptedModel(
        lambda request: Completion(f"{request.sample}: {request.messages[-1].content}", usage=Usage(7, 2))
    )
    with sdk_of(serve(model)) as sdk:
        assert [entry.id for entry in sdk.models.list()] == [NAME]
        reply = sdk.chat.completions.create(**say("hi"), n=2, temperature=0.5)
    assert [choice.message.content for choice in reply.choices] == ["0: hi", "1: hi"]
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (7, 4, 11)
    assert reply.model == NAME and reply.id.startswith("chatcmpl-")


def test_it_streams_the_same_as_chunks(serve: Serve) -> None:
    call = ToolCall("c1", "weather", '{"city": "Rome"}')
    answer = Completion("look:", "tool_calls", Usage(3, 4), tool_calls=(call,))
    with sdk_of(serve(ScriptedModel(lambda _: answer))) as sdk:
        events = list(sdk.chat.completions.create(**say("hi"), stream=True, stream_options={"include_usage": True}))
        with sdk.chat.completions.stream(**say("hi")) as stream:
            whole = stream.get_final_completion().choices[0]
    assert [event.usage.total_tokens for event in events if event.usage] == [7]
    assert whole.message.content == "look:" and whole.finish_reason == "tool_calls"
    assert whole.message.tool_calls and whole.message.tool_calls[0].function.arguments == call.arguments


@pytest.mark.parametrize(
    ("failure", "status", "finish_reason"),
    [
        (Failure("truncated"), 200, "length"),
        (Failure("refused"), 200, "content_filter"),
        (Failure("empty"), 200, "stop"),
        (Failure("timeout", "too slow"), 504, None),
        (Failure("server"), 502, None),
        (Failure("rate_limit"), 429, None),
    ],
)
def test_what_the_model_says_is_an_answer_and_what_is_none_is_an_error(
    serve: Serve, failure: Failure, status: int, finish_reason: str | None
) -> None:
    proxy = serve(ScriptedModel(once_open(lambda _: Completion("par", failure=failure))))
    for stream in (False, True):
        reply = httpx.post(proxy.url + CHAT, json={**say("hi"), "stream": stream})
        assert reply.status_code == status
        if status != 200:
            assert reply.json()["error"]["code"] == failure.kind
        elif not stream:
            assert reply.json()["choices"][0]["finish_reason"] == finish_reason


@pytest.mark.parametrize(("kind", "code"), [("too_long", "context_length_exceeded"), ("invalid", "invalid_prompt")])
def test_a_prompt_that_the_model_cannot_take_is_the_clients_to_change(
    serve: Serve, kind: FailureKind, code: str
) -> None:
    proxy = serve(ScriptedModel(once_open(lambda _: Completion.failed(kind, "300 tokens"))))
    reply = httpx.post(proxy.url + CHAT, json=say("hi"))
    error = reply.json()["error"]
    assert reply.status_code == 400 and (error["code"], error["param"]) == (code, "messages")
    assert "300 tokens" in error["message"] and error["type"] == "invalid_request_error"


def test_a_model_that_raises_is_an_error_in_the_protocols_shape(serve: Serve) -> None:
    def broken(_: Request) -> Completion:
        raise ZeroDivisionError("secret detail")

    reply = httpx.post(serve(ScriptedModel(once_open(broken))).url + CHAT, json=say("hi"))
    assert reply.status_code == 502 and reply.json()["error"]["code"] == "model_failed"
    assert "secret" not in reply.text


def test_another_models_name_is_404_and_near_names_are_told(serve: Serve) -> None:
    proxy = serve(ScriptedModel())
    with sdk_of(proxy) as sdk, pytest.raises(openai.NotFoundError, match="did you mean 'tiny-recipe'"):
        sdk.chat.completions.create(**{**say("hi"), "model": "tiny-recip"})
    assert httpx.get(proxy.url + "/models/other").status_code == 404
    assert httpx.get(f"{proxy.url}/models/{NAME}").json()["id"] == NAME


def test_a_silent_model_is_504_and_those_who_left_are_not_answered(serve: Serve) -> None:
    go_on = threading.Event()

    def slow(request: Request) -> Completion:
        if request.messages[-1].content == "slow":
            go_on.wait(30)
        return Completion(request.messages[-1].content)

    model = ScriptedModel(slow)
    proxy = serve(model, timeout=0.3)
    assert httpx.post(proxy.url + CHAT, json=say("slow")).status_code == 504
    assert httpx.post(proxy.url + CHAT, json=say("dropped")).status_code == 504
    go_on.set()
    while (reply := httpx.post(proxy.url + CHAT, json=say("after"))).status_code != 200:
        pass
    assert reply.json()["choices"][0]["message"]["content"] == "after"
    assert "dropped" not in [request.messages[-1].content for request in model.requests]


def test_help_goes_before_a_local_upstream(serve: Serve) -> None:
    proxy = serve(Notes(), upstream="python:serving.fakes:shout")
    reply = httpx.post(proxy.url + CHAT, json={**ask("hi"), "model": "python:serving.fakes:shout"})
    assert reply.json()["choices"][0]["message"]["content"] == "HI\n\n[NOTE]"
    assert reply.headers["x-fulcrum-outcome"] == "added"


def test_an_artifact_and_its_upstream_must_fit(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--upstream http"):
        serve(Notes())
    with pytest.raises(SettingsError, match="answers requests itself"):
        serve(ScriptedModel(), upstream="http://127.0.0.1:9/v1")
    for flag in ({"shadow": True}, {"share": 0.5}):
        with pytest.raises(SettingsError, match=f"leave out --{next(iter(flag))}"):
            serve(ScriptedModel(), log=tmp_path / "log.jsonl", **flag)
    with pytest.raises(SettingsError, match="no such role; did you mean 'generator'"):
        serve(ScriptedModel(), models={"generater": "lab:small"})


def test_what_fails_at_a_first_request_is_not_served(serve: Serve) -> None:
    def broken(_: Request) -> Any:
        raise LookupError("no adapter")

    notes = Notes(broken)
    with pytest.raises(RunError, match="fails at a first request: LookupError: no adapter"):
        serve(notes, upstream="http://127.0.0.1:9/v1")
    assert notes.closed.is_set()


def out_of_order(_: Request) -> Completion:
    raise LookupError("no adapter")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (out_of_order, "LookupError: no adapter"),
        (lambda _: Completion.failed("server", "HTTP 404: no such adapter"), "HTTP 404: no such adapter"),
    ],
    ids=["raises", "gives no answer"],
)
def test_a_model_that_fails_at_a_first_request_is_not_served(
    serve: Serve, answer: Callable[[Request], Completion], told: str
) -> None:
    model = ScriptedModel(answer)
    with pytest.raises(RunError, match=f"fails at a first request: .*{told}"):
        serve(model)
    assert model.closed == 1


def test_a_model_whose_first_answer_is_cut_is_served(serve: Serve) -> None:
    model = ScriptedModel(lambda request: Completion("hi", failure=Failure("truncated")))
    assert httpx.post(serve(model).url + CHAT, json=say("hi")).status_code == 200
    assert [request.sampling.max_tokens for request in model.requests] == [1, 512]
