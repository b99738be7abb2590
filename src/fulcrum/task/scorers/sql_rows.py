"""The answer is right if its query returns the rows of the target query."""

import math
import re
import sqlite3
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, PrivateAttr

from fulcrum.errors import TaskError
from fulcrum.hashing import content_hash, file_hash
from fulcrum.task.example import Example
from fulcrum.task.files import missing_file
from fulcrum.task.sandbox import QueryError, Rows, Sandbox, Value
from fulcrum.task.score import Score, right, unparsable, wrong
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_error

_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\r?\n(?P<body>.*?)(?:```|\Z)", re.DOTALL)
_STATEMENT = re.compile(
    r"""
    ^ (?:[^\n:]{0,80}:)? [ \t>*`]*
    (?P<start>
        select(?![\w-]) | values\s*\( | (?:pragma|attach|detach|explain|vacuum)\b
      | with\s+(?:recursive\s+)?\S+?\s*(?:\([^)]*\)\s*)?as\b
      | (?:insert\s+(?:or\s+\w+\s+)?|replace\s+)into\b | update\s+\S+\s+set\b | delete\s+from\b
      | (?:create|drop|alter)\s+(?:\w+\s+)?(?:table|view|index|trigger)\b
    )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
# What cannot hold a keyword of the query: texts, quoted names, comments. Then brackets and the words themselves.
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)"
    r"|(?P<open>\()|(?P<close>\))|(?P<order>\border\s+by\b)",
    re.IGNORECASE | re.DOTALL,
)


class SqlRowsScorer(ConfiguredScorer):
    """Runs the query of the answer and that of the target, read-only, and compares their rows.

    The query is the last fenced block that holds one (the last of all, if none does), or what follows the first SQL
    keyword that begins a line, up to its `;` or a blank line. Rows are compared as a multiset, in order only if the
    target query has an ORDER BY of its own; columns are compared by place, whatever their names.

    Attributes:
        database: SQLite file; in a task file relative to that file.
        timeout: seconds that a query may take.
        row_limit: rows that a query may return.
        tolerance: relative distance at which two decimals are the same (absolute below 1).
    """

    kind = "sql_rows"
    database: Path
    timeout: PositiveFloat = 2.0
    row_limit: PositiveInt = 10_000
    tolerance: NonNegativeFloat = 1e-6
    _gold_rows: dict[str, Rows] = PrivateAttr(default_factory=dict[str, Rows])

    def located(self, folder: Path) -> Self:
        """Return the scorer with the database relative to `folder`."""
        located = self.model_copy(update={"database": folder / self.database})
        if not located.database.is_file():
            raise missing_file(located.database)
        return located

    def score(self, example: Example, text: str) -> Score:
        """Return right, wrong with the reason, or unparsable if there is no SQL in the answer."""
        target = self._target(example)
        expected = self._run_gold(example, target)
        query = extract_sql(text)
        if query is None:
            return unparsable("no SQL found")
        try:
            given = self._sandbox.rows(query)
        except QueryError as error:
            return wrong(f"the query failed: {error}", ran=False)
        if len(given) != len(expected):
            return wrong(f"{len(given)} rows, expected {len(expected)}", ran=True)
        if given and len(given[0]) != len(expected[0]):
            return wrong(f"{len(given[0])} columns, expected {len(expected[0])}", ran=True)
        ordered = has_outer_order(target)
        if not ordered:
            given, expected = sorted(given, key=_sort_key), sorted(expected, key=_sort_key)
        for row, wanted in zip(given, expected, strict=True):
            if not all(map(self._same, row, wanted)):
                return wrong(f"row {row!r:.200}, expected {wanted!r:.200}", ran=True)
        return right(ran=True)

    def gold(self, example: Example) -> str:
        """Return the target query, fenced if it could not be told from the text around it."""
        target = self._target(example)
        return target if extract_sql(target) == _trimmed(target) else f"```sql\n{target}\n```"

    def answer_key(self, text: str) -> str | None:
        """Return a hash of the rows, whatever their order, None if there is no query or it fails."""
        query = extract_sql(text)
        if query is None:
            return None
        try:
            rows = self._sandbox.rows(query)
        except QueryError:
            return None
        return content_hash([[_canonical(value) for value in row] for row in sorted(rows, key=_sort_key)])

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings, with the database's content in place of its path."""
        return super().fingerprint() | {"database": self._database_hash}

    @cached_property
    def _database_hash(self) -> str:
        self._check_database()
        return file_hash(self.database)

    @cached_property
    def _sandbox(self) -> Sandbox:
        self._check_database()
        return Sandbox(self.database, self.timeout, self.row_limit)

    def _check_database(self) -> None:
        if not self.database.is_file():
            raise missing_file(self.database)

    def _target(self, example: Example) -> str:
        if not isinstance(example.target, str) or not example.target.strip():
            raise target_error(example, "a query")
        return example.target.strip()

    def _run_gold(self, example: Example, target: str) -> Rows:
        if target not in self._gold_rows:
            try:
                self._gold_rows[target] = self._sandbox.rows(target)
            except QueryError as error:
                where = example.source or example.id
                raise TaskError(f"{where}: the target query fails on {self.database}: {error}") from error
        return self._gold_rows[target]

    def _same(self, given: Value, expected: Value) -> bool:
        if isinstance(given, float | int) and isinstance(expected, float | int):
            if isinstance(given, int) and isinstance(expected, int):
                return given == expected
            return math.isclose(given, expected, rel_tol=self.tolerance, abs_tol=self.tolerance)
        return type(given) is type(expected) and given == expected


def extract_sql(text: str) -> str | None:
    """Return the SQL in an answer without its last `;`, None if there is none.

    What follows the first complete statement is left out if it is prose, and kept if it is SQL, so that the second
    statement is seen and refused.
    """
    fences = [body for fence in _FENCE.finditer(text) if (body := fence["body"].strip())]
    if fences:
        # A block behind the query may show its rows.
        return _trimmed(next(filter(_STATEMENT.search, reversed(fences)), fences[-1])) or None
    start = _STATEMENT.search(text)
    if start is None:
        return None
    candidate = re.split(r"\n\s*\n", text[start.start("start") :], maxsplit=1)[0].strip().strip("`")
    for semicolon in re.finditer(";", candidate):
        statement, rest = candidate[: semicolon.end()], candidate[semicolon.end() :]
        if sqlite3.complete_statement(statement) and not _STATEMENT.match(rest.strip()):
            return _trimmed(statement)
    return _trimmed(candidate)


def _trimmed(query: str) -> str:
    return query.strip().rstrip("; \n\t")


def has_outer_order(query: str) -> bool:
    """Return whether a query orders its result: an ORDER BY outside all brackets, texts and comments."""
    depth = 0
    for token in _TOKEN.finditer(query):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["order"] and depth == 0:
            return True
    return False


def _sort_key(row: tuple[Value, ...]) -> tuple[list[tuple[str, str]], list[float], list[float]]:
    """Return a key under which rows that are the same but for rounding stand in the same order.

    First comes all but the numbers, of which only the places count, then numbers without the digits that rounding
    can change, then all their digits.
    """
    numbers = [float(value) for value in row if isinstance(value, int | float)]
    others = [
        ("number", "") if isinstance(value, int | float) else (type(value).__name__, repr(value)) for value in row
    ]
    return others, [float(f"{number:.9g}") for number in numbers], numbers


def _canonical(value: Value) -> str | int | None:
    if isinstance(value, float):
        return int(value) if value.is_integer() else f"{value:.9g}"
    return value.hex() if isinstance(value, bytes) else value
