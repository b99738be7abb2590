# pyright: basic
"""How well rows of two kinds can be told apart by their words: TF-IDF, a linear probe, and its AUC on rows unseen."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from fulcrum.errors import SettingsError
from fulcrum.tfidf import inverse_frequencies, unit_rows, word_counts

FOLDS = 4
_L2 = 1e-2
_MOST_ROWS = 400

Vector = NDArray[np.float64]


def separability(ours: Sequence[str], others: Sequence[str]) -> float:
    """Return the cross-validated AUC of a linear probe: 0.5 if the two kinds look alike, 1 if nothing is confused.

    Args:
        ours: texts of one kind.
        others: texts of the other; of either kind the first 400 count, of the larger no more than ten times the other.

    Raises:
        SettingsError: there are fewer than two texts of a kind.
    """
    first, second = ours[:_MOST_ROWS], others[:_MOST_ROWS]
    if min(len(first), len(second)) < 2:
        raise SettingsError("separability: two rows of each kind are the least that can be told apart")
    counts = word_counts(_words(text) for text in (*first, *second))
    kind = np.array([1.0] * len(first) + [0.0] * len(second))
    # Rows of a kind are dealt to the folds in turn, so that each fold has some of both.
    folds = min(FOLDS, len(first), len(second))
    fold = np.array([index % folds for index in (*range(len(first)), *range(len(second)))])
    scores = np.zeros(len(kind))
    areas: list[float] = []
    for held_out in range(folds):
        seen = fold != held_out
        # What only rows held out say weighs nothing.
        features = unit_rows(counts, inverse_frequencies(counts[np.flatnonzero(seen)]))
        weights = _probe(features[np.flatnonzero(seen)], kind[seen])
        scores[~seen] = features[np.flatnonzero(~seen)] @ weights
        areas.append(area_under_curve(scores[~seen], kind[~seen]))
    return float(np.mean(areas))


def area_under_curve(scores: Vector, kind: Vector) -> float:
    """Return the probability that a row of kind 1 scores above one of kind 0; equal scores count half."""
    positives = kind == 1
    ours, others = int(positives.sum()), int((~positives).sum())
    ranks = rankdata(scores)
    return float((ranks[positives].sum() - ours * (ours + 1) / 2) / (ours * others))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _probe(features: csr_matrix, kind: Vector) -> Vector:
    """Return the weights of a logistic regression in which both kinds weigh the same."""
    sign = 2 * kind - 1
    weight = np.where(kind == 1, 0.5 / kind.sum(), 0.5 / (len(kind) - kind.sum()))

    def loss(weights: Vector) -> tuple[float, Vector]:
        margin = sign * (features @ weights)
        slope = -sign * weight / (1 + np.exp(margin))
        return (
            float(weight @ np.logaddexp(0, -margin) + _L2 / 2 * weights @ weights),
            features.T @ slope + _L2 * weights,
        )

    return np.asarray(minimize(loss, np.zeros_like(features.T @ kind), jac=True, method="L-BFGS-B").x)
