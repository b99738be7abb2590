"""One call at a time: what is sent, and what every kind of reply amounts to."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.chat import Completion, Message, Request, Sampling, Tool, ToolCall, complete, resolve, user
from fulcrum.chat.address import identity_of
from fulcrum.chat.endpoint import EndpointModel, EndpointSettings, open_model
from fulcrum.chat.protocol import read_reply
from fulcrum.chat.trouble import Trouble, read_error, retry_after
from fulcrum.errors import ModelError
from support.fault_server import FAULTS, Body, FaultServer, Reply, chat_completion, error, prompt_of

GREETING = Request((user("hello"),))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def ask(server: FaultServer, request: Request = GREETING, model: str = "tiny", **settings: object) -> Completion:
    options = EndpointSettings.model_validate({"backoff": 0.001, "retries": 2, "timeout": 10, **settings})
    endpoint = EndpointModel(f"{server.url}#{model}", server.url, model, options)
    try:
        return complete(endpoint, [request])[0]
    finally:
        endpoint.close()


def read(payload: object) -> Completion:
    completion = read_reply(json.dumps(payload), "asked", 1.5)
    assert isinstance(completion, Completion)
    return completion


def test_an_answer_with_usage_and_the_servers_name_of_the_model(server: FaultServer) -> None:
    completion = ask(server)
    assert completion.ok
    assert completion.text == "olleh"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3, 5)
    assert completion.model == "tiny"
    assert completion.seconds > 0


def test_resolve_reads_the_options_between_address_and_model(server: FaultServer) -> None:
    model = resolve(f"{server.url}?timeout=7&concurrency=3&retries=0#tiny")
    assert isinstance(model, EndpointModel)
    assert (model.settings.timeout, model.settings.concurrency, model.settings.retries) == (7, 3, 0)
    assert complete(model, [GREETING])[0].text == "olleh"
    model.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("http://host/v1", "no model after #"),
        ("http:///v1#qwen", "no host"),
        ("http://host:80a/v1#qwen", "an address that cannot work: Port could not be cast"),
        ("http://host:99999/v1#qwen", "an address that cannot work: Port out of range"),
        ("http://[::1/v1#qwen", "an address that cannot work: Invalid IPv6 URL"),
        ("http://host/v1?timout=3#qwen", "did you mean 'timeout'"),
        ("http://host/v1?timeout=soon#qwen", 'timeout: "soon" given'),
        ("http://host/v1?retries=-1#qwen", "retries"),
        ("http://me:secret@host/v1#qwen", "key_env"),
    ],
)
def test_a_name_that_cannot_work_is_refused_with_the_reason(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)) as raised:
        open_model(name)
    assert "secret" not in str(raised.value)


def test_identity_holds_what_changes_an_answer_and_nothing_else() -> None:
    plain = open_model("http://host/v1#qwen").identity(GREETING)
    assert open_model("http://HOST/v1/?timeout=3&concurrency=1#qwen").identity(GREETING) == plain
    assert open_model("http://host:81/v1#qwen").identity(GREETING) != plain
    assert open_model("http://host/v1#llama").identity(GREETING) != plain
    assert open_model("http://host/v1?thinking=template#qwen").identity(GREETING) != plain
    assert open_model("http://host/v1#qwen").identity(Request((user("hello"),), adapter="tuned")) != plain


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("http://h/v1?timeout=3&concurrency=1&retries=0&backoff=1&key_env=K#m", "http://h/v1#m"),
        ("https://h/v1?key_env=K&thinking=template&retries=2#org/m?x", "https://h/v1?thinking=template#org/m?x"),
        ("http://h/v1#m", "http://h/v1#m"),
        ("hf:m?batch=2&timeout=1", "hf:m?batch=2&timeout=1"),
    ],
)
def test_a_name_without_how_the_endpoint_is_called_is_that_of_the_same_model(name: str, same: str) -> None:
    assert identity_of(name) == same
    if name.startswith("http"):
        assert open_model(name).identity(GREETING) == open_model(same).identity(GREETING)


def test_every_setting_of_a_request_is_sent(server: FaultServer) -> None:
    tool = Tool("look_up", "Finds an order.", {"type": "object", "properties": {"id": {"type": "integer"}}})
    call = ToolCall("call_1", "look_up", '{"id": 7}')
    messages = (
        Message("system", "Be brief."),
        user("Where is order 7?"),
        Message("assistant", "", (call,)),
        Message("tool", "in Rome", tool_call_id="call_1"),
    )
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=11, stop=("END",), seed=5, logprobs=True)
    ask(server, Request(messages, sampling, (tool,)))
    (body,) = server.bodies
    assert 0 <= body.pop("seed") < 2**31
    assert body == {
        "model": "tiny",
        "messages": [message.to_json() for message in messages],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 11,
        "stop": ["END"],
        "logprobs": True,
        "tools": [tool.to_json()],
    }


def test_nothing_that_a_server_may_not_know_is_sent_unasked(server: FaultServer) -> None:
    ask(server)
    assert server.bodies[0].keys() == {"model", "messages", "temperature", "max_tokens"}
    ask(server, thinking="template")
    assert server.bodies[1]["chat_template_kwargs"] == {"enable_thinking": False}
    ask(server, Request((user("hello"),), Sampling(thinking=True)), thinking="template")
    assert server.bodies[2]["chat_template_kwargs"] == {"enable_thinking": True}


def test_repeated_draws_have_seeds_of_their_own_and_the_same_draw_the_same_seed(server: FaultServer) -> None:
    for sample in (0, 1, 1):
        ask(server, Request((user("hello"),), Sampling(temperature=1.0), sample=sample))
    first, second, again = (body["seed"] for body in server.bodies)
    assert first != second == again


def test_an_adapter_is_asked_for_as_a_model(server: FaultServer) -> None:
    server.model = "tuned"
    assert ask(server, Request((user("hello"),), adapter="tuned")).ok


def test_the_key_comes_from_the_environment(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "sesame"
    monkeypatch.setenv("SHOP_KEY", "sesame")
    assert ask(server, key_env="SHOP_KEY").ok
    monkeypatch.delenv("SHOP_KEY")
    with pytest.raises(ModelError, match="SHOP_KEY, which is not set"):
        ask(server, key_env="SHOP_KEY")


@pytest.mark.parametrize("value", ["sk-sesame-1234\n", " sk-sesame-1234\r\n"])
def test_space_around_a_key_is_no_part_of_it(server: FaultServer, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    server.key = "sk-sesame-1234"
    monkeypatch.setenv("SHOP_KEY", value)
    assert ask(server, key_env="SHOP_KEY").ok


@pytest.mark.parametrize("value", ["sk-sesame\n-1234", "\u201csk-sesame-1234\u201d"])
def test_a_key_that_cannot_be_one_is_told_by_the_name_of_its_variable(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SHOP_KEY", value)
    with pytest.raises(ModelError, match="the environment variable SHOP_KEY holds") as raised:
        ask(server, key_env="SHOP_KEY")
    assert "sesame" not in str(raised.value) and not server.requests


@pytest.mark.parametrize("padding", ["", "x" * 240])  # at the end of what is kept, half a key is a leak too
@pytest.mark.parametrize("payload", [{"error": {"message": "{}"}}, {"choices": "{}"}, {"error": "{}"}])
@pytest.mark.parametrize("status", [200, 401])
def test_a_key_that_a_server_repeats_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, status: int, payload: object, padding: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-sesame-1234-and-so-on")
    text = json.dumps(payload).replace("{}", f"{padding} wrong key: sk-sesame-1234-and-so-on")
    with FaultServer(respond=lambda body: Reply(text.encode(), status)) as server:
        failure = ask(server).failure
    assert failure is not None and "sesame" not in failure.detail
    assert padding or "***" in failure.detail


def test_a_key_that_is_a_mere_word_is_not_taken_out_of_what_a_server_says(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "model")
    failure = ask(server, model="tny").failure
    assert failure is not None and failure.detail == "HTTP 404: The model `tny` does not exist."


def test_a_bad_key_is_a_server_failure_and_is_not_tried_again(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server.key = "sesame"
    failure = ask(server).failure
    assert failure is not None
    assert failure.kind == "server"
    assert "Incorrect API key provided" in failure.detail
    server.key = None
    assert ask(server).ok
    assert server.requests["hello"] == 1


def test_a_wrong_model_name_is_a_server_failure_with_the_servers_words(server: FaultServer) -> None:
    failure = ask(server, model="tny").failure
    assert failure is not None
    assert failure.kind == "server"
    assert failure.detail == "HTTP 404: The model `tny` does not exist."
    assert server.requests["hello"] == 1


def test_nulls_where_a_server_has_nothing_to_say_lose_no_answer() -> None:
    call = {"id": None, "function": {"name": "f", "arguments": None}}
    payload = chat_completion(None, "tool_calls", tool_calls=[call])
    payload["usage"] = {"prompt_tokens": 3, "completion_tokens": None}
    answer = read_reply(json.dumps(payload), "tiny", 0.1)
    assert isinstance(answer, Completion) and answer.ok
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 0)
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [("", "f", "")]


@pytest.mark.parametrize(
    ("usage", "completion_tokens"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 1015}, 1005),  # thinking in the total alone
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": None}, 5),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, 5),
    ],
)
def test_tokens_that_only_the_total_tells_are_completion_tokens(usage: object, completion_tokens: int) -> None:
    answer = read({**chat_completion("42"), "usage": usage})
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, completion_tokens)


def test_reasoning_logprobs_and_tool_calls_are_kept_apart_from_the_text() -> None:
    payload = chat_completion("four", reasoning_content="two and two")
    payload["choices"][0]["logprobs"] = {"content": [{"token": "fo", "logprob": -0.5}, {"token": "ur", "logprob": 0}]}
    completion = read(payload)
    assert (completion.text, completion.reasoning, completion.logprobs) == ("four", "two and two", (-0.5, 0.0))
    assert read(chat_completion("four", reasoning="two and two")).reasoning == "two and two"
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"id": 7}'}}
    completion = read(chat_completion(None, "tool_calls", tool_calls=[call]))
    assert completion.ok
    assert completion.finish_reason == "tool_calls"
    assert completion.tool_calls == (ToolCall("c1", "look_up", '{"id": 7}'),)


@pytest.mark.parametrize(
    "thinking",
    [
        {"type": "thinking", "thinking": [{"type": "text", "text": "two and two"}]},
        {"type": "thinking", "thinking": "two and two"},
        {"type": "text", "text": "<think>two and two</think>"},
    ],
)
def test_an_answer_in_parts_is_one_text_and_its_thinking_is_apart(thinking: object) -> None:
    parts = [
        thinking,
        {"type": "text", "text": "fo"},
        {"type": "reference", "text": None},
        {"type": "text", "text": "ur"},
    ]
    payload = chat_completion(None)
    payload["choices"][0]["message"]["content"] = parts
    completion = read(payload)
    assert (completion.text, completion.reasoning, completion.ok) == ("four", "two and two", True)


def test_tool_arguments_that_are_no_text_become_one() -> None:
    call = {"id": "c1", "function": {"name": "look_up", "arguments": {"id": 7, "name": "café"}}}
    (read_call,) = read(chat_completion(None, "tool_calls", tool_calls=[call])).tool_calls
    assert json.loads(read_call.arguments) == {"id": 7, "name": "café"}


def test_a_whole_reply_that_does_not_fit_is_asked_for_once_more_and_its_tokens_count() -> None:
    foreign, usage = [Reply({**chat_completion(""), "choices": []})] * 2, {"prompt_tokens": 3, "completion_tokens": 5}
    with FaultServer(respond=lambda body: foreign[0] if foreign else None) as server:
        failed = ask(server, retries=5)
        assert failed.failure is not None and failed.failure.kind == "server" and server.requests["hello"] == 2
        assert failed.usage.total == 2 * sum(usage.values())
        slow = [error(503, "loading")] * 2
        del foreign[:]
        server.respond = lambda body: slow.pop() if slow else None
        assert ask(server).usage.total == 8


def test_an_endpoint_that_says_to_wait_for_no_time_is_given_some() -> None:
    with FaultServer(respond=lambda body: error(429, "slow down", **{"Retry-After": "0"})) as server:
        assert not ask(server, backoff=0.1).ok
        first, second, third = server.arrivals
        assert second - first > 0.04 and third - second > 0.09


@pytest.mark.parametrize("text", ["<think>\ntwo and two\n</think>\n\nfour", "two and two\n</think>\n\nfour"])
def test_reasoning_that_the_server_left_in_the_text_is_taken_out(text: str) -> None:
    completion = read(chat_completion(text))
    assert (completion.text, completion.reasoning, completion.ok) == ("four", "two and two", True)


@pytest.mark.parametrize(
    ("payload", "kind", "text"),
    [
        (chat_completion(None, refusal="I cannot help with that."), "refused", ""),
        (chat_completion("half a", "content_filter"), "refused", "half a"),
        (chat_completion("half a sen", "length"), "truncated", "half a sen"),
        (chat_completion("half a sen", "model_length"), "truncated", "half a sen"),
        (chat_completion("", "length", reasoning_content="hmm"), "truncated", ""),
        (chat_completion(""), "empty", ""),
        (chat_completion("  \n"), "empty", "  \n"),
        (chat_completion(None, reasoning_content="only thoughts"), "empty", ""),
        (chat_completion("<think>only thoughts"), "empty", ""),
    ],
)
def test_answers_that_must_not_be_used_are_typed_and_paid_for(payload: object, kind: str, text: str) -> None:
    completion = read(payload)
    assert completion.failure is not None
    assert completion.failure.kind == kind
    assert completion.failure.paid
    assert completion.text == text
    assert completion.usage.total == 8


@given(st.text() | st.dictionaries(st.sampled_from(["choices", "usage"]), st.none() | st.just([])).map(json.dumps))
def test_a_reply_that_is_not_the_protocol_is_trouble_and_never_an_answer(text: str) -> None:
    reply = read_reply(text, "tiny", 1.0)
    assert isinstance(reply, Trouble)
    assert reply.kind == "server"
    assert reply.passing


@pytest.mark.parametrize(
    ("reply", "kind", "tries"),
    [
        (Reply(b"<html>wrong port</html>"), "server", 3),
        (Reply({"error": {"message": "upstream is down"}}), "server", 3),
        (Reply(chat_completion("half a sen", "abort")), "server", 3),
        (Reply(chat_completion("half a sen", "error")), "server", 3),
        (error(500, "out of memory"), "server", 3),
        (error(503, "loading the model"), "server", 3),
        (error(429, "slow down"), "rate_limit", 3),
        (error(429, "no money left", "insufficient_quota"), "rate_limit", 1),
        (error(429, "come back tomorrow", **{"Retry-After": "86400"}), "rate_limit", 1),
        (error(400, "prompt too long", "context_length_exceeded"), "too_long", 1),
        (error(400, "This model's maximum context length is 4096 tokens. However, you sent 9000."), "too_long", 1),
        (error(400, "The decoder prompt (length 9) is longer than the maximum model length of 8."), "too_long", 1),
        (error(400, "The input (9 tokens) is longer than the model's context length (8 tokens)."), "too_long", 1),
        (error(400, "request (9 tokens) exceeds the available context size (8 tokens)"), "too_long", 1),
        (error(400, "'max_completion_tokens' is too large: 9. The maximum context length is 8."), "too_long", 1),
        (error(400, "prompt is too long: 9 tokens > 8 maximum"), "too_long", 1),
        (error(400, "{'msg': 'no role', 'input': 'the maximum context length'}"), "server", 1),
        (error(400, "no such role", "invalid_prompt"), "invalid", 1),
        (error(400, "the prompt was filtered", "content_filter"), "refused", 1),
        (Reply({"detail": "Unexpected fields"}, 422), "server", 1),
        (Reply(b"no such page", 404), "server", 1),
        (Reply(b"[" * 100_000, 404), "server", 1),
    ],
)
def test_only_what_may_pass_is_tried_again(reply: Reply, kind: str, tries: int) -> None:
    with FaultServer(respond=lambda body: reply) as server:
        completion = ask(server)
        assert completion.failure is not None
        assert completion.failure.kind == kind
        assert completion.text == ""
        assert server.requests["hello"] == tries


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_ends_as_the_failure_that_it_is(fault: str) -> None:
    expected = {"rate_limit": "rate_limit", "hang": "timeout", "slow_drip": "timeout"}.get(fault, "server")
    with FaultServer(fault_rate=1.0, faults=(fault,), retry_after=0.01) as server:
        completion = ask(server, retries=1, timeout=0.3)
        assert completion.failure is not None
        assert completion.failure.kind == expected, completion.failure
        assert server.requests["hello"] == 2


def test_a_server_that_is_not_there_is_a_server_failure_that_names_the_address(server: FaultServer) -> None:
    url = "http://127.0.0.1:9/v1"
    endpoint = EndpointModel(f"{url}#tiny", url, "tiny", EndpointSettings(retries=1, backoff=0.001))
    (completion,) = complete(endpoint, [GREETING])
    assert completion.failure is not None
    assert completion.failure.kind == "server"
    assert url in completion.failure.detail
    endpoint.close()


def test_a_request_that_cannot_be_written_as_text_fails_alone(server: FaultServer) -> None:
    failure = ask(server, Request((user("half a pair: \ud83d"),))).failure
    assert failure is not None
    assert failure.kind == "invalid"
    assert "UTF-8" in failure.detail


def test_fields_that_a_server_refuses_are_learned_once() -> None:
    def picky(body: Body) -> Reply | None:
        if "logprobs" in body:
            return error(400, "logprobs is not supported with this model")
        if "max_tokens" in body:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if body.keys() & {"temperature", "top_p"}:
            return error(400, "Unsupported value: 'temperature' does not support 0 with this model.")
        return None

    with FaultServer(respond=picky) as server:
        endpoint = EndpointModel(f"{server.url}#tiny", server.url, "tiny")
        request = Request((user("hello"),), Sampling(logprobs=True))
        assert [completion.text for completion in complete(endpoint, [request])] == ["olleh"]
        assert complete(endpoint, [request])[0].logprobs is None
        assert server.requests["hello"] == 5
        assert server.bodies[-1]["max_completion_tokens"] == 256
        endpoint.close()


DRAW = Request((user("hello"),), Sampling(temperature=0.7, top_p=0.9, logprobs=True))
SEED_FORBIDDEN = {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs", "input": 7}]}


def refusal(message: str, param: str | None = None, code: str | None = None) -> Reply:
    return Reply({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}, 400)


@pytest.mark.parametrize(
    ("reply", "field"),
    [
        (
            refusal(
                "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is "
                "supported.",
                "temperature",
                "unsupported_value",
            ),
            "temperature",
        ),
        (refusal("Unsupported parameter: 'top_p' is not supported with this model.", "top_p"), "top_p"),
        (refusal("O-series models don't support temperature=0.7. Only temperature=1 is supported."), "temperature"),
        (refusal("openai does not support parameters: {'temperature': 0.7}, for model=gpt-5"), "temperature"),
        (refusal("azure does not support parameters: ['top_p'], for model=o3. To drop these, set"), "top_p"),
        (refusal("invalid temperature: only 1 is allowed for this model"), "temperature"),
        (refusal("`temperature` is deprecated for this model."), "temperature"),
        (refusal("You are not allowed to request logprobs from this model."), "logprobs"),
        (refusal("This model takes no such thing: unsupported", "logprobs"), "logprobs"),
        (refusal("Unrecognized request argument supplied: seed"), "seed"),
        (Reply([{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}], 400), "seed"),
        (Reply({"object": "error", "message": SEED_FORBIDDEN}, 422), "seed"),
        (Reply(SEED_FORBIDDEN, 422), "seed"),
    ],
)
def test_a_field_that_a_server_does_not_take_is_left_out_and_no_other(reply: Reply, field: str) -> None:
    with FaultServer(respond=lambda body: reply if field in body else None) as server:
        assert ask(server, DRAW).ok
        first, last = server.bodies
        assert first.keys() - last.keys() == {field}


@pytest.mark.parametrize(
    "reply",
    [
        refusal("temperature: range: 0..1"),
        refusal("Invalid 'temperature': decimal above maximum value. Expected a value <= 2.", "temperature"),
        refusal("temperature=1.2 is not supported: it must be between 0 and 1", "temperature", "unsupported_value"),
        refusal("Your prompt was flagged: 'how do I measure body temperature'", code="content_filter"),
        refusal("Flagged: 'my oven says temperature not supported'", code="content_filter"),
        refusal("1 validation error: {'msg': 'Value error', 'input': {'temperature': 0.7, 'unsupported': 'top_p'}}"),
        refusal("logprobs and top_p are fine, the message is empty"),
    ],
)
def test_a_refusal_of_one_request_changes_no_other(reply: Reply) -> None:
    with FaultServer(respond=lambda body: reply if prompt_of(body) == "bad" else None) as server:
        endpoint = EndpointModel(f"{server.url}#tiny", server.url, "tiny", EndpointSettings(concurrency=1))
        draws = [replace(DRAW, messages=(user(text),)) for text in ("before", "bad", "after")]
        assert [completion.ok for completion in complete(endpoint, draws)] == [True, False, True]
        before, _, after = server.bodies
        assert {**before, "messages": 0, "seed": 0} == {**after, "messages": 0, "seed": 0}
        endpoint.close()


def test_a_whole_top_p_beside_a_temperature_is_left_out_where_both_are_refused() -> None:
    both = refusal("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    with FaultServer(respond=lambda body: both if body.keys() >= {"temperature", "top_p"} else None) as server:
        completion = ask(server, Request((user("hello"),), Sampling(temperature=0.7)))
        assert completion.ok and server.bodies[-1]["temperature"] == 0.7
        failure = ask(server, DRAW).failure
        assert failure is not None and "cannot both" in failure.detail  # a cut distribution is never quietly whole


@given(st.text())
def test_a_refusal_in_any_words_is_a_failure_of_the_server(text: str) -> None:
    assert read_error(400, {}, text).kind == "server"


@given(st.integers(min_value=-1000, max_value=10_000))
def test_retry_after_is_read_as_seconds_and_as_a_date(seconds: int) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    date = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"retry-after": date}, now) == max(0, seconds)
    assert retry_after({"retry-after": str(seconds)}, now) == max(0, seconds)


@given(st.text())
def test_a_retry_after_that_makes_no_sense_is_no_error(text: str) -> None:
    wait = retry_after({"retry-after": text}, datetime.now(UTC))
    assert wait is None or wait >= 0


def test_models_are_listed_and_a_near_miss_is_named(server: FaultServer) -> None:
    endpoint = open_model(f"{server.url}#tiny")
    assert endpoint.list_models() == ["tiny"]
    assert endpoint.ping() is None
    endpoint.close()
    endpoint = open_model(f"{server.url}#tinny")
    failure = endpoint.ping()
    assert failure is not None
    assert "did you mean 'tiny'" in failure.detail
    endpoint.close()


def test_a_server_that_cannot_be_asked_for_models_says_why() -> None:
    endpoint = open_model("http://127.0.0.1:9/v1#tiny")
    failure = endpoint.ping()
    assert failure is not None
    assert failure.kind == "server"
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/v1"):
        endpoint.list_models()
    endpoint.close()
