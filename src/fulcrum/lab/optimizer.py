# pyright: basic
"""The optimizer of pretraining: Muon for matrices, AdamW for embeddings and scales.

Muon (Jordan et al., 2024) steps by the nearest orthogonal matrix to the momentum, which brings small models
further on the same number of tokens. `torch.optim.Muon` iterates in bfloat16, which processors without native
bfloat16 emulate slowly; this one iterates in float32, on all matrices of a shape at once.
"""

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalized by five Newton-Schulz iterations, with decoupled weight decay."""

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step on every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for (rows, columns), parameters in by_shape.items():
                updates = orthogonal(torch.stack([self._momentum(parameter, group) for parameter in parameters]))
                scale = group["lr"] * max(1, rows / columns) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-scale)

    def _momentum(self, parameter: Tensor, group: dict) -> Tensor:
        gradient, state = parameter.grad, self.state[parameter]
        if gradient is None:
            raise ValueError("every matrix of a step needs a gradient")
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(state["momentum"], group["momentum"])


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Return, for each matrix of a batch, one with nearly the same directions and all singular values near 1."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
