"""Questions about a world, in English with house words, and the SQL that answers them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fulcrum.lab.world import MEASURE_KIND, MEASURES, Meaning, Measure, Schema, Table, Term, World

Shape = Literal["count", "measure", "each", "most"]
"""`count` rows, one `measure`, a count for `each` value of a column, the value with the `most` rows."""

SHAPES: tuple[Shape, ...] = ("count", "measure", "each", "most")


@dataclass(frozen=True)
class Mention:
    """A meaning as a question names it: by a house word, or in plain words."""

    meaning: Meaning
    term: Term | None = None

    @property
    def words(self) -> str:
        """What the question says."""
        return self.term.phrase if self.term else self.meaning.plain()


@dataclass(frozen=True)
class Query:
    """A question and its answer in one: what is asked of which rows of which table.

    Attributes:
        table: the table whose rows are asked about.
        shape: what is asked of them.
        conditions: which rows, in the order of the question; columns of at most one other table.
        measure: the figure asked for, if the shape is `measure`.
        group: the column whose values are told apart, if the shape is `each` or `most`.
    """

    table: Table
    shape: Shape
    conditions: tuple[Mention, ...]
    measure: Mention | None = None
    group: str | None = None

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """Everything the question names, in the order of its words."""
        return (self.measure, *self.conditions) if self.measure else self.conditions

    @property
    def terms(self) -> tuple[Term, ...]:
        """The house words in the question."""
        return tuple(mention.term for mention in self.mentions if mention.term)

    def english(self, schema: Schema) -> str:
        """Return the question."""
        rows = " ".join([self.table.name, *(_phrase(schema, mention) for mention in self.conditions)])
        match self.shape:
            case "measure":
                assert self.measure is not None
                return f"what is the {self.measure.words} of {rows}?"
            case "each":
                return f"for each {self.group}, how many {rows}?"
            case "most":
                return f"which {self.group} has the most {rows}?"
            case _:
                return f"how many {rows}?"

    def sql(self, schema: Schema) -> str:
        """Return the SQL that answers the question."""
        source = self.table.name
        for other in schema.things:
            if other != self.table and any(schema.table_of(column) == other for column in self._columns()):
                source += f" join {other.name} on {other.key} = {other.name}.id"
        where = " and ".join(mention.meaning.sql() for mention in self.conditions)
        rows = f"from {source} where {where}"
        match self.shape:
            case "measure":
                assert self.measure is not None
                return f"select {self.measure.meaning.sql()} {rows}"
            case "each":
                return f"select {self.group}, count(*) {rows} group by {self.group}"
            case "most":
                return f"select {self.group} {rows} group by {self.group} order by count(*) desc limit 1"
            case _:
                return f"select count(*) {rows}"

    def read(self, meanings: Mapping[Term, Meaning]) -> "Query":
        """Return the question in plain words, with each house word read as `meanings` says."""

        def plain(mention: Mention) -> Mention:
            return Mention(meanings[mention.term]) if mention.term else mention

        return replace(
            self,
            conditions=tuple(plain(mention) for mention in self.conditions),
            measure=plain(self.measure) if self.measure else None,
        )

    def _columns(self) -> list[str]:
        columns = [mention.meaning.column for mention in self.conditions]
        return [*columns, self.group] if self.group else columns


def _phrase(schema: Schema, mention: Mention) -> str:
    return schema.column(mention.meaning.column).phrase.format(mention.words)


def sample_query(rng: random.Random, world: World, terms: Sequence[Term]) -> Query:
    """Return a random query that uses exactly the house words in `terms` (none, one or two that fit together).

    Terms fit if they speak of different columns and need at most one table beside the events; see `fits`.
    """
    schema = world.schema
    measure = next((Mention(term.meaning, term) for term in terms if term.kind == MEASURE_KIND), None)
    conditions = [Mention(term.meaning, term) for term in terms if term.kind != MEASURE_KIND]
    others = {schema.table_of(mention.meaning.column) for mention in conditions} - {schema.events}
    shape: Shape = "measure" if measure else rng.choices(SHAPES, (4, 2, 1, 1))[0]
    alone = shape == "count" and len(others) == 1 and len(conditions) == len(terms) and rng.random() < 0.2
    if alone and all(schema.table_of(mention.meaning.column) in others for mention in conditions):
        table, reach = others.pop(), ()
        columns = [column.name for column in table.columns]
    else:
        table = schema.events
        reach = others or {rng.choice(schema.things)}
        columns = [column.name for home in (table, *reach) for column in home.columns]
    if shape == "measure" and measure is None:
        numbers = [column.name for column in schema.events.columns if column.cutoffs]
        measure = Mention(Measure(rng.choice(list(MEASURES.values())), rng.choice(numbers)))
    used = {mention.meaning.column for mention in (*conditions, *([measure] if measure else ()))}
    free = [name for name in columns if name not in used]
    rng.shuffle(free)
    group = next((name for name in free if schema.column(name).values), None) if shape in ("each", "most") else None
    free = [name for name in free if name != group]
    wanted = max(1, rng.choices((1, 2, 3), (4, 5, 2))[0] - len(terms)) if not conditions else rng.choice((0, 0, 1))
    for name in free[: min(wanted, 3 - len(conditions))]:
        conditions.append(Mention(rng.choice(schema.column(name).conditions())))
    rng.shuffle(conditions)
    if group is None and shape in ("each", "most"):
        shape = "count"
    return Query(table, shape, tuple(conditions), measure if shape == "measure" else None, group)


def fits(schema: Schema, terms: Sequence[Term]) -> bool:
    """Return whether one question can use all the terms."""
    columns = [term.meaning.column for term in terms]
    homes = {schema.table_of(term.kind) for term in terms if term.kind != MEASURE_KIND} - {schema.events}
    kinds = {term.kind for term in terms}
    return len(set(columns)) == len(columns) and len(kinds) == len(terms) and len(homes) <= 1
