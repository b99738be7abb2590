# pyright: basic
"""Draw the next token of every row of a batch, each row by its own settings and its own random numbers."""

from collections.abc import Sequence

import numpy as np
import torch

_COLDEST = 1e-6
"""A lower temperature draws what greedy takes, and logits divided by it may be no numbers any more."""


class RowSampler:
    """Draws tokens so that a row's text depends on its own seed, and not on the rows beside it.

    Every row has its uniform numbers, one for each step, drawn beforehand from a generator of its own. A token is
    then the inverse of the row's cumulative distribution at that number. Greedy rows take the likeliest token.

    Args:
        temperatures: one for each row; 0, or too little to tell from it, is greedy.
        top_ps: one for each row: the smallest set of likeliest tokens that holds this much probability is kept.
        seeds: one for each row.
        steps: how many tokens can be drawn.
        device: where the logits will be.
    """

    def __init__(
        self,
        temperatures: Sequence[float],
        top_ps: Sequence[float],
        seeds: Sequence[int],
        steps: int,
        device: torch.device | str = "cpu",
    ) -> None:
        uniforms = np.stack([np.random.default_rng(seed).random(steps) for seed in seeds])
        self._uniforms = torch.from_numpy(uniforms).to(device)
        temperatures = [temperature if temperature >= _COLDEST else 0.0 for temperature in temperatures]
        self._temperatures = torch.tensor(temperatures, dtype=torch.float32, device=device)
        self._top_ps = torch.tensor(top_ps, dtype=torch.float64, device=device)
        self._any_sampled = any(temperature > 0 for temperature in temperatures)
        self._any_cut = any(top_p < 1 for top_p in top_ps)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only, in this order."""
        self._uniforms = self._uniforms[rows]
        self._temperatures = self._temperatures[rows]
        self._top_ps = self._top_ps[rows]

    def draw(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        """Return one token for each row.

        Args:
            logits: rows x vocabulary, as the model gives them.
            step: index of the token in the completion.
        """
        likeliest = logits.argmax(-1)
        if not self._any_sampled:
            return likeliest
        greedy = self._temperatures == 0
        temperatures = self._temperatures.masked_fill(greedy, 1.0)[:, None]
        probabilities = torch.softmax(logits.float() / temperatures, -1).double()
        if self._any_cut:
            probabilities = nucleus(probabilities, self._top_ps[:, None])
        cumulative = probabilities.cumsum(-1)
        # `right` passes over tokens of probability zero, also when the uniform number is exactly 0.
        drawn = torch.searchsorted(cumulative, self._uniforms[:, step, None] * cumulative[:, -1:], right=True)
        return torch.where(greedy, likeliest, drawn.squeeze(-1))


def nucleus(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Return the probabilities with everything outside the top-p nucleus set to zero (not normalised again).

    A token is kept if the tokens likelier than it hold less than `top_p`; so the likeliest always is.

    Args:
        probabilities: rows x vocabulary.
        top_p: rows x 1; 1 keeps all.
    """
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    outside = (ordered.cumsum(-1) - ordered >= top_p) & (top_p < 1)
    return probabilities.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), 0.0)
