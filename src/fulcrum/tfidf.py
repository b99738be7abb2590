# pyright: basic
"""Texts as vectors of their words."""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def word_counts(documents: Iterable[Iterable[str]]) -> csr_matrix:
    """Return how often each word stands in each document: a row for each document, a column for each word."""
    columns: dict[str, int] = {}
    places, counts, ends = array("i"), array("d"), array("q", [0])
    for document in documents:
        for word, count in Counter(document).items():
            places.append(columns.setdefault(word, len(columns)))
            counts.append(count)
        ends.append(len(places))
    return csr_matrix((counts, places, ends), shape=(len(ends) - 1, len(columns)))


def frequencies(counts: csr_matrix) -> NDArray[np.int64]:
    """Return in how many rows each word stands."""
    return np.bincount(counts.indices, minlength=counts.get_shape()[1])


def inverse_frequencies(counts: csr_matrix) -> NDArray[np.float64]:
    """Return the smoothed inverse document frequency of each word; 0 for one that stands in no row."""
    known = frequencies(counts)
    return np.where(known > 0, np.log((1 + counts.get_shape()[0]) / (1 + known)) + 1, 0.0)


def unit_rows(counts: csr_matrix, weights: NDArray[np.float64]) -> csr_matrix:
    """Return the rows with each word weighed, and of length 1; one in which no word has a weight is all 0.

    Args:
        counts: of `word_counts`.
        weights: of each word, TF-IDF for one.
    """
    values = counts.data * weights[counts.indices]
    rows = csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    rows.data /= np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(rows.indptr))
    return rows


def cosines(rows: csr_matrix, first: Sequence[int], second: Sequence[int]) -> NDArray[np.float64]:
    """Return the cosine of each pair of unit rows, whose places are given."""
    return np.asarray(rows[list(first)].multiply(rows[list(second)]).sum(axis=1)).ravel()
