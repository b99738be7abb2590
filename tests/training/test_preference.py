import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from fulcrum.errors import TrainingError
from fulcrum.training import preference
from fulcrum.training.preference import PreferenceTrainer, mean_nll, prefer
from fulcrum.training.settings import PreferenceSettings
from support.tiny import shared_adapter, shared_model, tiny_model
from support.training import Interrupt, assert_same_weights, keep_trainers, preference_rows, weights

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks by an old name

SETTINGS = PreferenceSettings(
    learning_rate=1e-2, batch_size=8, epochs=2, lora_rank=4, lora_alpha=8, checkpoint_every=2, beta=0.2
)


def changed(**values):
    return SETTINGS.model_copy(update=values)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(shared_model())


def encoded(tokenizer):
    """Return the tests' rows as tokens, put together by hand."""
    return [
        {
            "prompt_ids": tokenizer(f"<|user|>{row.prompt[0].content}<|end|><|assistant|><think></think>")["input_ids"],
            "chosen_ids": tokenizer(row.chosen + "<|end|>")["input_ids"],
            "rejected_ids": tokenizer(row.rejected + "<|end|>")["input_ids"],
        }
        for row in preference_rows()
    ]


def with_adapter(adapter):
    base = AutoModelForCausalLM.from_pretrained(shared_model())
    return base if adapter is None else PeftModel.from_pretrained(base, adapter, is_trainable=True)


def log_probs(model, prompt, response):
    """Return the log-probability of each response token, one row at a time and without any padding."""
    with torch.no_grad():
        scores = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
    return torch.stack([scores[len(prompt) - 1 + place, token] for place, token in enumerate(response)])


def made(kind, tokenizer, folder, loss_type, **options):
    """Return a trainer of TRL or of ours, and a batch of rows whose winners differ much in length."""
    trainer = kind(
        model=with_adapter(shared_adapter()),
        args=DPOConfig(str(folder), bf16=False, beta=0.2, report_to="none", loss_type=loss_type, max_length=None,
                       use_cpu=True, dataloader_pin_memory=False, activation_checkpointing=False,
                       precompute_ref_log_probs=True),
        train_dataset=Dataset.from_list(encoded(tokenizer)),
        processing_class=tokenizer,
        **options,
    )  # fmt: skip
    return trainer, trainer.data_collator([trainer.train_dataset[index] for index in range(8)])


class Tokenised(DPOTrainer):
    """TRL's own trainer, but for the rows, which are tokens already."""

    def _prepare_dataset(self, dataset, *_):
        return dataset


@pytest.fixture
def losses(tokenizer, tmp_path):
    """Return a function that gives the loss of one batch under TRL or under ours, the reference being the base."""

    def loss(nll_weight=None, loss_type="sigmoid"):
        base = AutoModelForCausalLM.from_pretrained(shared_model())
        if nll_weight is None:
            trainer, batch = made(Tokenised, tokenizer, tmp_path, loss_type, ref_model=base)
        else:
            options = {"nll_weight": nll_weight, "reference_adapter": "base"}
            trainer, batch = made(PreferenceTrainer, tokenizer, tmp_path, "sigmoid", **options)
        return trainer.compute_loss(trainer.model, batch).item()

    return loss


@pytest.mark.slow
def test_without_likelihood_our_loss_is_trls(losses):
    assert losses(nll_weight=0.0) == pytest.approx(losses(), rel=1e-5)
    assert abs(losses() - 0.6931) > 1e-3, "the policy stands at the reference, where any loss is log 2"


@pytest.mark.slow
def test_the_likelihood_is_a_mean_over_rows_and_not_trls_over_tokens(losses, tokenizer):
    policy = with_adapter(shared_adapter())
    rows = [log_probs(policy, row["prompt_ids"], row["chosen_ids"]) for row in encoded(tokenizer)[:8]]
    by_row = -torch.stack([row.mean() for row in rows]).mean().item()
    by_token = -torch.cat(rows).mean().item()
    ours, trls = losses(nll_weight=1.0), losses(loss_type=["sigmoid", "sft"])
    assert ours - losses() == pytest.approx(by_row, rel=1e-4)
    assert trls - losses() == pytest.approx(by_token, rel=1e-4)
    assert abs(ours - trls) > 0.01
    assert losses(nll_weight=3.0) - losses() == pytest.approx(3 * by_row, rel=1e-4)


@given(st.lists(st.lists(st.floats(-20, 0), min_size=1, max_size=6), min_size=1, max_size=6))
def test_mean_nll_is_the_mean_of_means_whatever_the_padding(rows):
    width = max(map(len, rows)) + 2
    values = torch.tensor([[*row, *[0.0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    expected = -sum(sum(row) / len(row) for row in rows) / len(rows)
    assert mean_nll(values, mask).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 4, 5], ids=["ones", "fours", "ragged"])
def test_micro_batches_do_not_change_the_result_even_where_the_last_is_smaller(tmp_path, rows):
    for micro, name in ((10, "whole"), (rows, "cut")):
        settings = changed(micro_batch_size=micro, batch_size=20, learning_rate=1e-3)
        prefer(shared_model(), preference_rows(23), tmp_path / name, settings)
    assert_same_weights(tmp_path / "whole", tmp_path / "cut", tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "reference", "expected"),
    [
        (None, "start", None),
        (1, "start", 1),
        (1, "base", None),
        (1, 2, 2),
        (None, 2, 2),
    ],
)
def test_the_reference_is_the_one_that_was_named(tmp_path, tokenizer, monkeypatch, start, reference, expected):
    def adapter(seed):
        return None if seed is None else shared_adapter(seed=seed)

    trainers = keep_trainers(monkeypatch, preference)
    result = prefer(
        shared_model(),
        preference_rows(),
        tmp_path / "out",
        changed(learning_rate=1e-9, epochs=1),
        adapter=adapter(start),
        reference=reference if isinstance(reference, str) else adapter(reference),
    )
    model = with_adapter(adapter(expected))
    for row, kept in zip(encoded(tokenizer), trainers[0].train_dataset, strict=True):
        for name in ("chosen", "rejected"):
            true = log_probs(model, row["prompt_ids"], row[f"{name}_ids"]).sum().item()
            assert kept[f"ref_{name}_logps"] == pytest.approx(true, rel=1e-4)
    assert {path.name for path in result.path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "result.json",
    }
    assert not [name for name in weights(result.path) if ".ref." in name]


@pytest.mark.slow
def test_full_tuning_takes_another_model_as_reference(tmp_path):
    settings = changed(tuning="full", learning_rate=1e-9, epochs=1)
    other = tiny_model(tmp_path / "other", seed=7)
    near = prefer(shared_model(), preference_rows(), tmp_path / "near", settings)
    far = prefer(shared_model(), preference_rows(), tmp_path / "far", settings, reference=other)
    assert near.curves["preference/margin"] == pytest.approx([0, 0, 0], abs=1e-4)
    assert all(abs(margin) > 0.01 for margin in far.curves["preference/margin"])
    assert AutoModelForCausalLM.from_pretrained(far.path)


def test_training_teaches_the_preference_and_counts_its_tokens(tmp_path, tokenizer):
    result = prefer(shared_model(), preference_rows(), tmp_path / "out", SETTINGS)
    assert result.curves["preference/accuracy"][-1] == 1.0
    assert result.curves["preference/margin"][-1] > 1
    assert result.curves["nll"][-1] < result.curves["nll"][0]
    assert result.steps == 5
    rows = encoded(tokenizer)
    answers = 2 * sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
    assert result.loss_tokens == answers
    assert result.seen_tokens == answers + 4 * sum(len(row["prompt_ids"]) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_stopped_training_ends_as_if_it_had_not_been(tmp_path, tuning):
    settings = changed(tuning=tuning)
    whole = prefer(shared_model(), preference_rows(), tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        prefer(shared_model(), preference_rows(), tmp_path / "out", settings, on_step=Interrupt(4))
    result = prefer(shared_model(), preference_rows(), tmp_path / "out", settings)
    assert_same_weights(result.path, whole.path)
    assert result.curves == whole.curves
    assert prefer(shared_model(), preference_rows(), tmp_path / "out", settings) == result


@pytest.mark.slow
def test_another_reference_is_another_training(tmp_path):
    done = prefer(shared_model(), preference_rows(), tmp_path / "out", changed(epochs=1))
    with pytest.raises(TrainingError, match=r"changed: reference \('start' -> '\w{16}'\)\."):
        prefer(shared_model(), preference_rows(), done.path, changed(epochs=1), reference=shared_adapter())
    with pytest.raises(TrainingError, match=r"changed: settings.beta \(0.2 -> 0.3\)"):
        prefer(shared_model(), preference_rows(), done.path, changed(epochs=1, beta=0.3))
