import dataclasses
import itertools
import json
import shutil
import threading

import pytest
import torch
from transformers import AutoModelForCausalLM

from fulcrum.chat import Failure, Message, Request, Sampling, Tool, ToolCall, assistant, complete, resolve, system, user
from fulcrum.chat.adapters import Adapters
from fulcrum.chat.huggingface import HuggingFaceModel
from fulcrum.errors import ModelError
from support.tiny import ARCHITECTURES, TEMPLATE, shared_adapter, shared_model, tiny_adapter, tiny_model, tiny_tokenizer

WORDS = ["how", "many", "parcels", "went", "to", "rome", "last", "week", "please", "tell", "me", "where", "it", "is"]


def prompt(index):
    question = user(" ".join(WORDS[: 1 + index * 5 % 13]))
    return (system("be brief"), question) if index % 2 else (question,)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    return resolve(f"hf:{shared_model(request.param)}")


@pytest.fixture(scope="module")
def llama():
    return resolve(f"hf:{shared_model()}")


@pytest.fixture(scope="module")
def adapted():
    model = resolve(f"hf:{shared_model()}")
    model.load_adapter("one", shared_adapter(seed=1))
    model.load_adapter("two.b", shared_adapter(seed=2))
    return model


def mixed_requests(adapters=(None,)):
    samplings = [
        Sampling(max_tokens=8),
        Sampling(temperature=1.0, max_tokens=12, seed=3),
        Sampling(temperature=0.7, top_p=0.8, max_tokens=5, seed=4),
    ]
    return [
        Request(prompt(index), samplings[index % 3], sample=index // 6, adapter=adapters[index // 2 % len(adapters)])
        for index in range(12)
    ]


def texts(model, requests):
    return [completion.text for completion in complete(model, requests)]


# What a text depends on


def test_batches_of_eight_and_of_one_draw_the_same(model):
    requests = mixed_requests()
    alone = [text for request in requests for text in texts(model, [request])]
    assert texts(model, requests) == alone
    assert texts(model, requests[::-1]) == alone[::-1]
    assert len(set(alone)) > 6


def test_batches_of_mixed_adapters_draw_what_each_adapter_draws_alone(adapted):
    requests = mixed_requests([None, "one", "two.b"])
    together = texts(adapted, requests)
    assert together == [text for request in requests for text in texts(adapted, [request])]
    for name, folder in [("one", shared_adapter(seed=1)), ("two.b", shared_adapter(seed=2)), (None, None)]:
        option = f"?adapter={folder}" if folder else ""
        single = resolve(f"hf:{shared_model()}{option}")
        chosen = [index for index, request in enumerate(requests) if request.adapter == name]
        plain = [dataclasses.replace(requests[index], adapter=None) for index in chosen]
        assert texts(single, plain) == [together[index] for index in chosen]
    assert len(set(together)) > 6


@pytest.mark.parametrize("threads", [2, 3])
def test_a_small_model_writes_on_every_core_and_draws_the_same(threads):
    requests = {name: mixed_requests([name]) * 12 for name in ("one", None)}  # 144 rows
    drawn = {}
    before = torch.get_num_threads()
    for count in (1, threads):
        torch.set_num_threads(count)
        try:
            model = resolve(f"hf:{shared_model()}")
            model.load_adapter("one", shared_adapter(seed=1))
            wrote = threads_that_wrote(model)
            drawn[count] = {name: texts(model, own) for name, own in requests.items()}
            assert torch.get_num_threads() == count, "the caller's threads are given back"
        finally:
            torch.set_num_threads(before)
        assert (len(wrote) > 1) == (count > 1)
    assert drawn[1] == drawn[threads] and drawn[1]["one"] != drawn[1][None]


def threads_that_wrote(model):
    """Return a set that will hold every thread that runs the model."""
    seen, forward = set(), model._adapters.forward

    def watched(*args, **inputs):
        seen.add(threading.get_ident())
        return forward(*args, **inputs)

    model._adapters.forward = watched
    return seen


@pytest.mark.parametrize(
    "change",
    [{"sample": 1}, {"sampling": Sampling(temperature=1.0, seed=1)}, {"messages": (user("how many"),)}],
)
def test_another_seed_sample_or_prompt_draws_another_text(llama, change):
    request = Request((user("how much"),), Sampling(temperature=1.0, max_tokens=20))
    assert len(set(texts(llama, [request, request, dataclasses.replace(request, **change)]))) == 2


def test_a_lower_token_limit_gives_the_beginning_of_the_same_text(llama):
    long, short = (
        complete(llama, [Request(prompt(3), Sampling(temperature=1.0, max_tokens=limit, seed=2))])[0]
        for limit in (20, 6)
    )
    assert long.text.startswith(short.text[:-1])
    assert short.usage.completion_tokens == 6


# What comes back


def test_every_request_is_answered_once_in_batches_of_similar_length():
    model = HuggingFaceModel("small batches", str(shared_model()), batch=5)
    requests = [Request(prompt(index), Sampling(max_tokens=2)) for index in range(12)]
    groups = list(model.generate(iter(requests)))
    assert [len(group) for group in groups] == [5, 5, 2]
    order = [index for group in groups for index, _ in group]
    assert sorted(order) == list(range(12))
    lengths = [completion.usage.prompt_tokens for group in groups for _, completion in group]
    assert lengths == sorted(lengths)


def test_adapters_share_a_batch_only_where_each_has_few_requests():
    model = HuggingFaceModel("few", str(shared_model()), batch=4)
    model.load_adapter("one", shared_adapter(seed=1))
    model.load_adapter("two", shared_adapter(seed=2))
    names = ["one"] * 5 + ["two"] * 3 + [None] * 1
    requests = [Request(prompt(index), Sampling(max_tokens=2), adapter=name) for index, name in enumerate(names)]
    groups = [sorted(index for index, _ in group) for group in model.generate(requests)]
    together = [{names[index] for index in group} for group in groups]
    assert sorted(map(len, groups)) == [2, 3, 4] and {index for group in groups for index in group} == set(range(9))
    assert together == [{"one"}, {"two"}, {"one", None}]


def test_usage_counts_real_tokens_and_time_is_shared(llama):
    tokenizer = tiny_tokenizer()
    requests = [Request(prompt(index), Sampling(max_tokens=3)) for index in range(4)]
    completions = complete(llama, requests)
    for request, completion in zip(requests, completions, strict=True):
        messages = [message.to_json() for message in request.messages]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False)["input_ids"]
        assert completion.usage.prompt_tokens == len(ids)
        assert 1 <= completion.usage.completion_tokens <= 3
    assert len({completion.seconds for completion in completions}) == 1
    assert completions[0].seconds > 0


def test_a_cut_answer_keeps_its_text_and_is_a_failure(llama):
    completion = complete(llama, [Request(prompt(0), Sampling(max_tokens=4))])[0]
    assert completion.failure == Failure("truncated", "cut after 4 tokens: max_tokens is 4")
    assert completion.finish_reason == "length"
    assert completion.text


def test_a_full_context_cuts_the_answer_and_says_so(tmp_path):
    model = resolve(f"hf:{tiny_model(tmp_path, context=64)}")
    tokens = complete(model, [Request((user("a"),))])[0].usage.prompt_tokens
    long = user("a" * (60 - tokens))
    completion = complete(model, [Request((long,), Sampling(max_tokens=50))])[0]
    assert completion.usage.total <= 64
    assert completion.failure is None or "the context of 64 tokens is full" in completion.failure.detail


def test_a_prompt_longer_than_the_context_is_refused_and_the_others_are_answered(llama):
    completions = complete(llama, [Request((user("z" * 300),)), Request(prompt(0), Sampling(max_tokens=2))])
    assert completions[0].failure is not None
    assert completions[0].failure.kind == "too_long"
    assert completions[0].failure.detail.endswith("tokens, the context holds 256")
    assert completions[1].text


def test_stop_strings_cut_the_text_where_they_begin(llama):
    request = Request(prompt(2), Sampling(temperature=1.0, max_tokens=30, seed=5))
    free = complete(llama, [request])[0]
    stop = free.text[7:10]
    end = free.text.index(stop)
    stopped, other = complete(
        llama, [dataclasses.replace(request, sampling=dataclasses.replace(request.sampling, stop=(stop, "∅"))), request]
    )
    assert (stopped.text, stopped.finish_reason, stopped.failure) == (free.text[:end], "stop", None)
    assert stopped.usage.completion_tokens < free.usage.completion_tokens
    assert other.text == free.text


def forced(tmp_path, text, template=TEMPLATE):
    """A model that writes `text` and then its stop token, whatever it is asked: its last layer knows the position."""
    folder = tiny_model(tmp_path / "forced")
    tiny_tokenizer(folder, template)
    model = HuggingFaceModel("forced", str(folder))
    script = [*tiny_tokenizer()(text, add_special_tokens=False)["input_ids"], tiny_tokenizer().eos_token_id]
    base = model._adapters.base
    written = itertools.count()

    def follow(module, inputs, output):
        output.logits[:, -1] = -50.0
        output.logits[:, -1, script[min(next(written), len(script) - 1)]] = 50.0

    base.register_forward_hook(follow)
    return model


def answer(model, **options):
    return complete(model, [Request((user("go"),), Sampling(max_tokens=200), **options)])[0]


def test_the_stop_token_ends_the_answer_and_is_no_text(tmp_path):
    completion = answer(forced(tmp_path, "rome"))
    assert (completion.text, completion.finish_reason, completion.failure) == ("rome", "stop", None)
    assert completion.usage.completion_tokens == len(tiny_tokenizer()("rome")["input_ids"]) + 1


@pytest.mark.parametrize(
    ("written", "detail"), [("", "without a word"), (" \n", "without a word"), ("<think>x</think>", "thinking")]
)
def test_no_answer_is_an_empty_failure(tmp_path, written, detail):
    completion = answer(forced(tmp_path, written))
    assert completion.failure is not None
    assert completion.failure.kind == "empty"
    assert detail in completion.failure.detail


def test_thinking_is_kept_apart(tmp_path):
    completion = answer(forced(tmp_path, "<think>hm, so</think>rome"))
    assert (completion.reasoning, completion.text) == ("hm, so", "rome")


def test_thinking_that_the_template_opens_is_kept_apart(tmp_path):
    template = "{% for m in messages %}{{ m.content }}{% endfor %}<|assistant|><think>\n"
    completion = answer(forced(tmp_path, "hm, so</think>rome", template))
    assert (completion.reasoning, completion.text) == ("hm, so", "rome")


FIND = Tool("find", "finds a parcel", {"type": "object", "properties": {"city": {"type": "string"}}})


def test_tool_calls_are_read(tmp_path):
    model = forced(tmp_path, 'I look. <tool_call>{"name": "find", "arguments": {"city": "rome"}}</tool_call>')
    completion = answer(model, tools=(FIND,))
    assert completion.tool_calls == (ToolCall("call_1_0", "find", '{"city": "rome"}'),)
    assert (completion.text, completion.finish_reason, completion.failure) == ("I look.", "tool_calls", None)


def test_without_tools_on_offer_nothing_is_a_tool_call(tmp_path):
    written = '<tool_call>{"name": "find"}</tool_call>'
    assert answer(forced(tmp_path, written)).text == written


# What the template is given


def render(model, request):
    return model._render(request)


def test_tools_and_tool_calls_reach_the_template(llama):
    called = Message("assistant", "", (ToolCall("1", "find", '{"city": "rome"}'),))
    text = render(llama, Request((user("go"), called, Message("tool", "lost", tool_call_id="1")), tools=(FIND,)))
    offered = json.loads(text.partition("tools: ")[2].partition("<|end|>")[0])
    assert offered == [FIND.to_json()]
    assert '"arguments": {"city": "rome"}' in text
    assert "<|tool|>lost<|end|>" in text


@pytest.mark.parametrize(("thinking", "end"), [(False, "<|assistant|><think></think>"), (True, "<|assistant|>")])
def test_thinking_is_switched_by_the_template(llama, thinking, end):
    assert render(llama, Request((user("go"),), Sampling(thinking=thinking))).endswith(end)


def test_a_prompt_that_the_template_refuses_is_a_failure(tmp_path):
    folder = tiny_model(tmp_path)
    tiny_tokenizer(folder, "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}x")
    model = resolve(f"hf:{folder}")
    failed, fine = complete(model, [Request((system("s"),)), Request((user("u"),), Sampling(max_tokens=2))])
    assert failed.failure == Failure("invalid", "the chat template refuses the prompt: no system")
    assert fine.text
    with pytest.raises(ModelError, match="no system"):
        model.logprob([Request((system("s"),))], ["x"])


def test_half_an_emoji_is_a_failure_and_the_others_are_answered(llama):
    half = Request((user("hi \ud83d"),))
    failed, fine = complete(llama, [half, Request(prompt(0), Sampling(max_tokens=2))])
    assert failed.failure is not None and failed.failure.kind == "invalid" and "UTF-8" in failed.failure.detail
    assert fine.text
    with pytest.raises(ModelError, match="UTF-8"):
        llama.logprob([half], ["x"])


# Log-probabilities


def test_one_logprob_comes_with_each_token_where_asked_for(llama):
    sampling = Sampling(temperature=1.0, max_tokens=6, logprobs=True)
    asked, other = complete(llama, [Request(prompt(1), sampling), Request(prompt(2), Sampling(max_tokens=3))])
    assert asked.logprobs is not None
    assert len(asked.logprobs) == asked.usage.completion_tokens
    assert other.logprobs is None


def test_logprob_scores_under_the_adapter_that_the_request_names(adapted):
    requests = [Request(prompt(4), adapter=name) for name in (None, "one", "two.b")]
    scores = adapted.logprob(requests, ["rome"] * 3)
    for request, score in zip(requests, scores, strict=True):
        torch.testing.assert_close(adapted.logprob([request], ["rome"])[0], score, atol=1e-4, rtol=1e-4)
    assert len({round(sum(score), 2) for score in scores}) == 3


def test_logprob_refuses_an_adapter_that_is_not_loaded(llama):
    with pytest.raises(ModelError, match="nobody"):
        llama.logprob([Request(prompt(4), adapter="nobody")], ["rome"])


def test_logprob_equals_a_computation_by_hand(llama):
    request = Request((user("how many"),))
    (score,) = llama.logprob([request], ["rome"])
    tokenizer, base = tiny_tokenizer(), llama._adapters.base
    ids = tokenizer(render(llama, request) + "rome<|end|>", add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logprobs = base(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1)
    torch.testing.assert_close(torch.tensor(score), logprobs[-len(score) :], atol=1e-4, rtol=1e-4)


def test_logprob_keeps_the_order_of_what_it_is_given(llama):
    requests, answers = [Request(prompt(index)) for index in range(6)], ["a", "rome week", "", "b" * 9, "cc", "d"]
    whole = llama.logprob(requests, answers)
    for request, text, score in zip(requests, answers, whole, strict=True):
        torch.testing.assert_close(llama.logprob([request], [text])[0], score, atol=1e-4, rtol=1e-4)


def test_logprob_refuses_what_the_context_does_not_hold(llama):
    with pytest.raises(ModelError, match="the context holds 256"):
        llama.logprob([Request((user("a"),))], ["z" * 300])


# Identity


def test_identity_is_of_the_content_and_not_of_the_path(llama, tmp_path):
    moved = shutil.copytree(shared_model(), tmp_path / "moved")
    (moved / "README.md").write_text("a card")
    request = Request((user("x"),))
    assert resolve(f"hf:{moved}").identity(request) == llama.identity(request)
    assert llama.identity(request)["dtype"] == "float32"
    assert resolve(f"hf:{moved}?dtype=bfloat16").identity(request) != llama.identity(request)


def test_identity_changes_with_weights_template_and_settings(llama, tmp_path):
    request = Request((user("x"),))
    models = [llama]
    models.append(resolve(f"hf:{tiny_model(tmp_path / 'weights', seed=1)}"))
    template = shutil.copytree(shared_model(), tmp_path / "template")
    tiny_tokenizer(template, TEMPLATE + " ")
    models.append(resolve(f"hf:{template}"))
    config = shutil.copytree(shared_model(), tmp_path / "config")
    settings = json.loads((config / "config.json").read_text())
    (config / "config.json").write_text(json.dumps(settings | {"rms_norm_eps": 1e-3}))
    models.append(resolve(f"hf:{config}"))
    assert len({model.identity(request)["model"] for model in models}) == 4


def test_identity_names_the_adapter_by_its_content(adapted, tmp_path):
    base, one, two = (adapted.identity(Request((), adapter=name)) for name in (None, "one", "two.b"))
    assert "adapter" not in base
    assert one["adapter"] != two["adapter"]
    copy = shutil.copytree(shared_adapter(seed=1), tmp_path / "copy")
    settings = json.loads((copy / "adapter_config.json").read_text())
    settings |= {"base_model_name_or_path": "elsewhere", "target_modules": settings["target_modules"][::-1]}
    (copy / "adapter_config.json").write_text(json.dumps(settings))
    assert resolve(f"hf:{shared_model()}?adapter={copy}").identity(Request(())) == one
    (copy / "adapter_config.json").write_text(json.dumps(settings | {"lora_alpha": 9}))
    assert resolve(f"hf:{shared_model()}?adapter={copy}").identity(Request(())) != one


# Adapters come and go


def test_an_unloaded_adapter_leaves_the_others_and_the_base_as_they_were(adapted):
    requests = {name: Request(prompt(3), Sampling(max_tokens=9), adapter=name) for name in (None, "one", "two.b")}
    before = {name: texts(adapted, [request]) for name, request in requests.items()}
    model = resolve(f"hf:{shared_model()}")
    model.load_adapter("one", shared_adapter(seed=1))
    model.load_adapter("two.b", shared_adapter(seed=2))
    model.unload_adapter("one")
    assert texts(model, [requests["two.b"]]) == before["two.b"]
    model.load_adapter("one", shared_adapter(seed=2))
    assert texts(model, [dataclasses.replace(requests["two.b"], adapter="one")]) == before["two.b"]
    model.unload_adapter("one")
    model.unload_adapter("two.b")
    assert texts(model, [requests[None]]) == before[None]
    model.load_adapter("one", shared_adapter(seed=1))
    assert texts(model, [requests["one"]]) == before["one"]


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings:UserWarning")
@pytest.mark.parametrize("target", ["all-linear", ["q_proj", "embed_tokens"], ["q_proj", "lm_head"]])
def test_a_merged_adapter_says_what_it_says_beside_the_base_and_leaves_no_trace(tmp_path, target):
    """An adapter of the embedding cannot be merged, nor one of a head that is the embedding."""
    source = tied_model(tmp_path / "tied") if "lm_head" in target else shared_model()
    folder = tiny_adapter(tmp_path / "adapter", source, target_modules=target)
    said = {}
    for merge in (True, False):
        adapters = Adapters(AutoModelForCausalLM.from_pretrained(source), merge=merge)
        own = {name: weight.clone() for name, weight in adapters.base.state_dict().items()}
        adapters.load("one", folder)
        ids = torch.tensor([[7, 8, 9, 10]])
        said[merge] = [adapters.forward([name], input_ids=ids) for name in ("one", None, "one", None)]
        adapters.forward(["one"], input_ids=ids)
        adapters.unload("one")
        after = adapters.base.state_dict()
        assert all(torch.equal(after[name], weight) for name, weight in own.items())
    for merged, apart in zip(said[True], said[False], strict=True):
        torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-5)
    assert torch.equal(said[True][1], said[True][3]) and not torch.equal(said[True][0], said[True][1])


def tied_model(path):
    """Save a model whose head is its embedding."""
    model = AutoModelForCausalLM.from_pretrained(shared_model())
    model.lm_head.weight = model.get_input_embeddings().weight
    model.config.tie_word_embeddings = True
    model.save_pretrained(path)
    loaded = AutoModelForCausalLM.from_pretrained(path)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    return path


def test_an_unknown_adapter_is_named(adapted):
    request = Request((user("x"),), adapter="onne")
    for use in (adapted.identity, lambda request: complete(adapted, [request])):
        with pytest.raises(ModelError, match="no adapter 'onne'; did you mean 'one'"):
            use(request)


def test_adapters_that_cannot_work_are_refused(adapted, tmp_path):
    with pytest.raises(ModelError, match="loaded already"):
        adapted.load_adapter("one", shared_adapter(seed=1))
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        adapted.load_adapter("new", tmp_path)
    with pytest.raises(ModelError, match="DoRA"):
        adapted.load_adapter("new", tiny_adapter(tmp_path / "dora", shared_model(), use_dora=True))
    foreign = shared_adapter("gpt_neox")
    with pytest.raises(ModelError, match="does not fit"):
        adapted.load_adapter("new", foreign)
    requests = mixed_requests([None, "one", "two.b"])
    assert len(texts(adapted, requests)) == len(requests)


# Going on


def test_a_conversation_can_go_on(llama):
    first = complete(llama, [Request((user("how many"),), Sampling(max_tokens=5))])[0]
    request = Request((user("how many"), first.message(), user("why")), Sampling(max_tokens=5))
    assert f"<|assistant|>{first.text}<|end|><|user|>why<|end|>" in render(llama, request)
    assert assistant(first.text) == first.message()
