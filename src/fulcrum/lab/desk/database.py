"""The desk's own copy of the shop's database, which a dialogue may change."""

import contextlib
import itertools
import sqlite3
import weakref
from collections.abc import Callable
from typing import Self

from fulcrum.lab.desk.policy import Action, Order

_STATUS_AFTER = {"refund": "refunded", "exchange": "exchanged", "cancel": "cancelled"}
_ORDER = """
select orders.id, customers.name, products.name, price, status, address from orders
join customers on customer = customers.id join products on product = products.id
"""


class DeskDatabase:
    """An SQLite database in memory: the shop's tables, and the cases passed to a colleague.

    Args:
        image: the tables to begin with, as `image_of` made them.
    """

    def __init__(self, image: bytes) -> None:
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.deserialize(image)
        # A dialogue that nobody finishes must not leave its database open.
        self.close = weakref.finalize(self, self._connection.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def orders(self) -> list[Order]:
        """Return all orders."""
        return [Order(*row) for row in self._connection.execute(f"{_ORDER} order by orders.id")]

    def order(self, number: int) -> Order | None:
        """Return one order, None if there is no such number."""
        row = self._connection.execute(f"{_ORDER} where orders.id = ?", (number,)).fetchone()
        return Order(*row) if row else None

    def orders_of(self, name: str, latest: int = 4) -> list[Order]:
        """Return the latest orders of the customer of that name."""
        rows = self._connection.execute(f"{_ORDER} where customers.name = ? order by orders.id desc", (name,))
        return [Order(*row) for row in rows.fetchmany(latest)]

    def change(self, action: Action, number: int, address: str = "") -> int:
        """Do what a customer wants to an order, allowed or not, and return how many days it takes.

        Raises:
            KeyError: there is no such order.
        """
        row = self._connection.execute("select days, customer from orders where id = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        if action == "address":
            self._connection.execute("update customers set address = ? where id = ?", (address, row[1]))
        else:
            self._connection.execute("update orders set status = ? where id = ?", (_STATUS_AFTER[action], number))
        return row[0]

    def escalate(self, number: int) -> None:
        """Pass an order to a colleague; to do so twice is to do it once."""
        self._connection.execute("insert or ignore into cases values (?)", (number,))

    def state(self) -> tuple[tuple[object, ...], ...]:
        """Return everything that a dialogue can change, for comparison."""
        queries = (
            "select id, status from orders order by id",
            "select id, address from customers order by id",
            "select * from cases order by number",
        )
        return tuple(itertools.chain.from_iterable(self._connection.execute(query).fetchall() for query in queries))


def image_of(fill: Callable[[sqlite3.Connection], None]) -> bytes:
    """Return a database image: what `fill` writes into an empty one, and the desk's own empty table of cases."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        fill(connection)
        connection.execute("create table cases (number integer primary key)")
        connection.commit()
        return connection.serialize()
