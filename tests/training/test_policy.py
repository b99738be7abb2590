import pytest

from fulcrum.chat.message import Message, user
from fulcrum.errors import TrainingError
from fulcrum.training.policy import optimise
from fulcrum.training.settings import PolicySettings
from support.tiny import shared_adapter, shared_model
from support.training import Interrupt, assert_same_weights, weights

SETTINGS = PolicySettings(
    learning_rate=2e-2, batch_size=32, micro_batch_size=16, max_tokens=8, lora_rank=4, lora_alpha=8, checkpoint_every=2
)
PROMPTS = [(user(f"say {word}"),) for word in ("one", "two", "three", "four", "five", "six")]


def changed(**values):
    return SETTINGS.model_copy(update=values)


def share_of_e(prompts, completions):
    return [text.count("e") / 8 for text in completions]


def unchanged(trained, start):
    """Return whether only the random half of a new adapter is there, or nothing moved from the start."""
    if start is None:
        return all(not tensor.any() for name, tensor in weights(trained).items() if "lora_B" in name)
    before, after = weights(start), weights(trained)
    return all((after[name] == tensor).all() for name, tensor in before.items())


@pytest.mark.slow
def test_the_reward_rises(tmp_path):
    result = optimise(shared_model(), PROMPTS, share_of_e, tmp_path / "out", changed(steps=25))
    rewards = result.curves["reward/mean"]
    assert sum(rewards[-5:]) > 2 * sum(rewards[:5])
    assert (result.kind, result.steps, result.rows) == ("policy", 25, 6)
    assert 25 * 32 <= result.loss_tokens <= 25 * 32 * 8
    assert result.seen_tokens > result.loss_tokens


@pytest.mark.slow
def test_a_failed_call_moves_nothing(tmp_path):
    """Every call that did not fail has the same reward: were a failure a zero, the others would stand out."""

    def reward(prompts, completions):
        return [None if index % 3 == 0 else 1.0 for index in range(len(completions))]

    result = optimise(shared_model(), PROMPTS, reward, tmp_path / "out", changed(steps=2))
    assert unchanged(result.path, None)
    assert result.curves["reward/mean"] == [1.0, 1.0]
    assert result.curves["reward/failed"] == [pytest.approx(11 / 32)] * 2

    def as_zero(prompts, completions):
        return [value or 0.0 for value in reward(prompts, completions)]

    assert not unchanged(optimise(shared_model(), PROMPTS, as_zero, tmp_path / "zero", changed(steps=2)).path, None)


def test_a_step_without_any_answer_is_survived(tmp_path):
    result = optimise(shared_model(), PROMPTS, lambda _, texts: [None] * len(texts), tmp_path / "out", changed(steps=1))
    assert unchanged(result.path, None)
    assert result.curves["reward/failed"] == [1.0]


def test_a_completion_that_was_cut_is_worth_what_is_said_of_it(tmp_path):
    """The reward is asked about whole ones only: of those it says 1, cut ones are worth nothing."""
    asked = []

    def reward(prompts, completions):
        asked.extend(completions)
        return [1.0] * len(completions)

    settings = changed(steps=1, max_tokens=64)
    result = optimise(shared_model(), PROMPTS, reward, tmp_path / "out", settings, cut_reward=0.0)
    (cut,) = result.curves["completion/cut_share"]
    assert 0 < cut < 1 and len(asked) == round(32 * (1 - cut))
    assert result.curves["reward/mean"] == [pytest.approx(1 - cut)]


@pytest.mark.slow
def test_the_reward_sees_whole_groups_of_messages_and_text(tmp_path):
    calls = []

    def reward(prompts, completions):
        calls.append((prompts, completions))
        return share_of_e(prompts, completions)

    optimise(shared_model(), PROMPTS, reward, tmp_path / "out", changed(epochs=2))
    assert len(calls) == 3, "six prompts twice are three steps of four prompts"
    for prompts, completions in calls:
        assert len(prompts) == len(completions) == 32
        assert all(isinstance(message, Message) for prompt in prompts for message in prompt)
        assert all(isinstance(text, str) and "<|" not in text for text in completions)
        assert {prompts.count(prompt) for prompt in prompts} <= {8, 16}
    seen = [prompt for prompts, _ in calls for prompt in prompts[::8]]
    assert {prompt: seen.count(prompt) for prompt in seen} == dict.fromkeys(PROMPTS, 2)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [False, True], ids=["new", "continued"])
def test_a_stopped_training_ends_as_if_it_had_not_been(tmp_path, adapter):
    options = {"adapter": shared_adapter() if adapter else None, "settings": changed(steps=4, kl=0.1)}
    whole = optimise(shared_model(), PROMPTS, share_of_e, tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        optimise(shared_model(), PROMPTS, share_of_e, tmp_path / "out", on_step=Interrupt(3), **options)
    result = optimise(shared_model(), PROMPTS, share_of_e, tmp_path / "out", **options)
    assert_same_weights(result.path, whole.path)
    assert result.curves == whole.curves
    assert not unchanged(result.path, options["adapter"])
    assert {path.name for path in result.path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "result.json",
    }


@pytest.mark.slow
def test_micro_batches_change_neither_what_is_written_nor_what_is_learnt(tmp_path):
    for rows in (32, 3):  # of 32 rows no three fit evenly: twos are taken
        settings = changed(steps=2, micro_batch_size=rows, learning_rate=1e-3)
        optimise(shared_model(), PROMPTS, share_of_e, tmp_path / str(rows), settings)
    assert_same_weights(tmp_path / "32", tmp_path / "3", tolerance=1e-5)
    assert not unchanged(tmp_path / "3", None)


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"6 of 6 prompts leave no room for max_tokens 250 in .* 256 tokens"):
        optimise(shared_model(), PROMPTS, share_of_e, tmp_path / "out", changed(max_tokens=250))
    with pytest.raises(TrainingError, match="there are no rows for the policy training"):
        optimise(shared_model(), [], share_of_e, tmp_path / "out", SETTINGS)
    with pytest.raises(ValueError, match=r"batch_size 30 does not hold whole groups of generations 8; .* such as 32"):
        PolicySettings(batch_size=30)
