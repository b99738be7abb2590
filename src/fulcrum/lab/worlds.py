"""Random worlds, which training text is about: other values and house words than any shop's, often other tables too.

What a shop's tables are called stands in every prompt and is no secret; what its house words mean is.
"""

import random

from fulcrum.lab import words
from fulcrum.lab.queries import fits
from fulcrum.lab.shop import shop_schema
from fulcrum.lab.world import Column, Schema, Table, Term

CORNER_SHOPS = 0.7
"""Share of worlds that are corner shops, with the tables of `lab:sql`."""

INVENTED = 0.15
"""Share of other worlds whose tables, and of their columns whose values, are invented words."""


def random_schema(rng: random.Random) -> Schema:
    """Return the tables of a corner shop or of another world."""
    return shop_schema(rng) if rng.random() < CORNER_SHOPS else other_schema(rng)


def other_schema(rng: random.Random) -> Schema:
    """Return three related tables with one to three columns each."""
    events, things = rng.choice(words.FACT_TABLES)
    if rng.random() < INVENTED:
        events, *rest = (word + "s" for word in words.invented_words(rng, 3))
        things = (rest[0], rest[1])
    names = iter(rng.sample(sorted(words.CATEGORIES), 6))
    numbers = iter(rng.sample(sorted(words.NUMBERS), 4))

    def columns(categories: int, count: int) -> tuple[Column, ...]:
        made = [_category(rng, next(names)) for _ in range(categories)]
        return (*made, *(_number(rng, next(numbers)) for _ in range(count)))

    first, second = things
    return Schema(
        Table(events, columns(rng.choice((1, 2)), rng.choice((1, 2)))),
        (
            Table(first, columns(rng.choice((1, 2)), 0), key=_singular(first)),
            Table(second, columns(1, rng.choice((0, 1))), key=_singular(second)),
        ),
    )


def random_term(rng: random.Random, schema: Schema, kind: str) -> Term:
    """Return a house word of a kind, with a random meaning."""
    if rng.random() < 0.5:
        phrase = " ".join(words.invented_words(rng, rng.choice((1, 2, 2))))
    else:
        phrase = f"{rng.choice(words.WORLD_ADJECTIVES.split())} {rng.choice(words.WORLD_NOUNS.split())}"
    return Term(phrase, kind, rng.choice(schema.meanings(kind)))


def random_terms(rng: random.Random, schema: Schema, count: int) -> tuple[Term, ...]:
    """Return `count` house words that one question can use together."""
    while True:
        terms = tuple(random_term(rng, schema, kind) for kind in rng.sample(schema.kinds, count))
        if fits(schema, terms) and len({term.phrase for term in terms}) == count:
            return terms


def _category(rng: random.Random, name: str) -> Column:
    phrase, values = words.CATEGORIES[name]
    count = rng.choice((3, 4, 4, 5, 6))
    if rng.random() < INVENTED:
        return Column(name, phrase, tuple(words.invented_words(rng, count)))
    return Column(name, phrase, words.pick(rng, values, count))


def _number(rng: random.Random, name: str) -> Column:
    step = rng.choice((2, 3, 4, 5, 10, 15, 20, 25, 30))
    first = rng.randint(1, step)
    return Column(name, words.NUMBERS[name], cutoffs=tuple(first + step * place for place in range(rng.choice((2, 3)))))


def _singular(name: str) -> str:
    return {"buses": "bus"}.get(name, name.removesuffix("s"))
