"""From a model's folder to what a trainer needs."""

import pytest
import torch

from fulcrum.training.models import load_policy
from fulcrum.training.settings import TrainingSettings
from support.tiny import shared_model


@pytest.mark.parametrize(("dtype", "attention"), [("bfloat16", "eager"), ("float32", "sdpa")])
def test_a_small_model_in_bfloat16_on_a_cpu_does_without_the_fused_attention(
    dtype: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fulcrum.training.models.choose_device", lambda: "cpu")
    policy = load_policy(shared_model(), None, TrainingSettings(dtype=dtype))
    assert policy.model.config._attn_implementation == attention
    assert policy.dtype == getattr(torch, dtype)


def test_a_large_model_keeps_the_fused_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fulcrum.training.models.choose_device", lambda: "cpu")
    monkeypatch.setattr("fulcrum.training.models.SMALL_PARAMETERS", 10)
    policy = load_policy(shared_model(), None, TrainingSettings(dtype="bfloat16"))
    assert policy.model.config._attn_implementation == "sdpa"
