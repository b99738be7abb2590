"""`lab:sql`: questions about the shop in house words, answered by SQL. The glossary is shown to no model."""

import itertools
import random
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from fulcrum.lab.prompts import SQL_PROMPT
from fulcrum.lab.queries import Query, fits, sample_query
from fulcrum.lab.shop import Shop
from fulcrum.lab.world import Term
from fulcrum.task import SPLITS, Example, PromptTemplate, Split, Task
from fulcrum.task.scorers import SqlRowsScorer

SIZES: dict[Split, int] = {"train": 300, "dev": 150, "test": 500}

TERMS_IN_A_QUESTION = (25, 45, 30)
"""Percent of questions with no house word, with one, with two."""

TEST_PAIRS = 0.4
"""Share of all pairs of house words that stand together in test questions only."""

SMALLEST_GROUP = 3
"""Fewest rows that a question may be about: an empty answer is too easy to hit by chance."""

TELLING = 0.75
"""Share of wrong readings of a house word that must give another answer than the right one."""


def load_sql(name: str, seed: int) -> Task:
    """Return the task for the shop of a seed."""
    shop = Shop(seed)
    return Task(
        name=name,
        splits=make_splits(shop),
        template=PromptTemplate(SQL_PROMPT),
        scorer=SqlRowsScorer(database=shop.database),
        max_tokens=96,
    )


def make_splits(shop: Shop) -> dict[Split, list[Example]]:
    """Return the examples of all splits; no question stands twice, and test has pairs of terms of its own."""
    rng = shop.random("sql pairs")
    pairs = [pair for pair in itertools.combinations(shop.terms, 2) if fits(shop.schema, pair)]
    rng.shuffle(pairs)
    kept = round(TEST_PAIRS * len(pairs))
    seen: set[str] = set()
    with shop.connect() as connection:
        return {
            split: list(_examples(shop, split, pairs[:kept] if split == "test" else pairs[kept:], connection, seen))
            for split in SPLITS
        }


def _examples(
    shop: Shop, split: Split, pairs: Sequence[tuple[Term, Term]], connection: sqlite3.Connection, seen: set[str]
) -> Iterator[Example]:
    rng = shop.random(f"sql {split}")
    singles, doubles = _deck(rng, [(term,) for term in shop.terms]), _deck(rng, pairs)
    for number in range(SIZES[split]):
        place = number * 37 % 100  # Every stretch of a split holds all kinds.
        none, one, _ = TERMS_IN_A_QUESTION
        while True:
            terms = () if place < none else next(singles) if place < none + one else next(doubles)
            query = sample_query(rng, shop.world, terms)
            question = query.english(shop.schema)
            if question not in seen and _is_telling(shop, query, connection):
                break
        seen.add(question)
        yield Example(
            fields={"schema": shop.schema.describe(), "question": question},
            target=query.sql(shop.schema),
            metadata={
                "jargon": bool(query.terms),
                "terms": [term.phrase for term in query.terms],
                "shape": query.shape,
                "conditions": len(query.conditions),
            },
            source=f"lab:sql?seed={shop.seed}:{split}:{number + 1}",
        )


def _deck(rng: random.Random, cards: Sequence[tuple[Term, ...]]) -> Iterator[tuple[Term, ...]]:
    """Deal cards for ever, each as often as any other."""
    while True:
        yield from rng.sample(cards, len(cards))


def _is_telling(shop: Shop, query: Query, connection: sqlite3.Connection) -> bool:
    """Return whether the answer is about enough rows, is the only one, and shows how the house words were read."""

    def run(query: Query) -> list[tuple[Any, ...]]:
        return connection.execute(query.sql(shop.schema)).fetchall()

    counted = Query(query.table, "count", query.conditions)
    if run(counted)[0][0] < SMALLEST_GROUP or _has_tie(shop, query, connection):
        return False
    right = run(query)
    meanings = {term: term.meaning for term in query.terms}
    for term in query.terms:
        others = [meaning for meaning in shop.schema.meanings(term.kind) if meaning != term.meaning]
        different = sum(run(query.read({**meanings, term: other})) != right for other in others)
        if different < TELLING * len(others):
            return False
    return True


def _has_tie(shop: Shop, query: Query, connection: sqlite3.Connection) -> bool:
    """Return whether a question for the most has two right answers."""
    if query.shape != "most":
        return False
    each = Query(query.table, "each", query.conditions, group=query.group)
    counts = sorted((count for _, count in connection.execute(each.sql(shop.schema))), reverse=True)
    return len(counts) < 2 or counts[0] == counts[1]
