"""The log of served requests: a line a request, written without delaying any, and read back."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self, cast

from fulcrum.errors import RunError, SettingsError


@dataclass(frozen=True, slots=True)
class LogRow:
    """One chat request.

    Attributes:
        time: when it came, ISO 8601, UTC.
        request: its id, as sent to the client in `x-fulcrum-request`.
        unit: digest of the conversation or user that it belongs to.
        arm: what the unit was drawn for: `help` or `plain`.
        outcome: what became of the help, as sent in `x-fulcrum-outcome`.
        shadow: true if the help was worked out but not sent.
        artifact: digest of the artifact in use.
        model: what the client asked for.
        prompt: hash of the messages as they came, `content_hash(messages)`.
        stream: true if the answer was streamed.
        status: HTTP status of the answer; 499 if the client left before it.
        complete: true if the client got the whole answer.
        seconds: `help`, `first_byte` and `total`, as far as known.
        usage: `prompt_tokens` and `completion_tokens`, as far as the answer told.
        finish_reason: of the first choice.
        added: characters of help.
        facts: how the help was chosen.
        content: `messages` as they came, `help`, and `reply` (the first choice's text), if texts are logged.
    """

    time: str
    request: str
    unit: str
    arm: str
    outcome: str
    shadow: bool
    artifact: str
    model: str
    prompt: str
    stream: bool
    status: int
    complete: bool
    seconds: Mapping[str, float]
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    finish_reason: str | None = None
    added: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    content: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row as a line of the log."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**data)


class LogWriter:
    """Appends rows to a file in a thread of its own: a slow disk delays no request, a full one loses only lines.

    Args:
        path: the file; it may be rotated by copying and truncating.
        lost: told of each line that could not be written.

    Raises:
        SettingsError: the file cannot be opened.
    """

    def __init__(self, path: Path, lost: Callable[[], None]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = _is_torn(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"--log {path}: cannot be opened: {error}; give another file") from error
        if torn:
            self._file.write("\n")
        self._lost = lost
        self._rows: SimpleQueue[LogRow | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="fulcrum-log", daemon=True)
        self._thread.start()

    def write(self, row: LogRow) -> None:
        """Append a row, soon."""
        self._rows.put(row)

    def close(self) -> None:
        """Write what waits and close the file."""
        self._rows.put(None)
        self._thread.join()
        try:
            self._file.close()
        except OSError:
            self._lost()

    def _run(self) -> None:
        while (row := self._rows.get()) is not None:
            try:
                self._file.write(json.dumps(row.to_json(), default=str) + "\n")
                if self._rows.empty():
                    self._file.flush()
            except (OSError, ValueError, RecursionError):
                self._lost()


def read_log(path: Path) -> tuple[list[LogRow], list[str]]:
    """Return the rows of a log, and the places of lines that are none: a kill or a full disk can cut a line.

    Raises:
        RunError: the file cannot be read, or no line of it is a row of a log.
    """
    rows: list[LogRow] = []
    unreadable: list[str] = []
    for place, line in _lines(path):
        try:
            rows.append(LogRow.from_json(json.loads(line)))
        except (ValueError, TypeError):
            unreadable.append(place)
    if unreadable and not rows:
        raise RunError(
            f"{unreadable[0]}: not a row of a log that `fulcrum serve --log` wrote, and nor is any other line"
        )
    return rows, unreadable


def read_outcomes(path: Path) -> dict[str, float]:
    """Return how good each answer was, from JSONL with `request` (the id in `x-fulcrum-request`) and `value` in 0..1.

    Raises:
        RunError: the file cannot be read, a line is something else, or a request has two values.
    """
    values: dict[str, float] = {}
    for place, line in _lines(path):
        try:
            data = cast(dict[str, Any], json.loads(line))
            request, value = str(data["request"]), float(data["value"])
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f'{place}: an outcome is {{"request": ID, "value": 0..1}}, not {line[:80]}') from error
        if not 0 <= value <= 1:
            raise RunError(f"{place}: value {value:g} is not in 0..1")
        if request in values:
            raise RunError(f"{place}: request {request} has an outcome already")
        values[request] = value
    return values


def _is_torn(path: Path) -> bool:
    """Return true if a file ends in the middle of a line."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}:{number}", line
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
