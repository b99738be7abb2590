import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments

from fulcrum.chat.message import user
from fulcrum.errors import ModelError, TrainingError
from fulcrum.hashing import file_hash
from fulcrum.training import sft
from fulcrum.training.job import TrainingResult
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.sft import finetune
from support.tiny import shared_adapter, shared_model
from support.training import Interrupt, assert_same_weights, chat_rows, keep_trainers, weights

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks by an old name

SETTINGS = TrainingSettings(learning_rate=1e-2, batch_size=8, epochs=2, lora_rank=4, lora_alpha=8, checkpoint_every=2)


def changed(**values):
    return SETTINGS.model_copy(update=values)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return finetune(shared_model(), chat_rows(), tmp_path_factory.mktemp("sft") / "adapter", SETTINGS)


@pytest.mark.slow
def test_the_loss_is_the_mean_over_all_response_tokens_of_the_step(trained):
    model = AutoModelForCausalLM.from_pretrained(shared_model())
    tokenizer = AutoTokenizer.from_pretrained(shared_model())
    steps = trained.steps // SETTINGS.epochs
    losses, tokens = [], 0
    for row in chat_rows():
        prompt = tokenizer(f"<|user|>{row.prompt[0].content}<|end|><|assistant|><think></think>")["input_ids"]
        response = tokenizer(row.response + "<|end|>")["input_ids"]
        log_probs = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        losses += [-log_probs[len(prompt) - 1 + i, token] for i, token in enumerate(response)]
        tokens += len(prompt) + len(response)
    # With so small a rate the model stands still, so that the steps of an epoch together hold the mean over all rows.
    settings = changed(learning_rate=1e-9, batch_size=24, epochs=1, tuning="full", micro_batch_size=5)
    still = finetune(shared_model(), chat_rows(), trained.path.with_name("still"), settings)
    assert still.curves["loss"] == [pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)]
    assert (still.loss_tokens, still.seen_tokens) == (len(losses), tokens)
    assert (trained.loss_tokens, trained.seen_tokens) == (2 * len(losses), 2 * tokens)
    assert steps == 3


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_eight_rows_at_once_train_as_one_row_eight_times(tmp_path, tuning):
    for rows in (8, 1, 3):  # of 8 rows no three fit evenly: twos are taken
        settings = changed(tuning=tuning, micro_batch_size=rows, learning_rate=1e-3)
        finetune(shared_model(), chat_rows(20), tmp_path / str(rows), settings)
    assert_same_weights(tmp_path / "8", tmp_path / "1", tolerance=1e-5)
    assert_same_weights(tmp_path / "8", tmp_path / "3", tolerance=1e-5)


def test_training_lowers_the_loss_and_says_so(trained):
    assert trained.curves["loss"][-1] < trained.curves["loss"][0] - 1
    assert len(trained.curves["loss"]) == trained.steps == 6
    assert (trained.kind, trained.rows, trained.dtype, trained.seed) == ("sft", 24, "float32", 0)
    on_disk = TrainingResult.from_json(trained.path, json.loads((trained.path / "result.json").read_text()))
    assert on_disk == trained


@pytest.mark.slow
def test_the_same_training_twice_gives_the_same_bytes(trained, tmp_path):
    finetune(shared_model(), chat_rows(), tmp_path / "again", SETTINGS)
    finetune(shared_model(), chat_rows(), tmp_path / "other", changed(seed=1))
    assert {file.name for file in trained.path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "result.json",
    }
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert file_hash(trained.path / name) == file_hash(tmp_path / "again" / name)
    assert file_hash(trained.path / "adapter_model.safetensors") != file_hash(
        tmp_path / "other" / "adapter_model.safetensors"
    )


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_what_is_saved_is_what_was_trained(tmp_path, monkeypatch, tuning):
    trainers = keep_trainers(monkeypatch, sft)
    result = finetune(shared_model(), chat_rows(), tmp_path / "out", changed(tuning=tuning))
    ids = torch.arange(5, 40)[None]
    if tuning == "lora":
        loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(shared_model()), result.path)
    else:
        loaded = AutoModelForCausalLM.from_pretrained(result.path)
        assert AutoTokenizer.from_pretrained(result.path).chat_template
    with torch.no_grad():
        expected, base = trainers[0].model(ids).logits, AutoModelForCausalLM.from_pretrained(shared_model())(ids).logits
        torch.testing.assert_close(loaded(ids).logits, expected)
    assert not torch.allclose(base, expected, atol=0.1)
    assert not [file for file in result.path.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".md")]


@pytest.mark.slow
def test_a_training_stopped_between_checkpoints_ends_as_if_it_had_not_been(trained, tmp_path):
    for after in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            finetune(shared_model(), chat_rows(), tmp_path / "out", SETTINGS, on_step=Interrupt(after))
        assert not (tmp_path / "out").exists()
    seen = []
    result = finetune(shared_model(), chat_rows(), tmp_path / "out", SETTINGS, on_step=lambda *step: seen.append(step))
    assert [step[:2] for step in seen] == [(5, 6), (6, 6)], "it did not continue from its last checkpoint"
    assert_same_weights(result.path, trained.path)
    assert result.curves == trained.curves
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


KILLED = """
import sys
from pathlib import Path
from support.training import chat_rows
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.sft import finetune
model, output, settings = sys.argv[1:]
settings = TrainingSettings.model_validate_json(settings)
finetune(model, chat_rows(), Path(output), settings, on_step=lambda step, *_: print(step, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("line", [1, 4])
def test_a_killed_training_ends_as_if_it_had_not_been(trained, tmp_path, line):
    command = [sys.executable, "-c", KILLED, str(shared_model()), str(tmp_path / "out"), SETTINGS.model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout
    for _ in range(line):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "out.partial").exists()
    assert not (tmp_path / "out").exists()
    result = finetune(shared_model(), chat_rows(), tmp_path / "out", SETTINGS)
    assert_same_weights(result.path, trained.path)


@pytest.mark.slow
def test_a_checkpoint_that_was_cut_short_is_not_continued_from(trained, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        finetune(shared_model(), chat_rows(), tmp_path / "out", SETTINGS, on_step=Interrupt(5))
    cut_short = tmp_path / "out.partial" / "checkpoint-4"
    (cut_short / "complete").unlink()
    (cut_short / "trainer_state.json").write_text("{")
    seen = []
    result = finetune(
        shared_model(), chat_rows(), tmp_path / "out", SETTINGS, on_step=lambda *step: seen.append(step[0])
    )
    assert seen == [3, 4, 5, 6]
    assert_same_weights(result.path, trained.path)


def test_a_finished_training_is_recognised(trained):
    def never(*_):
        raise AssertionError("it trained again")

    assert finetune(shared_model(), chat_rows(), trained.path, SETTINGS, on_step=never) == trained


@pytest.mark.slow
def test_changed_inputs_are_refused_by_name(trained, tmp_path):
    with pytest.raises(
        TrainingError, match=r"finished .*: rows \('\w+' -> '\w+'\), settings.learning_rate \(0.01 -> 0"
    ):
        finetune(shared_model(), chat_rows(23), trained.path, changed(learning_rate=0.1))
    with pytest.raises(TrainingError, match=r"changed: adapter \(None -> '\w+'\), model \('"):
        finetune(shared_model("qwen2"), chat_rows(), trained.path, SETTINGS, adapter=trained.path)
    with pytest.raises(KeyboardInterrupt):
        finetune(shared_model(), chat_rows(), tmp_path / "out", SETTINGS, on_step=Interrupt(3))
    with pytest.raises(TrainingError, match=r"out.partial is an unfinished .* changed: settings.seed \(0 -> 3\)\."):
        finetune(shared_model(), chat_rows(), tmp_path / "out", changed(seed=3))


@pytest.mark.slow
def test_a_training_that_never_got_to_a_checkpoint_may_be_changed(tmp_path):
    with pytest.raises(TrainingError, match="longer than the model's context"):
        finetune(shared_model(), [ChatRow((user("x" * 300),), "y")], tmp_path / "out", SETTINGS)
    assert finetune(shared_model(), chat_rows(8), tmp_path / "out", SETTINGS).rows == 8


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="is no finished training"):
        finetune(shared_model(), chat_rows(), tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_a_training_goes_on_from_an_adapter(tmp_path):
    start = shared_adapter()
    result = finetune(shared_model(), chat_rows(), tmp_path / "out", changed(learning_rate=1e-9), adapter=start)
    assert_same_weights(result.path, start, tolerance=1e-6)
    with pytest.raises(TrainingError, match="has lora_rank 4 and lora_alpha 8, the settings say 16 and 8"):
        finetune(shared_model(), chat_rows(), tmp_path / "no", changed(lora_rank=16), adapter=start)
    with pytest.raises(TrainingError, match="'full' cannot start from the adapter"):
        finetune(shared_model(), chat_rows(), tmp_path / "neither", changed(tuning="full"), adapter=start)
    assert weights(result.path)


@pytest.mark.slow
def test_a_lost_loss_stops_the_training_with_advice(tmp_path):
    with pytest.raises(TrainingError, match=r"step \d of 6: the loss is .*lower learning_rate \(1e\+20\)"):
        finetune(shared_model(), chat_rows(), tmp_path / "out", changed(learning_rate=1e20, max_grad_norm=0.0))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="there are no rows for the sft training"):
        finetune(shared_model(), [], tmp_path / "out", SETTINGS)
    with pytest.raises(TrainingError, match=r"1 of 25 rows are longer than the model's context of 256 tokens"):
        finetune(shared_model(), [*chat_rows(), ChatRow((user("x" * 300),), "y")], tmp_path / "out", SETTINGS)
    with pytest.raises(ModelError, match="holds neither a model nor an adapter"):
        finetune(tmp_path / "nowhere", chat_rows(), tmp_path / "out", SETTINGS)


@pytest.mark.slow
def test_nothing_is_written_to_the_terminal(tmp_path, capfd):
    finetune(shared_model(), chat_rows(8), tmp_path / "out", SETTINGS)
    assert capfd.readouterr() == ("", "")


def test_several_devices_in_sight_do_not_spread_one_process(tmp_path, monkeypatch):
    """On a machine with several GPUs, TRL refuses what `Trainer` does by default."""
    as_it_is = TrainingArguments.__post_init__
    monkeypatch.setattr(TrainingArguments, "__post_init__", lambda self: (as_it_is(self), setattr(self, "_n_gpu", 4)))
    trainers = keep_trainers(monkeypatch, sft)
    finetune(shared_model(), chat_rows(8), tmp_path / "out", SETTINGS)
    assert trainers[0].args.n_gpu == 1
