import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.chat.message import Message, ToolCall
from fulcrum.chat.options import split_options
from fulcrum.chat.parsing import split_reasoning, take_tool_calls, with_tool_calls
from fulcrum.chat.template import template_message
from fulcrum.errors import ModelError


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("plain ", False, ("", "plain ")),
        ("<think>a b</think>\n\nc", False, ("a b", "c")),
        ("a b</think>c", True, ("a b", "c")),
        ("<think>never closed", False, ("never closed", "")),
        ("of <think>tags</think> in the middle", False, ("", "of <think>tags</think> in the middle")),
    ],
)
def test_thinking_is_told_from_the_answer(text, opened, expected):
    assert split_reasoning(text, opened) == expected


def test_tool_calls_leave_the_text():
    find, stop = '{"name": "find", "arguments": {"n": 1}}', '\n{"name": "stop"}\n'
    text = f"Let me look.<tool_call>{find}</tool_call>\n<tool_call>{stop}</tool_call>"
    rest, calls = take_tool_calls(text, "c")
    assert rest == "Let me look."
    assert calls == (ToolCall("c0", "find", '{"n": 1}'), ToolCall("c1", "stop", "{}"))


TOO_LONG, TOO_DEEP = '{"n": ' + "9" * 5000 + "}", '{"n": ' * 100_000 + "1" + "}" * 100_000


@pytest.mark.parametrize("inside", ["{not json}", '{"arguments": {}}', '{"name": 3}', TOO_LONG, TOO_DEEP])
def test_a_malformed_tool_call_stays_in_the_text(inside):
    text = f"x <tool_call>{inside}</tool_call>"
    assert take_tool_calls(text, "c") == (text, ())


@pytest.mark.parametrize("arguments", ["not json", TOO_LONG, TOO_DEEP])
def test_arguments_that_cannot_be_read_reach_the_template_as_they_are(arguments):
    message = Message("assistant", "", (ToolCall("c0", "find", arguments),))
    assert template_message(message)["tool_calls"][0]["function"]["arguments"] == arguments


words = st.text(alphabet='ab {}<>"é', max_size=8)
arguments_of_any_shape = st.dictionaries(words, st.integers() | words | st.lists(words) | st.dictionaries(words, words))


@given(words, arguments_of_any_shape)
def test_any_written_tool_call_is_read_back(name, arguments):
    _, (call,) = take_tool_calls(f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>", "c")
    assert (call.name, json.loads(call.arguments)) == (name, arguments)


@given(words, arguments_of_any_shape.map(json.dumps) | st.just("not json"))
def test_a_turn_is_written_as_it_is_read_back(name, arguments):
    calls = (ToolCall("c0", name, arguments), ToolCall("c1", "stop", "{}"))
    said, found = take_tool_calls(with_tool_calls(Message("assistant", "One moment.", calls)), "c")
    assert said == "One moment." and [call.name for call in found] == [name, "stop"]
    assert template_message(Message("assistant", "", found)) == template_message(Message("assistant", "", calls))
    assert with_tool_calls(Message("assistant", " one\ntwo ")) == " one\ntwo "


@given(st.text())
def test_any_text_can_be_parsed(text):
    reasoning, answer = split_reasoning(text)
    assert len(reasoning) + len(answer) <= len(text)
    take_tool_calls(text, "c")


def test_options_are_split_from_the_name():
    assert split_options("hf:a/b?dtype=float32", ["dtype"]) == ("hf:a/b", {"dtype": "float32"})
    assert split_options("hf:a/b", ["dtype"]) == ("hf:a/b", {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:a?adaptor=x", "no option 'adaptor'; did you mean 'adapter'"),
        ("hf:a?zzz=x", "there are adapter, batch"),
        ("hf:a?batch", "option=value"),
        ("hf:a?batch=1&batch=2", "given twice"),
    ],
)
def test_a_wrong_option_is_named(name, message):
    with pytest.raises(ModelError, match=message):
        split_options(name, ["adapter", "batch"])
