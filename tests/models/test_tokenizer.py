import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from fulcrum.chat import Message, ToolCall, assistant, user
from fulcrum.lab import corpus
from fulcrum.lab.tokenizer import END, PIECES, load_tokenizer, segments, train_tokenizer, training_texts

tokenizer = load_tokenizer()


@given(st.text())
def test_every_text_comes_back_from_its_tokens(text):
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_digits_stand_alone_and_all_printable_symbols_are_reachable():
    assert len(tokenizer) == PIECES
    assert [len(tokenizer.tokenize(f"x{number}")) for number in (7, 42, 2024)] == [2, 3, 5]
    for symbol in string.printable:
        assert tokenizer.decode(tokenizer(symbol, add_special_tokens=False)["input_ids"]) == symbol


@pytest.mark.parametrize("topic", [*corpus.LARGE, *corpus.SMALL])
def test_pretraining_segments_are_what_the_chat_template_writes(topic):
    messages = topic(random.Random(1))
    written = tokenizer.apply_chat_template([message.to_json() for message in messages], tokenize=False)
    assert "".join(text for text, _ in segments(messages)) == written


def test_the_template_marks_what_the_assistant_says_with_its_stop_token():
    messages = [user("hello"), assistant("good morning"), user("bye"), assistant("goodbye")]
    out = tokenizer.apply_chat_template(
        [message.to_json() for message in messages], return_dict=True, return_assistant_tokens_mask=True
    )
    spoken = [token for token, mark in zip(out["input_ids"], out["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(spoken) == f"good morning{END}goodbye{END}"


def test_the_template_writes_tools_and_tool_calls():
    tools = [{"type": "function", "function": {"name": "refund", "parameters": {"properties": {"order": {}}}}}]
    message = Message("assistant", "", (ToolCall("1", "refund", '{"order": 7}'),)).to_json()
    text = tokenizer.apply_chat_template([user("hi").to_json(), message], tools=tools, tokenize=False)
    assert text.startswith("<|system|>tools:\nrefund(order)<|end|><|user|>hi<|end|>")
    assert '<tool_call>{"name": "refund", "arguments": {"order": 7}}</tool_call><|end|>' in text


def test_a_tokenizer_is_trained_anew_from_generated_text(tmp_path):
    made = train_tokenizer(training_texts(100), pieces=400)
    made.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert len(again) == 400 and len(again("1234", add_special_tokens=False)["input_ids"]) == 4
    assert again.decode(again("select count(*) from orders", add_special_tokens=False)["input_ids"]).startswith(
        "select"
    )
    assert again.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == f"<|user|>hi{END}"
