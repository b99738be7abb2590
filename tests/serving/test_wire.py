import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.chat import Message, assistant, system, user
from fulcrum.serving.errors import ApiError
from fulcrum.serving.wire import add_help, parse_body, read_conversation, read_question

texts = st.text(st.characters(codec="utf-8"), max_size=12)
parts = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
        st.just({"type": "image_url", "image_url": {"url": "data:"}}),
    ),
    max_size=3,
)
calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra": 1}]
raw_messages = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user"]), "content": st.one_of(texts, parts)},
        optional={"name": st.just("ann"), "cache_control": st.just({"type": "ephemeral"})},
    ),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none(), "tool_calls": st.just(calls)}),
    st.fixed_dictionaries({"role": st.just("tool"), "content": texts, "tool_call_id": st.just("c")}),
)


def read(raw: Sequence[Any]) -> tuple[Message, ...]:
    return read_conversation({"messages": list(raw)}).messages


@given(st.lists(raw_messages, min_size=1, max_size=5))
def test_messages_without_help_stay_as_they_are(raw: list[Any]) -> None:
    assert add_help(raw, read(raw), read(raw)) == raw


@given(st.lists(raw_messages, min_size=1, max_size=5), texts.filter(str.strip))
def test_text_after_the_last_message_changes_nothing_else(raw: list[Any], help_: str) -> None:
    before = read(raw)
    *front, last = before
    after = (*front, Message(last.role, f"{last.content}\n\n{help_}", last.tool_calls, last.tool_call_id))
    helped = add_help(raw, before, after)
    assert helped[:-1] == raw[:-1]
    assert {**helped[-1], "content": 0} == {**raw[-1], "content": 0}
    content = helped[-1]["content"]
    if isinstance(content, list):
        assert content[:-1] == raw[-1]["content"] and help_.strip("\n") in content[-1]["text"]
    else:
        assert content == f"{last.content}\n\n{help_}"


@given(st.lists(raw_messages, min_size=1, max_size=5))
def test_a_new_instruction_in_front_leaves_the_rest(raw: list[Any]) -> None:
    before = read(raw)
    guidance = system("Guidance, unlike all others: be brief.")
    assert add_help(raw, before, (guidance, *before)) == [guidance.to_json(), *raw]


def test_an_instruction_in_front_and_text_behind_at_once() -> None:
    raw = [{"role": "user", "content": "q", "name": "ann"}]
    helped = add_help(raw, read(raw), (system("s"), user("q\n\nnote")))
    assert helped == [system("s").to_json(), {"role": "user", "content": "q\n\nnote", "name": "ann"}]


def test_solved_examples_in_front_of_a_question_that_they_repeat() -> None:
    raw = [{"role": "user", "content": "add 1", "name": "ann"}]
    helped = add_help(raw, read(raw), (user("please add 1 and 2"), assistant("3"), user("add 1")))
    assert helped[-1] == raw[0] and "name" not in helped[0]


def test_text_is_added_to_a_tool_call_that_stands_before_a_new_message() -> None:
    raw = [{"role": "assistant", "content": None, "tool_calls": calls}, {"role": "user", "content": "q"}]
    before = read(raw)
    assert add_help(raw, before, (before[0], system("s"), before[1])) == [raw[0], system("s").to_json(), raw[1]]


@pytest.mark.parametrize("after", [(), (user("other"),), (system("first"),), (assistant("first"), user("q"))])
def test_what_drops_a_message_is_no_help(after: tuple[Message, ...]) -> None:
    raw = [{"role": "user", "content": "first"}, {"role": "user", "content": "q"}]
    with pytest.raises(ValueError, match="is gone"):
        add_help(raw, read(raw), after)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 100_000, b'"' * 9]
)
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_body(content)
    assert caught.value.status == 400


def test_a_question_says_how_to_draw() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
    (greedy,) = read_question(body).requests(7)
    assert (greedy.sampling.temperature, greedy.sampling.max_tokens) == (0.0, 7)
    drawn = {**body, "n": 3, "temperature": 0.5, "top_p": 0.9, "max_tokens": 4, "stop": "x", "seed": 5}
    requests = read_question(drawn).requests(7)
    assert [request.sample for request in requests] == [0, 1, 2]
    sampling = requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.5, 0.9, 4)
    assert (sampling.stop, sampling.seed) == (("x",), 5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 3),
        ("n", 0),
        ("max_tokens", "many"),
        ("messages", []),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "required"),
        ("logprobs", True),
        ("model", None),
    ],
)
def test_what_a_local_model_cannot_do_is_refused_by_the_name_of_the_field(field: str, value: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}], field: value}
    with pytest.raises(ApiError) as caught:
        read_question(body)
    assert caught.value.status == 400 and caught.value.param == field
    json.dumps(caught.value.to_json())


@pytest.mark.parametrize(
    "field",
    [
        {"messages": [{"role": "user", "content": "hi \ud83d"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi \ud83d"}]}]},
        {"stop": ["\ud83d"]},
        {"tools": [{"type": "function", "function": {"name": "f", "description": "\ud83d"}}]},
    ],
    ids=str,
)
def test_half_an_emoji_is_refused_by_the_name_of_the_field(field: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "q \U0001f600"}]}
    read_question(body)
    with pytest.raises(ApiError) as caught:
        read_question({**body, **field})
    assert caught.value.status == 400 and caught.value.param in field
    json.dumps(caught.value.to_json()).encode()
