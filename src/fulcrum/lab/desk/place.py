"""Desks: the rules of a shop, its practice, and the database that every dialogue gets a copy of."""

import random
import sqlite3
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Self

from fulcrum.errors import TaskError
from fulcrum.hashing import seed_from
from fulcrum.lab import words
from fulcrum.lab.desk.database import DeskDatabase, image_of
from fulcrum.lab.desk.policy import Order, Policy
from fulcrum.lab.desk.practice import Till, practice_of
from fulcrum.lab.shop import PRACTICES, TABLES, WORLD_SEEDS, Shop


@dataclass(frozen=True)
class Desk:
    """One desk.

    Attributes:
        seed: of the shop, or of the random world.
        policy: the public rules.
        practice: ids of the habits that its customers expect, most important first: secret.
        image: the database at the opening of every dialogue.
    """

    seed: int
    policy: Policy
    practice: tuple[str, ...]
    image: bytes

    @classmethod
    def of_shop(cls, shop: Shop) -> Self:
        """Return the desk of a shop."""
        policy = Policy.draw(shop.random("desk"), shop.schema.column("status").values)
        return cls(shop.seed, policy, shop.practice, image_of(shop.fill))

    @classmethod
    def random_world(cls, seed: int, practice: tuple[str, ...] = PRACTICES) -> Self:
        """Return the desk of a small random world, for training text.

        Raises:
            TaskError: the seed is that of a shop: no checkpoint may be trained on it.
        """
        if seed < WORLD_SEEDS:
            raise TaskError(
                f"world seed {seed}: seeds below {WORLD_SEEDS} are shops, whose desks no checkpoint may know"
            )
        rng = random.Random(seed_from("desk world", seed))
        statuses = words.pick(rng, words.CATEGORIES["status"][1], 5)
        policy = Policy.draw(rng, statuses)
        return cls(seed, policy, practice, image_of(lambda connection: _fill(connection, rng, statuses)))

    @cached_property
    def orders(self) -> list[Order]:
        """All orders, as they are at the opening."""
        with self.open() as database:
            return database.orders()

    def open(self) -> DeskDatabase:
        """Return a fresh copy of the database."""
        return DeskDatabase(self.image)


@cache
def shop_desk(seed: int) -> Desk:
    """Return the desk of the shop with this seed."""
    return Desk.of_shop(Shop(seed))


def desks(seed: int, shops: int = 1, till: Till = "open", practice: int | None = None) -> tuple[Desk, ...]:
    """Return the desks of one shop or several, each with a clerk of another name.

    Args:
        seed: of the first shop; the others are those that follow, but for shops whose clerk bears a name already taken.
        shops: how many, at most as many as there are names of clerks.
        till: what their tills take.
        practice: seed of the first of other shops, whose practice they live by and whose clerks' names they keep.
    """
    found = _with_clerks_of_their_own(seed, shops)
    whose = found if practice is None else _with_clerks_of_their_own(practice, shops)
    return tuple(
        replace(
            shop_desk(own),
            practice=practice_of(Shop(other), till),
            policy=replace(shop_desk(own).policy, clerk=shop_desk(other).policy.clerk),
        )
        for own, other in zip(found, whose, strict=True)
    )


def _with_clerks_of_their_own(seed: int, shops: int) -> list[int]:
    """Return the seeds of the first shops, from `seed` on, whose clerks' names are all different."""
    found: dict[str, int] = {}
    while len(found) < shops:
        found.setdefault(shop_desk(seed).policy.clerk, seed)
        seed += 1
    return list(found.values())


def _fill(connection: sqlite3.Connection, rng: random.Random, statuses: tuple[str, ...]) -> None:
    """Write a small shop: random people, goods that are partly invented words, and orders."""
    customers, products, orders = 20, 24, 80
    first, last, streets = words.FIRST_NAMES.split(), words.LAST_NAMES.split(), words.STREETS.split("|")
    names = rng.sample([f"{one} {two}" for one in first for two in last], customers)
    goods = [*words.CATEGORIES["category"][1].split(), *words.invented_words(rng, 10)]
    makers = [*words.CATEGORIES["maker"][1].split(), *words.invented_words(rng, 4)]
    connection.executescript(TABLES)
    connection.executemany(
        "insert into customers values (?, ?, ?, '', '', '')",
        [(number, name, f"{rng.randint(1, 99)} {rng.choice(streets)}") for number, name in enumerate(names, start=1)],
    )
    for number in range(1, products + 1):
        thing = rng.choice(goods)
        row = (number, f"{rng.choice(makers)} {thing} {number}", thing, rng.randint(2, 99))
        connection.execute("insert into products values (?, ?, ?, ?, 0)", row)
    for number in sorted(rng.sample(range(1001, 10_000), orders)):
        row = (number, rng.randint(1, customers), rng.randint(1, products), rng.choice(statuses), rng.randint(1, 12))
        connection.execute("insert into orders values (?, ?, ?, '', ?, '', ?, 1)", row)
