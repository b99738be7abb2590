"""What the model reads, what it learns to write, and where that ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.chat.message import Tool, assistant, system, user
from fulcrum.errors import TrainingError
from fulcrum.training.rows import ChatRow
from fulcrum.training.tokens import check_lengths, encode
from support.tiny import tiny_tokenizer

STABLE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
UNSTABLE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think></think>{% endif %}"
)
MARKED = UNSTABLE.replace(
    "<|{{ m.role }}|>{{ m.content }}<|end|>",
    "<|{{ m.role }}|>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}",
)
ENDLESS = STABLE.replace("<|end|>", "")

TALK = (system("be kind"), user("where is it"), assistant("it is late"), user("why"))


@pytest.mark.parametrize("template", [STABLE, MARKED], ids=["by difference", "by marks"])
def test_only_the_last_answer_and_its_stop_token_are_learnt(template):
    tokenizer = tiny_tokenizer(template=template)
    (row,) = encode(tokenizer, [ChatRow(TALK, "the parcel is in rome")], {tokenizer.eos_token_id})
    assert tokenizer.decode(row.response_ids) == "the parcel is in rome<|end|>"
    seen_when_answering = tokenizer.apply_chat_template(
        [message.to_json() for message in TALK], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert tokenizer.decode(row.prompt_ids) == seen_when_answering


@pytest.mark.parametrize("template", [STABLE, MARKED], ids=["by difference", "by marks"])
def test_the_tools_of_a_row_stand_in_its_prompt(template):
    offered = "{% for tool in tools or [] %}the {{ tool.function.name }} {% endfor %}"
    tokenizer = tiny_tokenizer(template=offered + template)
    with_it, without = (ChatRow(TALK, "the parcel", tools) for tools in ((Tool("refund", "", {}),), ()))
    with_it, without = encode(tokenizer, [with_it, without], {tokenizer.eos_token_id})
    assert tokenizer.decode(with_it.prompt_ids) == "the refund " + tokenizer.decode(without.prompt_ids)
    assert with_it.response_ids == without.response_ids


TOKENIZER = tiny_tokenizer(template=STABLE)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_answer_survives_in_the_tokens_to_be_learnt(response):
    (row,) = encode(TOKENIZER, [ChatRow((user("hello"),), response)], {TOKENIZER.eos_token_id})
    assert TOKENIZER.decode(row.response_ids) == response + "<|end|>"
    assert row.response_ids[-1] == TOKENIZER.eos_token_id
    assert TOKENIZER.decode(row.prompt_ids) == "<|user|>hello<|end|>\n<|assistant|>"


def test_an_answer_that_merges_with_the_prompt_is_cut_as_the_model_will_see_it():
    tokenizer = tiny_tokenizer(
        template="{% for m in messages %}{% if m.role == 'assistant' %}answe{{ m.content }}{% else %}{{ m.content }} "
        "{% endif %}{% endfor %}{% if add_generation_prompt %}answe{% else %}<|end|>{% endif %}"
    )
    whole = tokenizer("the answer<|end|>", add_special_tokens=False)["input_ids"]
    (row,) = encode(tokenizer, [ChatRow((user("the"),), "r")], {tokenizer.eos_token_id})
    assert row.prompt_ids == tokenizer("the answe", add_special_tokens=False)["input_ids"]
    assert row.prompt_ids != whole[: len(row.prompt_ids)], "the case is not the one this test is about"
    assert tokenizer.decode(row.response_ids) == "r<|end|>"


def test_a_template_that_hides_the_answer_is_refused():
    tokenizer = tiny_tokenizer(template=UNSTABLE)
    with pytest.raises(TrainingError, match=r"'<think></think>' turns into 'fine<\|end\|>'.*generation %}"):
        encode(tokenizer, [ChatRow((user("how are you"),), "fine")], {tokenizer.eos_token_id})


def test_a_template_without_a_stop_token_is_refused():
    tokenizer = tiny_tokenizer(template=ENDLESS)
    with pytest.raises(TrainingError, match=r"writes no stop token \('<\|end\|>'\)"):
        encode(tokenizer, [ChatRow((user("how are you"),), "fine")], {tokenizer.eos_token_id})


def test_a_tokenizer_without_template_is_refused():
    with pytest.raises(TrainingError, match="no chat template"):
        encode(tiny_tokenizer(template=None), [ChatRow((user("hi"),), "ho")], {1})


def test_rows_that_do_not_fit_are_counted_not_cut():
    check_lengths([3, 8, 8], context=8)
    with pytest.raises(TrainingError, match=r"2 of 4 rows are longer .* 8 tokens \(the longest has 12, row 3\)"):
        check_lengths([3, 9, 12, 8], context=8)
