import numpy as np
import pytest
import torch
from scipy import stats

from fulcrum.chat.sampling import RowSampler, nucleus

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def draw_many(temperature, top_p, rows=200, steps=100):
    sampler = RowSampler([temperature] * rows, [top_p] * rows, range(rows), steps)
    return torch.cat([sampler.draw(LOGITS.expand(rows, -1), step) for step in range(steps)])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_tokens_come_as_often_as_the_model_says(temperature):
    counts = torch.bincount(draw_many(temperature, 1.0), minlength=6).numpy()
    expected = torch.softmax(LOGITS.double() / temperature, -1).numpy() * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_top_p_draws_from_the_nucleus_in_proportion():
    # 0.56, 0.21, 0.13, 0.08, ...: the first two hold less than 0.8, so the third is in; the fourth is not.
    counts = torch.bincount(draw_many(1.0, 0.8), minlength=6).numpy()
    assert counts[3:].sum() == 0
    kept = torch.softmax(LOGITS[:3].double(), -1).numpy()
    assert stats.chisquare(counts[:3], kept * counts.sum()).pvalue > 1e-4


def test_nucleus_keeps_the_likeliest_token_however_small_top_p_is():
    kept = nucleus(torch.tensor([[0.1, 0.6, 0.3]]), torch.tensor([[1e-9]]))
    assert kept.nonzero().tolist() == [[0, 1]]


def test_nucleus_of_one_keeps_everything():
    probabilities = torch.tensor([[0.1, 0.6, 0.3]], dtype=torch.float64)
    assert torch.equal(nucleus(probabilities, torch.tensor([[1.0]])), probabilities)


def test_steps_of_a_row_are_independent():
    sampler = RowSampler([1.0] * 3000, [1.0] * 3000, range(3000), 2)
    first, second = (sampler.draw(LOGITS[:3].expand(3000, -1), step).numpy() for step in (0, 1))
    table = np.histogram2d(first, second, bins=3)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_rows_keep_their_settings_and_numbers_when_others_leave():
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    temperatures, top_ps, seeds = [1.0, 0.0, 2.0, 0.7], [1.0, 1.0, 0.9, 0.5], [5, 6, 7, 8]
    whole = RowSampler(temperatures, top_ps, seeds, 9)
    before = torch.stack([whole.draw(logits, step) for step in range(9)])
    kept = torch.tensor([3, 1])
    whole.keep(kept)
    assert torch.equal(torch.stack([whole.draw(logits[kept], step) for step in range(9)]), before[:, kept])
    assert (before[:, 1] == logits[1].argmax()).all()
    alone = RowSampler([2.0], [0.9], [7], 9)
    assert torch.equal(torch.stack([alone.draw(logits[2:3], step) for step in range(9)]), before[:, 2:3])


@pytest.mark.parametrize("temperature", [1e-6, 1e-8, 1e-38, 1e-40, 1e-46])
@pytest.mark.parametrize("shift", [-1e3, 0.0, 1e3])
def test_a_temperature_next_to_nothing_is_greedy(temperature, shift):
    drawn = RowSampler([temperature, 1.0], [1.0, 1.0], [0, 1], 1).draw((LOGITS + shift).expand(2, -1), 0)
    assert drawn[0] == 0 and drawn[1] < len(LOGITS)


def test_a_token_of_probability_zero_is_never_drawn():
    sampler = RowSampler([1.0], [1.0], [0], 1)
    sampler._uniforms.zero_()
    logits = torch.tensor([[-torch.inf, -torch.inf, 0.0, 0.0]])
    assert sampler.draw(logits, 0).tolist() == [2]
