"""Rows of data files: JSONL, CSV and Parquet in, JSONL out; every row knows the line it came from.

Also the conversations that a row may hold.
"""

import csv
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn, TypeVar, cast, get_args

from fulcrum.chat import Message, Role
from fulcrum.errors import TaskError
from fulcrum.hashing import canonical_json
from fulcrum.lazy import load
from fulcrum.settings import nearest

_READING_CSV = Lock()
_LONGEST_CELL = 2**31 - 1
_NAMED = 10
"""What one message about rows that cannot work names at most."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a data file.

    Attributes:
        values: what stands in each column.
        source: `file:line`, for messages to people (for Parquet the number of the row, from 1).
    """

    values: Mapping[str, Any]
    source: str


def read_rows(path: Path) -> list[Row]:
    """Read a `.jsonl`, `.csv` or `.parquet` file.

    Raises:
        TaskError: the file is missing, of another kind, damaged, or holds no row.
    """
    read = _READERS.get(path.suffix)
    if read is None:
        raise TaskError(f"{path}: cannot read {path.suffix or 'a file without suffix'}; use {', '.join(_READERS)}")
    if not path.is_file():
        raise missing_file(path)
    rows = list(read(path))
    if not rows:
        raise TaskError(f"{path}: holds no rows")
    return rows


def made_of(rows: Sequence[Row], make: Callable[[Row], Made]) -> list[Made]:
    """Return what is made of each row.

    Raises:
        TaskError: some rows cannot work; the text holds one line for each reason, up to ten, and names rows.
    """
    made: list[Made] = []
    troubled: dict[str, list[Row]] = {}
    for row in rows:
        try:
            made.append(make(row))
        except TaskError as error:
            troubled.setdefault(str(error).removeprefix(f"{row.source}: "), []).append(row)
    if troubled:
        said = [f"{first.source}: {why}{_also_in(others)}" for why, (first, *others) in troubled.items()]
        if (more := len(said) - _NAMED) > 0:
            said[_NAMED:] = [f"reasons left out here: {more}"]
        raise TaskError("\n".join(said))
    return made


def read_messages(data: Any) -> tuple[Message, ...]:
    """Return a conversation in the OpenAI form; the parts of a content are joined, each on a line of its own.

    Raises:
        ValueError: it is no list of messages, or holds a role that is none or content that is no text.
    """
    if not isinstance(data, list):
        raise ValueError(f"messages are a list [...], not {type(data).__name__}")
    return tuple(_message(message) for message in cast(list[Any], data))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSONL, in UTF-8 with letters unescaped.

    Raises:
        TypeError: a row holds something that JSON has no form for.
        ValueError: a row holds NaN or an infinity.
    """
    with path.open("wb") as file:
        for row in rows:
            line = json.dumps(dict(row), ensure_ascii=False, allow_nan=False)
            # A lone surrogate has no UTF-8 form; as a backslash escape it is JSON again, and reads back the same.
            file.write(line.encode("utf-8", "backslashreplace") + b"\n")


def _also_in(rows: Sequence[Row]) -> str:
    """Return in words where the same is so too."""
    numbers = [row.source.rpartition(":")[2] for row in rows]
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f" (also in {', '.join(numbers[:_NAMED])}{more})" if numbers else ""


def missing_file(path: Path) -> TaskError:
    """Return the error for a file that is not there, with the nearest name in the folder that is."""
    missing, said = path, "no such file"
    while not missing.parent.is_dir():
        missing = missing.parent
        said = f"no such file: there is no folder {missing}"
    return TaskError(f"{path}: {said}{nearest(missing.name, sorted(file.name for file in missing.parent.iterdir()))}")


def read_jsonl(path: Path) -> Iterator[Row]:
    """Read a JSONL file, whatever its suffix.

    Raises:
        TaskError: a line is no JSON object; the text names `file:line`.
        OSError: the file cannot be read.
    """
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        source = f"{path}:{number}"
        try:
            values = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise TaskError(f"{source}: not JSON: {error.msg} (column {error.colno})") from error
        except (ValueError, RecursionError) as error:
            raise TaskError(f"{source}: not JSON that can be used: {error}") from error
        if not isinstance(values, dict):
            raise TaskError(f"{source}: a row is an object {{...}}, not {type(values).__name__}")
        yield Row(cast(dict[str, Any], values), source)


def _message(data: Any) -> Message:
    if not isinstance(data, dict):
        raise ValueError(f"a message is an object {{...}}, not {type(data).__name__}")
    known = cast(dict[str, Any], data)
    role, content, roles = known.get("role"), known.get("content"), get_args(Role)
    if role not in roles:
        raise ValueError(f"role {role!r} is none of {', '.join(roles)}")
    if isinstance(content, list):
        content = "\n".join(_text(part) for part in cast(list[Any], content))
    if not isinstance(content, str | None):
        raise ValueError(f"content is a text or a list of text parts, not {type(content).__name__}")
    try:
        return Message.from_json({**known, "content": content})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a tool call is not as the OpenAI protocol writes it: {error!r}") from error


def _text(part: Any) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case _:
            raise ValueError(f'a part of a content is {{"type": "text", "text": ...}}, not {part!r:.80}')


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write null or a number")


@contextmanager
def _cells_of_any_length() -> Generator[None]:
    """Lift the limit of 128 KiB a cell, which the csv module has for the whole process, and put it back."""
    with _READING_CSV:
        before = csv.field_size_limit(_LONGEST_CELL)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file, _cells_of_any_length():
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                return
            if len(set(header)) < len(header) or not all(name.strip() for name in header):
                raise TaskError(f"{path}:1: column names are blank or stand twice: {', '.join(header)}")
            line = reader.line_num + 1
            for cells in reader:
                source, line = f"{path}:{line}", reader.line_num + 1
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise TaskError(f"{source}: {len(cells)} cells, but the header names {len(header)} columns")
                yield Row(dict(zip(header, cells, strict=True)), source)
        except (csv.Error, UnicodeDecodeError) as error:
            raise TaskError(f"{path}:{reader.line_num}: not CSV in UTF-8: {error}") from error


def _read_parquet(path: Path) -> Iterator[Row]:
    read_table = load("pyarrow.parquet:read_table")
    try:
        table = read_table(path)
    except (load("pyarrow:ArrowException"), OSError) as error:
        raise TaskError(f"{path}: not a Parquet file: {error}") from error
    for number, values in enumerate(table.to_pylist(), start=1):
        source = f"{path}:{number}"
        for column, value in values.items():
            try:
                canonical_json(value)
            except (TypeError, ValueError) as error:
                raise TaskError(
                    f"{source}: column {column!r} has no form in JSON ({error}); store it as text"
                ) from error
        yield Row(values, source)


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
