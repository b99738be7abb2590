"""The call store: every answer paid for, under the hash of all that could change it."""

import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fulcrum.calls.claims import Claims
from fulcrum.chat import ChatModel, Completion, Request
from fulcrum.errors import StoreError
from fulcrum.hashing import content_hash

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x46554C43  # "FULC": tells a call store from any other SQLite file
_LOOK_UP_AT_ONCE = 500

_SCHEMA = """
CREATE TABLE calls (
    key BLOB PRIMARY KEY,
    created REAL NOT NULL,
    role TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    failure TEXT,
    request BLOB NOT NULL,
    completion BLOB NOT NULL
);
CREATE TABLE failures (
    created REAL NOT NULL,
    role TEXT NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
"""

_PRESET = (
    b'{"finish_reason":"stop","model":"","seconds":0.0,"text":"","usage":[1,1]}'
    b'{"identity":{"endpoint":"http://","model":""},"name":"","request":{"messages":[{"content":"","role":"system"},'
    b'{"content":"","role":"user"},{"content":"","role":"assistant"}],"sample":0,'
    b'"sampling":{"max_tokens":256,"seed":0,"temperature":0.0,"top_p":1.0}}}'
)
"""Text that most records share: with it a short call needs a fraction of the space."""


@dataclass(frozen=True, slots=True)
class Call:
    """One stored call.

    Attributes:
        key: hex digits of the content hash.
        created: seconds since 1970.
        role: role of the model that paid for it first.
        model: name of the model as the recipe wrote it.
        request: identity and request, all that the key was made from.
        completion: the answer.
    """

    key: str
    created: float
    role: str
    model: str
    request: dict[str, Any]
    completion: Completion


@dataclass(frozen=True, slots=True)
class Paid:
    """Totals of the stored calls of one role and model; `uncounted` ones came without their tokens."""

    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    unusable: int
    uncounted: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Failed calls of one role, model and kind.

    Attributes:
        role: of the model.
        model: its name.
        kind: of the failure.
        calls: how many.
        detail: what was said most often; empty where an answer stands stored.
    """

    role: str
    model: str
    kind: str
    calls: int
    detail: str


def call_key(identity: dict[str, str], request: Request) -> str:
    """Return the content hash of everything that can change an answer: 32 hex digits."""
    return content_hash({"schema": SCHEMA_VERSION, "identity": identity, "request": request.to_json()}, length=32)


class CallStore:
    """Content-addressed record of calls in one SQLite file (WAL); several processes may use it at once.

    Args:
        path: the file; made if it does not exist.
        read_only: open an existing store and never write.

    Attributes:
        path: the file.
        claims: the calls that threads of this process are making now.

    Raises:
        StoreError: the file is damaged, is not a call store, or has another schema version.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.claims = Claims()
        self._lock = threading.Lock()
        try:
            self._connection = self._open(path, read_only)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path}: not a readable call store: {error}") from error

    def _open(self, path: Path, read_only: bool) -> sqlite3.Connection:
        if read_only and not path.is_file():
            raise StoreError(f"{path}: no such call store")
        mode = "ro" if read_only else "rwc"
        address = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, timeout=60.0, check_same_thread=False, isolation_level=None)
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._create(connection)
        application, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application != _APPLICATION_ID:
            raise StoreError(f"{path}: is an SQLite file, but not a call store")
        if version != SCHEMA_VERSION:
            raise StoreError(f"{path}: has schema {version}, this version reads {SCHEMA_VERSION}; use another file")
        return connection

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if empty:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __len__(self) -> int:
        return self._read("SELECT count(*) FROM calls")[0][0]

    def get(self, key: str) -> Completion | None:
        """Return the stored answer under a key, marked `from_store`, or None."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Return the stored answers of those keys that have one."""
        found: dict[str, Completion] = {}
        for start in range(0, len(keys), _LOOK_UP_AT_ONCE):
            some = [bytes.fromhex(key) for key in keys[start : start + _LOOK_UP_AT_ONCE]]
            marks = ",".join("?" * len(some))
            for key, blob in self._read(f"SELECT key, completion FROM calls WHERE key IN ({marks})", some):
                found[key.hex()] = replace(Completion.from_json(_unpack(blob)), from_store=True)
        return found

    def put(
        self, model: ChatModel, role: str, finished: Sequence[tuple[str, Request, Completion]]
    ) -> dict[str, Completion]:
        """Keep answers that finished together, in one transaction.

        Answers that were paid for are kept; other failures are noted for the statistics only. If another
        process has stored a key meanwhile, its answer stands.

        Args:
            model: who answered.
            role: for whom.
            finished: key, request and completion of each call.

        Returns:
            The answer that stands for each key.
        """
        now = time.time()
        calls: list[tuple[Any, ...]] = []
        failures: list[tuple[Any, ...]] = []
        for key, request, completion in finished:
            failure = completion.failure
            if failure is not None and not failure.paid:
                # Half a surrogate pair, as a broken reply may hold it, is no text to SQLite.
                detail = failure.detail[:500].encode("utf-8", "backslashreplace").decode("utf-8")
                failures.append((now, role, model.name, failure.kind, detail))
                continue
            record = {"identity": model.identity(request), "request": request.to_json()}
            calls.append(
                (
                    bytes.fromhex(key),
                    now,
                    role,
                    model.name,
                    completion.usage.prompt_tokens,
                    completion.usage.completion_tokens,
                    completion.seconds,
                    failure.kind if failure else None,
                    _pack(record),
                    _pack(completion.to_json()),
                )
            )
        with self._lock, self._named_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            before = self._connection.total_changes
            self._connection.executemany("INSERT OR IGNORE INTO calls VALUES (?,?,?,?,?,?,?,?,?,?)", calls)
            all_new = self._connection.total_changes - before == len(calls)
            self._connection.executemany("INSERT INTO failures VALUES (?,?,?,?,?)", failures)
            self._connection.execute("COMMIT")
        standing = {key: completion for key, _, completion in finished}
        if not all_new:
            stored = self.get_many([key for key, _, _ in finished])
            standing |= {key: replace(answer, from_store=False) for key, answer in stored.items()}
        return standing

    def calls(self, *, role: str | None = None, prefix: str = "") -> Iterator[Call]:
        """Yield stored calls in the order in which they were made, of one role, or with a key prefix."""
        query = "SELECT key, created, role, model, request, completion FROM calls"
        query += " WHERE (?1 IS NULL OR role = ?1) AND lower(hex(key)) LIKE ?2 || '%' ORDER BY created, key"
        with self._named_errors(), closing(self._connection.execute(query, (role, prefix.lower()))) as rows:
            for key, created, of_role, model, request, completion in rows:
                answer = Completion.from_json(_unpack(completion))
                yield Call(key.hex(), created, of_role, model, _unpack(request), answer)

    def paid(self) -> list[Paid]:
        """Return what has been paid for, by role and model."""
        rows = self._read(
            "SELECT role, model, count(*), sum(prompt_tokens), sum(completion_tokens), sum(seconds), count(failure),"
            " sum(prompt_tokens + completion_tokens = 0) FROM calls GROUP BY role, model ORDER BY role, model"
        )
        return [Paid(*row) for row in rows]

    def ended(self, role: str, models: Collection[str]) -> list[float]:
        """Return when each stored call of these models in a role was answered, in seconds since 1970, in order."""
        rows = self._read("SELECT created, model FROM calls WHERE role = ? ORDER BY created", (role,))
        return [created for created, model in rows if model in models]

    def last_end(self, before: float) -> float:
        """Return when the last call before a time ended, answered or not; 0 if there was none."""
        rows = self._read(
            "SELECT max(created) FROM (SELECT created FROM calls UNION ALL SELECT created FROM failures)"
            " WHERE created < ?",
            (before,),
        )
        return rows[0][0] or 0.0

    def failed_calls(self) -> int:
        """Return how many calls failed and left no answer."""
        return self._read("SELECT count(*) FROM failures")[0][0]

    def failures(self) -> list[Failed]:
        """Return all failed calls by role, model and kind, stored answers that are unusable included."""
        rows = self._read(
            "SELECT role, model, kind, sum(n), detail, max(n) FROM (SELECT role, model, kind, detail, count(*) AS n"
            " FROM failures GROUP BY role, model, kind, detail UNION ALL SELECT role, model, failure, '', count(*)"
            " FROM calls WHERE failure IS NOT NULL GROUP BY role, model, failure)"
            " GROUP BY role, model, kind ORDER BY role, model, kind"
        )  # beside max() SQLite gives the other columns of that row
        return [Failed(*row[:5]) for row in rows]

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self._named_errors():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _named_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path}: {error}; free the disk, or restore the file from a copy") from error


def _pack(data: dict[str, Any]) -> bytes:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    compressor = zlib.compressobj(level=6, zdict=_PRESET)
    return compressor.compress(text.encode("utf-8", "surrogatepass")) + compressor.flush()


def _unpack(blob: bytes) -> dict[str, Any]:
    data = zlib.decompressobj(zdict=_PRESET).decompress(blob)
    return json.loads(data.decode("utf-8", "surrogatepass"))
