# pyright: basic
"""Attention for pretraining on a CPU, where PyTorch's fused kernel is slow for heads as narrow as the lab's."""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

NAME = "causal_blocks"
"""What `set_attn_implementation` knows it by."""

BLOCK = 128
"""Queries at a time; what lies behind the last key that they may see is never computed."""


def causal_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, scaling: float, **options: Any
) -> tuple[Tensor, None]:
    """Let every token see itself and all before it; rows must be full, for no other mask is heeded.

    Args:
        module: the layer, unused.
        query: [rows, heads, tokens, width].
        key: as `query`.
        value: as `query`.
        attention_mask: unused.
        scaling: of the scores.
        options: unused.

    Returns:
        What each token takes from those it sees, [rows, tokens, heads, width], and no weights.
    """
    heads, tokens = query.shape[1:3]
    q, k, v = ((query * scaling).flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
    hidden = torch.full((tokens, tokens), float("-inf"), dtype=query.dtype, device=query.device).triu(1)
    seen = []
    for start in range(0, tokens, BLOCK):
        end = min(start + BLOCK, tokens)
        scores = torch.baddbmm(hidden[start:end, :end], q[:, start:end], k[:, :end].mT)
        seen.append(scores.softmax(-1) @ v[:, :end])
    return torch.cat(seen, 1).unflatten(0, (-1, heads)).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, causal_attention)
