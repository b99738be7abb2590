import multiprocessing
import os
import signal
import time
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fulcrum.atomic import read_json
from fulcrum.errors import ModelError, TrainingError
from fulcrum.lab import attention, pretraining, recipes
from fulcrum.lab.optimizer import orthogonal
from fulcrum.lab.pretraining import batch_of, build_model, pretrain, spoken_exact, weighted_loss
from fulcrum.lab.tokenizer import load_tokenizer

STEPS = 6


@pytest.fixture
def tiny(monkeypatch):
    """Make `small` so small that it trains in seconds."""
    monkeypatch.setattr(pretraining, "ROW", 64)
    monkeypatch.setattr(pretraining, "ROWS", 2)
    small = replace(recipes.RECIPES["small"], width=32, layers=1, heads=2, steps=STEPS)
    monkeypatch.setattr(recipes, "RECIPES", {**recipes.RECIPES, "small": small})
    torch.set_num_threads(1)
    return small


def weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def train_until_killed(folder, step):
    """Train in a process that kills itself, as `kill -9` would, once `step` steps are saved."""
    save = pretraining._save

    def save_and_die(path, model, optimizers, progress):
        save(path, model, optimizers, progress)
        if progress.step >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    pretraining._save = save_and_die
    pretrain("small", folder, save_every=0.0)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_weights_of_one_left_alone(tiny, tmp_path):
    whole = weights(pretrain("small", tmp_path / "whole"))
    process = multiprocessing.get_context("fork").Process(target=train_until_killed, args=(tmp_path / "killed", 3))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    resumed = weights(pretrain("small", tmp_path / "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_a_training_that_goes_on_reads_no_drill_twice(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "DRILL_STEPS", 2)
    first, *others = map(pretraining.drill_name, tiny.drills)
    begun = pretrain("small", tmp_path / "begun", steps=3)
    assert read_json(begun / "training.json")["drills"] == [first], "the second was not read to its end"
    read: list[list[str]] = []
    text = pretraining.batch_of

    def noting(made_by, tokenizer, step):
        read.append(pretraining.drill_name(made_by.mixture))
        return text(made_by, tokenizer, step)

    monkeypatch.setattr(pretraining, "batch_of", noting)
    whole = pretrain("small", tmp_path / "whole", start=str(begun), steps=2 * len(others) + 2)
    wanted = [drill for drill in (*others, pretraining.drill_name(tiny.mixture)) for _ in range(2)]
    assert read[1:] == wanted  # the first is the held-out text
    assert read_json(whole / "training.json")["drills"] == [first, *others]


@pytest.mark.slow
def test_the_checkpoint_is_bfloat16_and_loads_with_the_auto_classes(tiny, tmp_path):
    folder = pretrain("small", tmp_path, steps=2)
    began = time.monotonic()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype="auto"), AutoTokenizer.from_pretrained(folder)
    assert time.monotonic() - began < 5
    assert model.dtype == torch.bfloat16
    assert tokenizer.chat_template == load_tokenizer().chat_template
    assert (folder / "model.safetensors").is_file()


def test_other_settings_in_the_same_folder_are_refused(tiny, tmp_path):
    pretrain("small", tmp_path, steps=1)
    with pytest.raises(TrainingError, match="steps: 1 before, 2 now"):
        pretrain("small", tmp_path, steps=2)
    with pytest.raises(ModelError, match="did you mean lab:small"):
        pretrain("smal", tmp_path)


def test_the_text_of_a_step_depends_on_recipe_seed_and_step_only(tiny):
    tokenizer = load_tokenizer()
    first, again, later = (batch_of(tiny, tokenizer, step) for step in (3, 3, 4))
    other = batch_of(replace(tiny, seed=9), tokenizer, 3)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], later[0]) and not torch.equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (2, 64)


def test_the_loss_is_the_weighted_mean_over_tokens(tiny):
    tokenizer = load_tokenizer()
    model = build_model(tiny, tokenizer)
    tokens, weight = batch_of(tiny, tokenizer, 0)
    loss, _ = weighted_loss(model, tokens, weight)
    logprobs = model(input_ids=tokens).logits[:, :-1].log_softmax(-1).detach()
    total = norm = 0.0
    for row in range(tokens.shape[0]):
        for place in range(1, tokens.shape[1]):
            total -= float(weight[row, place] * logprobs[row, place - 1, tokens[row, place]])
            norm += float(weight[row, place])
    assert loss.item() == pytest.approx(total / norm, rel=1e-4)


def test_a_turn_is_exact_only_if_every_token_of_it_hits():
    weight = torch.tensor([[0.1, 1.0, 1.0, 0.1, 1.0, 0.1]])
    assert spoken_exact(torch.tensor([[True, True, False, True, False]]), weight) == 1.0
    assert spoken_exact(torch.tensor([[False, True, False, True, False]]), weight) == 0.5
    assert spoken_exact(torch.tensor([[True, False, False, False, False]]), weight) == 0.0


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 32, 8), (2, 8, 32)])
def test_orthogonal_keeps_directions_and_levels_singular_values(shape):
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices, iterations=8))
    assert values.min() > 0.5 and values.max() < 1.5
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.cosine_similarity(orthogonal(matrices).flatten(1), (u @ v).flatten(1)).min() > 0.95


@pytest.mark.parametrize("tokens", [1, attention.BLOCK, 2 * attention.BLOCK + 7])
def test_attention_by_blocks_is_causal_attention(tokens):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, tokens, 8, generator=generator, requires_grad=True) for _ in range(3))
    found, _ = attention.causal_attention(None, query, key, value, None, scaling=8**-0.5)
    wanted = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn(wanted.shape, generator=generator)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), (query, key, value)),
        torch.autograd.grad((wanted * weights).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_a_model_reads_the_same_by_blocks(architecture):
    model = build_model(replace(recipes.recipe("other"), architecture=architecture), load_tokenizer()).eval()
    tokens = torch.randint(0, 700, (2, 150), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(input_ids=tokens).logits
        model.set_attn_implementation(attention.NAME)
        assert model.config._attn_implementation == attention.NAME
        torch.testing.assert_close(model(input_ids=tokens).logits, wanted, rtol=1e-3, atol=1e-4)
