"""The Corner Shop: one seeded database, and the secrets that no checkpoint knows.

    >>> shop = Shop(seed=7)
    >>> shop.schema.events.name
    'orders'

Everything here is a pure function of the seed. Seeds below `WORLD_SEEDS` are shops to be solved; checkpoints are
trained on worlds of larger seeds, with other jargon words.
"""

import contextlib
import os
import random
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

from fulcrum.errors import TaskError
from fulcrum.hashing import seed_from
from fulcrum.lab import words
from fulcrum.lab.world import MEASURE_KIND, Column, Schema, Table, Term, World

VERSION = 1
"""Version of the shop's content: part of every seed and of the cached file's name."""

WORLD_SEEDS = 1000
"""First seed of the worlds that checkpoints are trained on; shops have smaller ones."""

CUSTOMERS, PRODUCTS, ORDERS = 120, 60, 900

TERMS_OF_KIND = {
    "carrier": 4,
    "status": 4,
    "town": 5,
    "tier": 3,
    "category": 5,
    "days": 3,
    "price": 3,
    MEASURE_KIND: 3,
}
"""How many house words there are for each kind of meaning: thirty in all."""

PRACTICES = (
    "name_the_customer",
    "apologise_first",
    "confirm_order_number",
    "state_next_step",
    "offer_voucher",
    "offer_exchange_first",
    "explain_policy",
    "give_days",
    "thank_for_patience",
    "ask_reason",
    "repeat_request",
    "close_with_question",
    "sign_with_name",
    "avoid_blame",
    "escalate_twice_angry",
    "short_when_hurried",
)
"""Everything that a good desk might make a habit of; each shop really lives by `PRACTICES_OF_A_SHOP` of them."""

PRACTICES_OF_A_SHOP = 8
BOOKINGS = ("sign_refunds", "price_exchanges", "name_cancels", "sign_escalations")
"""What a till may want written behind a booking; where it is `signed` it wants `BOOKINGS_OF_A_SHOP` of them."""

BOOKINGS_OF_A_SHOP = 2
QUEUES = 8

TABLES = """
create table customers (id integer primary key, name text, address text, town text, tier text, since text);
create table products (id integer primary key, name text, category text, price integer, stock integer);
create table orders (id integer primary key, customer integer references customers, product integer references products,
  carrier text, status text, ordered text, days integer, units integer);
"""
"""The SQL that makes the empty tables."""


class Shop:
    """One shop: its tables, its jargon, its queue codes and its best practice.

    Attributes:
        seed: what everything is drawn from.
        schema: the columns that questions ask about, with their values.
        terms: thirty house words with their meanings: secret.
        queue_codes: private names of the desk's queues: secret.
        practice: ids of what this shop's desk does for its customers, most important first: secret.
        bookings: ids of what its till wants, where the desk's task has it sign: secret.

    Raises:
        TaskError: the seed is not in 0..999.
    """

    def __init__(self, seed: int = 0) -> None:
        if not 0 <= seed < WORLD_SEEDS:
            raise TaskError(
                f"shop seed {seed}: a shop has a seed from 0 to {WORLD_SEEDS - 1}; "
                "larger seeds are the worlds that the checkpoints were trained on"
            )
        self.seed = seed
        self.schema = shop_schema(self.random("schema"))
        self.terms = self._make_terms()
        rng = self.random("queues")
        self.queue_codes = tuple(
            f"{letter}{rng.randint(10, 99)}" for letter in rng.sample("BCDFGHJKLMNPQRSTVWXZ", QUEUES)
        )
        self.practice = tuple(self.random("practice").sample(PRACTICES, PRACTICES_OF_A_SHOP))
        self.bookings = tuple(self.random("bookings").sample(BOOKINGS, BOOKINGS_OF_A_SHOP))

    def random(self, topic: str) -> random.Random:
        """Return a generator of this shop's own for one topic; topics do not disturb each other."""
        return random.Random(seed_from("shop", VERSION, self.seed, topic))

    @property
    def world(self) -> World:
        """The shop as a world to ask questions about."""
        return World(self.schema, self.terms)

    @cached_property
    def database(self) -> Path:
        """The SQLite file with customers, products and orders; made on first use and kept in the user's cache."""
        path = _cache_folder() / f"shop-v{VERSION}-{self.seed}.sqlite"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                draft = Path(folder) / path.name
                with contextlib.closing(sqlite3.connect(draft)) as connection:
                    self.fill(connection)
                os.replace(draft, path)
        return path

    @contextlib.contextmanager
    def connect(self) -> Generator[sqlite3.Connection]:
        """Open the database, read-only."""
        with contextlib.closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
            yield connection

    def fill(self, connection: sqlite3.Connection) -> None:
        """Write the shop's tables into an empty database, such as one in memory that a dialogue may change."""
        connection.executescript(TABLES)
        connection.executemany("insert into customers values (?, ?, ?, ?, ?, ?)", self._customers())
        connection.executemany("insert into products values (?, ?, ?, ?, ?)", self._products())
        connection.executemany("insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)", self._orders())
        connection.commit()

    def _make_terms(self) -> tuple[Term, ...]:
        rng = self.random("jargon")
        phrases = iter(words.phrases(rng, words.SHOP_ADJECTIVES, words.SHOP_NOUNS, sum(TERMS_OF_KIND.values())))
        return tuple(
            Term(next(phrases), kind, meaning)
            for kind, count in TERMS_OF_KIND.items()
            for meaning in rng.sample(self.schema.meanings(kind), count)
        )

    def _customers(self) -> Iterator[tuple[int, str, str, str, str, str]]:
        rng = self.random("customers")
        first, last, streets = words.FIRST_NAMES.split(), words.LAST_NAMES.split(), words.STREETS.split("|")
        names = rng.sample([f"{one} {two}" for one in first for two in last], CUSTOMERS)
        for number, name in enumerate(names, start=1):
            address = f"{rng.randint(1, 99)} {rng.choice(streets)}"
            town, tier = (rng.choice(self.schema.column(column).values) for column in ("town", "tier"))
            since = date(2019, 1, 1) + timedelta(days=rng.randrange(1500))
            yield number, name, address, town, tier, since.isoformat()

    def _products(self) -> Iterator[tuple[int, str, str, int, int]]:
        rng = self.random("products")
        makers = words.CATEGORIES["maker"][1].split()
        for number in range(1, PRODUCTS + 1):
            category = rng.choice(self.schema.column("category").values)
            yield number, f"{rng.choice(makers)} {category} {number}", category, rng.randint(2, 99), rng.randint(0, 40)

    def _orders(self) -> Iterator[tuple[int, int, int, str, str, str, int, int]]:
        rng = self.random("orders")
        carriers, statuses = self.schema.column("carrier").values, self.schema.column("status").values
        for number in range(1001, 1001 + ORDERS):
            ordered = date(2024, 1, 1) + timedelta(days=rng.randrange(360))
            yield (
                number,
                rng.randint(1, CUSTOMERS),
                rng.randint(1, PRODUCTS),
                rng.choice(carriers),
                rng.choice(statuses),
                ordered.isoformat(),
                rng.randint(1, 12),
                rng.randint(1, 8),
            )


def shop_schema(rng: random.Random) -> Schema:
    """Return the tables of a corner shop, with random values in each column of words."""

    def category(name: str, count: int) -> Column:
        phrase, values = words.CATEGORIES[name]
        return Column(name, phrase, words.pick(rng, values, count))

    def number(name: str, cutoffs: tuple[int, ...]) -> Column:
        return Column(name, words.NUMBERS[name], cutoffs=cutoffs)

    orders = (category("carrier", 5), category("status", 5), number("days", (3, 6, 9)), number("units", (2, 4, 6)))
    return Schema(
        Table("orders", orders),
        (
            Table("customers", (category("town", 6), category("tier", 4)), key="customer"),
            Table("products", (category("category", 6), number("price", (20, 50, 80))), key="product"),
        ),
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fulcrum" / "lab"
