import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fulcrum.chat.message import user
from fulcrum.errors import SettingsError, TrainingError
from fulcrum.training.launch import main, read_job
from fulcrum.training.preference import prefer
from fulcrum.training.rows import PromptRow, write_rows
from fulcrum.training.settings import PreferenceSettings, TrainingSettings
from fulcrum.training.sft import finetune
from support.tiny import shared_adapter, shared_model
from support.training import assert_same_weights, chat_rows, preference_rows

SETTINGS = {"learning_rate": 1e-3, "batch_size": 8, "micro_batch_size": 2, "lora_rank": 4, "lora_alpha": 8, "epochs": 2}


def write_job(folder, rows, **job):
    write_rows(folder / "rows.jsonl", rows)
    path = folder / "job.json"
    defaults = {"model": str(shared_model()), "rows": str(folder / "rows.jsonl"), "output": str(folder / "out")}
    path.write_text(json.dumps(defaults | job))
    return path


def launch(processes, job):
    """Run a job as a user would, on several processes."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "-m", "fulcrum.training.launch", str(job)],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    done = launch(2, write_job(tmp_path, chat_rows(), kind="sft", settings=SETTINGS))
    assert done.returncode == 0, done.stderr
    one = finetune(shared_model(), chat_rows(), tmp_path / "one", TrainingSettings(**SETTINGS))
    assert_same_weights(tmp_path / "out", one.path, tolerance=1e-5)
    assert finetune(shared_model(), chat_rows(), tmp_path / "out", TrainingSettings(**SETTINGS)).curves[
        "loss"
    ] == pytest.approx(one.curves["loss"], abs=1e-4)


@pytest.mark.slow
def test_two_processes_share_the_answers_of_the_reference(tmp_path):
    job = {"kind": "preference", "settings": SETTINGS, "adapter": str(shared_adapter()), "reference": "base"}
    done = launch(2, write_job(tmp_path, preference_rows(24), **job))
    assert done.returncode == 0, done.stderr
    settings = PreferenceSettings(**SETTINGS)
    options = {"adapter": shared_adapter(), "reference": "base"}
    one = prefer(shared_model(), preference_rows(24), tmp_path / "one", settings, **options)
    assert_same_weights(tmp_path / "out", one.path, tolerance=1e-5)


def count_e(prompts, completions):
    return [float(text.count("e")) for text in completions]


@pytest.mark.slow
def test_a_policy_job_finds_its_reward_by_name(tmp_path):
    settings = {"batch_size": 8, "generations": 4, "max_tokens": 4, "steps": 1}
    job = {"kind": "policy", "reward": "test_launch:count_e", "settings": settings}
    path = write_job(tmp_path, [PromptRow((user("hello"),)), PromptRow((user("good bye"),))], **job)
    sys.modules.setdefault("test_launch", sys.modules[__name__])
    assert main([str(path)]) == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["kind"] == "policy"


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TrainingError, match="batch_size 8 cannot be shared by 3 processes"):
        finetune(shared_model(), chat_rows(), tmp_path / "out", TrainingSettings(**SETTINGS))


def test_a_bad_job_is_refused_with_every_problem(tmp_path, capsys):
    path = write_job(tmp_path, chat_rows(), kind="sft", settings={"learning_rat": 1, "epochs": 0})
    with pytest.raises(SettingsError) as raised:
        read_job(path)
    assert "settings.learning_rat: Extra inputs" in str(raised.value)
    assert "settings.epochs: Input should be greater than 0" in str(raised.value)
    assert main([str(path)]) == main([str(tmp_path / "none.json")]) == main([]) == 2
    assert "cannot read the training job" in capsys.readouterr().err
