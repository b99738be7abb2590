# pyright: basic
"""Texts as vectors of their words."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix


def unit_rows(documents: Sequence[Sequence[str]], weights: Mapping[str, float]) -> csr_matrix:
    """Return a row of length 1 for each document, with a column for each word in the order of the words.

    Args:
        documents: the words of each, as often as they stand in it.
        weights: of a word, TF-IDF for one; a word without has no column, and a document without such a word is all 0.
    """
    columns = {word: column for column, word in enumerate(sorted(weights))}
    rows: list[int] = []
    places: list[int] = []
    values: list[float] = []
    for index, document in enumerate(documents):
        weighed = {word: count * weights[word] for word, count in Counter(document).items() if word in columns}
        norm = float(np.sqrt(sum(value * value for value in weighed.values()))) or 1.0
        for word, value in weighed.items():
            rows.append(index)
            places.append(columns[word])
            values.append(value / norm)
    return csr_matrix((values, (rows, places)), shape=(len(documents), len(columns)))
