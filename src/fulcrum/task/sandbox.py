"""Runs a query that nobody vouches for: read-only, within limits of time, rows and memory."""

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fulcrum.errors import TaskError

Value = None | int | float | str | bytes
Rows = list[tuple[Value, ...]]

_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE},
)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
_FAULTS_OF_THE_DATABASE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOTADB,
    }
)
_RESULT_BYTES = 32_000_000
_STEPS_BETWEEN_LOOKS = 1_000


class QueryError(Exception):
    """A query did not run to its end; the text says why."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A SQLite database that may be read, and nothing else.

    Each query has a connection of its own, so a sandbox may be used from several threads.

    Attributes:
        database: the file.
        timeout: seconds of computing that one query may take.
        row_limit: rows that one query may return.
    """

    database: Path
    timeout: float
    row_limit: int

    def rows(self, query: str) -> Rows:
        """Run one SELECT and return its rows.

        Raises:
            QueryError: it is not one SELECT, is not valid, or exceeds a limit.
            TaskError: the database itself cannot be read, which is no fault of the query.
        """
        try:
            with self._connection() as connection:
                return self._fetch(connection.execute(query))
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code in _FAULTS_OF_THE_DATABASE:
                raise TaskError(f"{self.database}: cannot be read: {error}") from error
            raise QueryError(_reason(error, code, self.timeout)) from error

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        read_only = f"{self.database.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(read_only, uri=True, timeout=self.timeout, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = ON")
            for limit, value in _LIMITS.items():
                connection.setlimit(limit, value)
            connection.set_authorizer(_authorise)
            # Time of this thread, not of the clock: a busy machine must not make a right query wrong.
            deadline = time.thread_time() + self.timeout
            connection.set_progress_handler(lambda: time.thread_time() > deadline, _STEPS_BETWEEN_LOOKS)
            connection.text_factory = _decode
            yield connection
        finally:
            connection.close()

    def _fetch(self, cursor: sqlite3.Cursor) -> Rows:
        if cursor.description is None:
            raise QueryError("there is no statement to run")
        rows: Rows = []
        size = 0
        for row in cursor:
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if len(rows) == self.row_limit:
                raise QueryError(f"more than {self.row_limit} rows")
            if size > _RESULT_BYTES:
                raise QueryError(f"the result is larger than {_RESULT_BYTES // 1_000_000} MB")
            rows.append(row)
        return rows


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _authorise(action: int, _first: str | None, second: str | None, *_: str | None) -> int:
    allowed = action in _ALLOWED and not (action == sqlite3.SQLITE_FUNCTION and second == "load_extension")
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _reason(error: Exception, code: int, timeout: float) -> str:
    if code == sqlite3.SQLITE_INTERRUPT:
        return f"the query ran longer than {timeout:g} s"
    if code == sqlite3.SQLITE_AUTH or "not authorized" in str(error):
        return f"only reading is allowed: {error}"
    if "one statement at a time" in str(error):
        return "more than one statement"
    return str(error)
