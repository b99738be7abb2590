"""Agents finetuned side by side, in processes or on Ray, are what they are when finetuned one after another."""

from itertools import pairwise
from pathlib import Path

import pytest

from fulcrum.chat import Request, Sampling, complete, resolve, user
from fulcrum.society.cast import Cast, Speaker, Voices
from fulcrum.society.tuning import WEIGHTS, Tuning, TuningJob, train
from fulcrum.training import preference
from fulcrum.training.settings import PreferenceSettings, TrainingSettings
from fulcrum.workers import spread
from support.tiny import shared_model
from support.training import assert_same_weights, chat_rows, preference_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SETTINGS = TrainingSettings(lora_rank=2, lora_alpha=4, batch_size=4, epochs=1, learning_rate=0.01)


def jobs(folder: Path) -> list[TuningJob]:
    rows = [row.to_json() for row in chat_rows(8)]
    tunings = [Tuning(f"finetune-society-1-generator-{n}", rows[n:], None, seed=n) for n in (1, 2)]
    return [TuningJob(tuning, str(shared_model()), SETTINGS, folder / tuning.stage) for tuning in tunings]


def tuned(folder: Path, processes: int) -> list[Path]:
    told = []
    done = [job for job, _ in spread(train, jobs(folder), processes, told.append)]
    assert len(done) == 2
    ended = {name for name, step, steps in told if step == steps == 2}
    assert ended == {job.name for job in done}
    return [job.folder / WEIGHTS for job in jobs(folder)]


@pytest.fixture(scope="module")
def one_after_another(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    first, second = tuned(tmp_path_factory.mktemp("serial"), 1)
    with pytest.raises(AssertionError):
        assert_same_weights(first, second)
    return [first, second]


def test_whole_models_are_tuned_go_on_and_speak_beside_the_base(tmp_path: Path) -> None:
    whole = SETTINGS.model_copy(update={"tuning": "full", "learning_rate": 0.001})
    rows = [row.to_json() for row in chat_rows(8)]
    liked = preference_rows(4)
    base = str(shared_model())
    first, other = (
        TuningJob(Tuning(f"finetune-society-1-generator-{n}", rows[n:], None, seed=n), base, whole, tmp_path / str(n))
        for n in (1, 2)
    )
    second = TuningJob(
        Tuning("finetune-society-2-generator-1", rows, first.folder / WEIGHTS, 3, liked), base, whole, tmp_path / "3"
    )
    for job in (first, other, second):
        train(job, lambda *_: None)
    folders = [job.folder / WEIGHTS for job in (first, other, second)]
    assert not any((folder / "adapter_config.json").exists() for folder in folders)
    for one, another in pairwise([shared_model(), *folders]):
        with pytest.raises(AssertionError):
            assert_same_weights(one, another)

    request = Request((user("2 + 3"),), Sampling(max_tokens=8, logprobs=True))
    host = resolve(f"hf:{base}")
    voices = Voices(host)
    speakers = tuple(Speaker("generator", folder) for folder in (None, *folders))
    voices.seat(Cast(speakers, speakers))
    told = voices.ask(speakers, [request] * 4)
    for completion, folder in zip(told, (base, *folders), strict=True):
        (alone,) = complete(resolve(f"hf:{folder}"), [request])
        assert (completion.text, completion.logprobs) == (alone.text, alone.logprobs)
    assert len({completion.logprobs for completion in told}) == 4
    voices.close()


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_preferences_alone_are_learnt_from_the_base_and_from_old_weights(tmp_path: Path, tuning: str) -> None:
    settings = SETTINGS.model_copy(update={"tuning": tuning})
    liked, base = preference_rows(4), str(shared_model())
    first = TuningJob(Tuning("finetune-society-1-critic-1", [], None, 3, liked), base, settings, tmp_path / "1")
    start = first.folder / WEIGHTS
    second = TuningJob(Tuning("finetune-society-2-critic-1", [], start, 3, liked), base, settings, tmp_path / "2")
    for job in (first, second):
        train(job, lambda *_: None)
    with pytest.raises(AssertionError):
        assert_same_weights(start, second.folder / WEIGHTS)


def test_preferences_are_trained_in_the_memory_that_the_settings_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrifty = {"micro_batch_size": 1, "gradient_checkpointing": True, "checkpoint_every": 7}
    given: list[PreferenceSettings] = []
    monkeypatch.setattr(preference, "prefer", lambda *known, **_: given.append(known[3]))
    tuning = Tuning("finetune-society-1-critic-1", [], None, 3, preference_rows(4))
    train(TuningJob(tuning, "base", SETTINGS.model_copy(update=thrifty), tmp_path), lambda *_: None)
    shape = {"lora_rank": 2, "lora_alpha": 4, "seed": 3}
    assert given == [PreferenceSettings.model_validate({**shape, **thrifty})]


def test_in_two_processes(one_after_another: list[Path], tmp_path: Path) -> None:
    for one, other in zip(one_after_another, tuned(tmp_path, 2), strict=True):
        assert_same_weights(one, other)


def test_on_ray(one_after_another: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    cluster = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    monkeypatch.setenv("RAY_ADDRESS", cluster.address_info["gcs_address"])
    try:
        for one, other in zip(one_after_another, tuned(tmp_path, 2), strict=True):
            assert_same_weights(one, other)
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("stage", "name"),
    [("finetune-society-1-critic-2", "critic-2"), ("finetune-no-summary-12-agent", "agent"), ("distil", "distil")],
)
def test_a_training_is_told_under_the_name_of_its_agent(tmp_path: Path, stage: str, name: str) -> None:
    assert TuningJob(Tuning(stage, [], None, seed=0), "base", SETTINGS, tmp_path).name == name
