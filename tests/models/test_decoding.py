import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from fulcrum.chat.decoding import Row, cut_batches, decode
from support.tiny import ARCHITECTURES, shared_model

PROMPTS = [[10, 20, 30], [11, 21, 31, 41, 51, 61, 71], [12] * 20, [13, 23]]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    return AutoModelForCausalLM.from_pretrained(shared_model(request.param)).eval()


def write(model, rows, stop_tokens=frozenset(), **options):
    decode(lambda _, **inputs: model(**inputs).logits, model.config, rows, stop_tokens, **options)
    return [row.tokens for row in rows]


def greedy_by_hand(model, prompt, count):
    """No cache, no padding, no batch."""
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_rows_equal_a_loop_by_hand(model):
    rows = [Row(prompt, limit) for prompt, limit in zip(PROMPTS, [9, 17, 4, 1], strict=True)]
    written = write(model, rows)
    assert written == [greedy_by_hand(model, row.prompt, row.limit) for row in rows]
    assert {row.ended for row in rows} == {"length"}


def test_the_cache_outgrows_its_first_room(model):
    (tokens,) = write(model, [Row(PROMPTS[0], 100)])
    with torch.inference_mode():
        likeliest = model(input_ids=torch.tensor([PROMPTS[0] + tokens])).logits[0].argmax(-1)
    assert tokens == likeliest[len(PROMPTS[0]) - 1 : -1].tolist()


def test_rows_end_at_their_stop_token_and_the_others_go_on(model):
    free = [greedy_by_hand(model, prompt, 14) for prompt in PROMPTS]
    stop = frozenset({free[0][5], free[1][11]})
    rows = [Row(prompt, 14) for prompt in PROMPTS]
    for row, tokens, whole in zip(rows, write(model, rows, stop), free, strict=True):
        end = next((place + 1 for place, token in enumerate(whole) if token in stop), None)
        assert tokens == whole[:end]
        assert row.ended == ("stop" if end else "length")


def test_equal_prompts_are_read_once():
    model = AutoModelForCausalLM.from_pretrained(shared_model()).eval()
    sizes = []

    def forward(_, **inputs):
        sizes.append(tuple(inputs["input_ids"].shape))
        return model(**inputs).logits

    rows = [Row(prompt, 3, temperature=1.0, seed=seed) for seed in range(4) for prompt in PROMPTS[:2]]
    decode(forward, model.config, rows, frozenset())
    assert sizes == [(2, 7), (8, 1), (8, 1)]
    alone = Row(PROMPTS[1], 3, temperature=1.0, seed=3)
    write(model, [alone])
    assert rows[-1].tokens == alone.tokens


@pytest.mark.parametrize("rests", [[[1], [2, 3, 4], [5] * 9], [[6, 7], [7, 6], [8, 9]]], ids=["padded", "even"])
def test_rows_with_a_common_beginning_equal_a_loop_by_hand(model, rests):
    rows = [Row([*range(30, 50), *rest], 12) for rest in rests]
    assert write(model, rows) == [greedy_by_hand(model, row.prompt, row.limit) for row in rows]


def test_a_common_beginning_is_read_once_for_each_adapter():
    model = AutoModelForCausalLM.from_pretrained(shared_model()).eval()
    seen = []

    def forward(adapters, **inputs):
        seen.append((adapters, inputs["input_ids"].shape[-1]))
        return model(**inputs).logits

    beginning = list(range(30, 50))
    rows = [Row([*beginning, *rest], 2, adapter=adapter) for rest in ([1, 2], [3]) for adapter in (None, "a")]
    decode(forward, model.config, rows, frozenset())
    each = [None, "a", None, "a"]
    assert seen == [([None, "a"], 20), (each, 2), (each, 1)]


def test_one_prompt_and_one_that_it_begins_with_keep_a_token_of_their_own(model):
    short = list(range(30, 50))
    rows = [Row(short, 5), Row([*short, 9, 9], 5)]
    assert write(model, rows) == [greedy_by_hand(model, row.prompt, row.limit) for row in rows]


def test_a_window_over_the_cache_takes_no_gaps():
    torch.manual_seed(0)
    sizes = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = MistralConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, sliding_window=8)
    model = MistralForCausalLM(config).eval()
    rows = [Row([*range(30, 50), *rest], 12) for rest in ([1], [2] * 9)]
    assert write(model, rows) == [greedy_by_hand(model, row.prompt, row.limit) for row in rows]


def test_ended_rows_are_not_paid_for():
    model = AutoModelForCausalLM.from_pretrained(shared_model()).eval()
    sizes = []

    def forward(_, **inputs):
        sizes.append(len(inputs["input_ids"]))
        return model(**inputs).logits

    rows = [Row([index + 10, 20], 40 if index == 0 else 4) for index in range(16)]
    decode(forward, model.config, rows, frozenset())
    assert sizes == [16] * 4 + [1] * 36


def test_an_ended_row_never_leaves_a_table_of_positions():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=100, n_positions=24, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
    model = GPT2LMHeadModel(config).eval()
    rows = [Row(list(range(21)), 3), *(Row([index, 50], 22) for index in range(5))]
    assert write(model, rows) == [greedy_by_hand(model, row.prompt, row.limit) for row in rows]


def test_logprobs_are_those_of_the_undistorted_model(model):
    row = Row(PROMPTS[1], 6, temperature=0.3, top_p=0.5, seed=4)
    write(model, [row, Row(PROMPTS[0], 9)], logprobs=True)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([row.prompt + row.tokens])).logits[0, len(row.prompt) - 1 : -1]
    expected = logits.log_softmax(-1)[range(6), row.tokens]
    torch.testing.assert_close(torch.tensor(row.logprobs), expected, atol=1e-4, rtol=1e-4)


@given(st.lists(st.integers(1, 100)), st.integers(1, 8), st.integers(1, 300))
def test_batches_hold_every_row_once_and_stay_within_bounds(costs, rows, room):
    costs.sort()
    batches = cut_batches(costs, rows, room)
    assert [cost for batch in batches for cost in costs[batch]] == costs
    for batch in batches:
        size = len(costs[batch])
        assert size == 1 or (size <= rows and size * max(costs[batch]) <= room)
    if len(batches) > 1:
        rest = costs[batches[1].start :]
        assert [rest[batch] for batch in cut_batches(rest, rows, room)] == [costs[batch] for batch in batches[1:]]
