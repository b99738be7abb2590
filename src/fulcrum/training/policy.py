# pyright: basic
"""Policy training: GRPO against any reward that Python can compute."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from fulcrum.chat.message import Message
from fulcrum.errors import TrainingError
from fulcrum.training.job import Job, OnStep, TrainingResult
from fulcrum.training.models import load_policy
from fulcrum.training.settings import PolicySettings
from fulcrum.training.trainer import (
    StepwiseTrainer,
    job_inputs,
    plan_order,
    quiet,
    run,
    trainer_arguments,
)

Prompt = tuple[Message, ...]
Reward = Callable[[list[Prompt], list[str]], Sequence[float | None]]
"""From prompts and one completion of each to a reward each; None where the call that should tell it failed."""

CURVES = {
    "reward": "reward/mean",
    "reward_std": "reward/std",
    "reward/failed": "reward/failed",
    "frac_reward_zero_std": "reward/same_share",
    "completions/mean_length": "completion/tokens",
    "completions/clipped_ratio": "completion/cut_share",
    "kl": "kl",
}


class PolicyTrainer(StepwiseTrainer, GRPOTrainer):
    """TRL's trainer; a completion whose reward is None moves neither the group's mean nor the policy."""


def optimise(
    model: str | Path,
    prompts: Sequence[Prompt],
    reward: Reward,
    output: Path,
    settings: PolicySettings | None = None,
    *,
    cut_reward: float | None = None,
    adapter: Path | None = None,
    on_step: OnStep | None = None,
) -> TrainingResult:
    """Train a model to write completions of high reward and leave an adapter (or a model) at `output`.

    The same call again returns the finished result, or continues a killed training; to the same weights if the
    reward of a completion is always the same, as behind a call store.

    Args:
        model: folder or hub name of a causal language model with a chat template.
        prompts: what to complete; several completions of one prompt are compared with each other.
        reward: called once a step (and process) with all completions that it has to judge.
        output: folder to be made.
        settings: defaults are for an adapter.
        cut_reward: of a completion that was cut at `max_tokens`, about which `reward` is then not asked; None asks it
            about those too.
        adapter: where to start from; None starts from the model itself.
        on_step: told about every optimizer step.

    Raises:
        TrainingError: no prompts, prompts that leave no room for a completion, changed inputs, or a loss that is
            lost.
        ModelError: the model cannot be loaded.
    """
    settings = settings or PolicySettings()
    conversations = [[message.to_json() for message in prompt] for prompt in prompts]
    inputs = job_inputs("policy", model, settings, conversations, adapter=adapter)
    job = Job(output, inputs | {"reward": f"{reward.__module__}:{reward.__qualname__}", "cut_reward": cut_reward})
    if (done := job.begin()) is not None:
        return done
    with quiet():
        policy = load_policy(model, adapter, settings)
        template = {"enable_thinking": False}
        encoded = policy.tokenizer.apply_chat_template(
            conversations, add_generation_prompt=True, return_dict=True, **template
        )
        _check_room([len(ids) for ids in encoded["input_ids"]], settings.max_tokens, policy.context)
        order = _whole_steps(len(prompts), settings)
        trainer = PolicyTrainer(
            model=policy.model,
            reward_funcs=_as_trl(reward, cut_reward, policy.stop_ids),
            args=GRPOConfig(
                **trainer_arguments(
                    job, settings, policy.dtype, len(order) * settings.generations // settings.batch_size
                ),
                num_generations=settings.generations,
                temperature=settings.temperature,
                max_completion_length=settings.max_tokens,
                beta=settings.kl,
                chat_template_kwargs=template,
                shuffle_dataset=False,  # `plan_order` has done it, for all epochs
            ),
            train_dataset=Dataset.from_list([{"prompt": conversations[index]} for index in order]),
            processing_class=policy.tokenizer,
            peft_config=policy.new_adapter,
        )
        return run(
            trainer,
            job,
            settings,
            dtype=policy.dtype,
            rows=len(prompts),
            tokens=lambda steps: (
                round(sum(step["completions/mean_length"] for step in steps) * settings.batch_size),
                round(steps[-1]["num_tokens"]),
            ),
            curves=CURVES,
            on_step=on_step,
        )


def _check_room(lengths: Sequence[int], max_tokens: int, context: int | None) -> None:
    if context is not None and max(lengths) + max_tokens > context:
        cramped = sum(length + max_tokens > context for length in lengths)
        raise TrainingError(
            f"{cramped} of {len(lengths)} prompts leave no room for max_tokens {max_tokens} in the model's context of "
            f"{context} tokens (the longest prompt has {max(lengths)}); lower max_tokens or shorten the prompts"
        )


def _whole_steps(prompts: int, settings: PolicySettings) -> list[int]:
    """Return the indices of the prompts in their order of use, filled up to whole optimizer steps."""
    steps = settings.steps or math.ceil(settings.epochs * prompts / settings.prompts_per_step)
    return plan_order([0] * prompts, settings.model_copy(update={"steps": steps}), settings.prompts_per_step)


def _as_trl(reward: Reward, cut_reward: float | None, stop_ids: set[int]) -> Callable[..., list[float | None]]:
    """Return the reward as TRL calls it; a completion that was cut ends with no stop token."""

    def trl_reward(
        prompts: list[list[Mapping[str, Any]]],
        completions: list[list[Mapping[str, str]]],
        completion_ids: list[list[int]],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        judged = [place for place, ids in enumerate(completion_ids) if cut_reward is None or ids[-1] in stop_ids]
        rewards: list[float | None] = [cut_reward] * len(completions)
        given = reward(
            [tuple(Message.from_json(message) for message in prompts[place]) for place in judged],
            [completions[place][0]["content"] for place in judged],
        )
        for place, value in zip(judged, given, strict=True):
            rewards[place] = value
        log_metric("reward/failed", sum(value is None for value in rewards) / len(rewards))
        return rewards

    return trl_reward
