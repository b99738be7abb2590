"""What the shop and every training world have in common: three tables, and house words that mean something.

A world has a table of events (orders) and two of things (customers, products). Its jargon gives second names to
conditions (`slow boats` may mean `carrier = 'van'`) and to measures (`silver kettle` may mean `avg(days)`). The
place of a term in a question shows what kind of meaning it has ("sent by ..." is a carrier), and a kind has four
to seven possible meanings, all visible in the schema: a guess is right often enough to learn from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

MEASURES = {"total": "sum", "average": "avg"}
"""Plain word of a measure, and the SQL function it stands for."""


@dataclass(frozen=True)
class Column:
    """A column of words (`values`) or of numbers (`cutoffs`, the limits that people ask about)."""

    name: str
    phrase: str
    values: tuple[str, ...] = ()
    cutoffs: tuple[int, ...] = ()

    def describe(self, table: str) -> str:
        """Return the column as the schema of a prompt shows it, such as `carrier of orders van|bike`."""
        return f"{self.name} of {table} {'|'.join(self.values or map(str, self.cutoffs))}"

    def conditions(self) -> "list[Condition]":
        """Return every condition that a question can put on this column."""
        if self.values:
            return [Condition(self.name, "=", value) for value in self.values]
        return [Condition(self.name, sign, cutoff) for sign in "><" for cutoff in self.cutoffs]


@dataclass(frozen=True)
class Table:
    """A table; `key` is the column of the event table that points to it."""

    name: str
    columns: tuple[Column, ...]
    key: str = ""


@dataclass(frozen=True)
class Condition:
    """`column operator value`, such as `carrier = 'van'` or `days > 6`."""

    column: str
    operator: str
    value: str | int

    def sql(self) -> str:
        """Return the condition as SQL."""
        value = f"'{self.value}'" if isinstance(self.value, str) else str(self.value)
        return f"{self.column} {self.operator} {value}"

    def plain(self) -> str:
        """Return the value in plain words, to stand in the column's phrase."""
        return {"=": "{}", ">": "over {}", "<": "under {}"}[self.operator].format(self.value)


@dataclass(frozen=True)
class Measure:
    """A figure over rows, such as `avg(days)`."""

    function: str
    column: str

    def sql(self) -> str:
        """Return the measure as SQL."""
        return f"{self.function}({self.column})"

    def plain(self) -> str:
        """Return the measure in plain words."""
        word = next(word for word, function in MEASURES.items() if function == self.function)
        return f"{word} {self.column}"


Meaning = Condition | Measure
MEASURE_KIND = "measure"


@dataclass(frozen=True)
class Term:
    """A house word and its meaning. `kind` is the column it speaks of, or `measure`."""

    phrase: str
    kind: str
    meaning: Meaning


@dataclass(frozen=True)
class Schema:
    """The event table and the two tables it points to. Column names are unique in a schema."""

    events: Table
    things: tuple[Table, Table]

    @property
    def tables(self) -> tuple[Table, Table, Table]:
        """All tables, events first."""
        return (self.events, *self.things)

    @cached_property
    def _homes(self) -> dict[str, tuple[Table, Column]]:
        return {column.name: (table, column) for table in self.tables for column in table.columns}

    def table_of(self, column: str) -> Table:
        """Return the table that has a column."""
        return self._homes[column][0]

    def column(self, name: str) -> Column:
        """Return a column by its name."""
        return self._homes[name][1]

    def describe(self) -> str:
        """Return the schema as prompts show it: one line a table, with keys, columns, and their usual values.

        Behind every column stands its table: so small a model finds what follows a word, not what heads its line.
        """
        keys = [f"{table.key} of {self.events.name}" for table in self.things]
        columns = [[column.describe(table.name) for column in table.columns] for table in self.tables]
        return "\n".join(", ".join(line) for line in ([*keys, *columns[0]], *columns[1:]))

    def meanings(self, kind: str) -> Sequence[Meaning]:
        """Return every meaning that a term of a kind can have: four to eight of them."""
        if kind != MEASURE_KIND:
            return self.column(kind).conditions()
        numbers = [column.name for column in self.events.columns if column.cutoffs]
        return [Measure(function, name) for name in numbers for function in MEASURES.values()]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of term: all columns, and `measure`."""
        return (*self._homes, MEASURE_KIND)


@dataclass(frozen=True)
class World:
    """A schema and the house words used about it."""

    schema: Schema
    terms: tuple[Term, ...]
