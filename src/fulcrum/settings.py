"""From TOML and dotted flags to checked settings, with every problem named at once and where it stands."""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from fulcrum.errors import SettingsError

Key = tuple[str, ...]
Checked = TypeVar("Checked", bound=BaseModel)

_BARE_KEY = r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'"
_DOTTED_KEY = re.compile(rf"\s*(?P<key>(?:{_BARE_KEY})(?:\s*\.\s*(?:{_BARE_KEY}))*)\s*=")
_HEADER = re.compile(rf"\s*\[\[?\s*(?P<key>(?:{_BARE_KEY})(?:\s*\.\s*(?:{_BARE_KEY}))*)\s*\]\]?")


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values cannot change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class Document:
    """Settings before they are checked: the data, and where each key was given.

    Attributes:
        data: nested tables as TOML gives them.
        name: what to call the whole in messages (a file name, or "flags").
        origins: `file:line` or `--flag` by key path.
    """

    data: dict[str, Any] = field(default_factory=dict[str, Any])
    name: str = "flags"
    origins: dict[Key, str] = field(default_factory=dict[Key, str])

    def origin(self, key: Key) -> str:
        """Return where `key`, a key below it, or the nearest table around it, was given."""
        for path, origin in self.origins.items():
            if key and key not in self.origins and path[: len(key)] == key:
                return origin
        for length in range(len(key), 0, -1):
            if key[:length] in self.origins:
                return self.origins[key[:length]]
        return self.name

    def table(self, *key: str) -> "Document":
        """Return one table as a document of its own, which still knows where its keys stand."""
        data: Any = self.data
        for part in key:
            data = data.get(part, {})
        origins = {path[len(key) :]: origin for path, origin in self.origins.items() if path[: len(key)] == key}
        return Document(data, self.origin(key), origins)

    def override(self, flags: Mapping[str, str]) -> None:
        """Set keys from dotted flags: `{"settings.rounds": "3"}`; values read as TOML, else as plain text.

        Raises:
            SettingsError: a flag goes below something that is not a table.
        """
        for dotted, text in flags.items():
            *tables, last = dotted.split(".")
            place = self.data
            for part in tables:
                if not isinstance(place.setdefault(part, {}), dict):
                    raise SettingsError(f"--{dotted}: {part!r} is a value, not a table")
                place = place[part]
            place[last] = _toml_value(text)
            self.origins[(*tables, last)] = f"--{dotted}"


def read_document(path: Path) -> Document:
    """Read a TOML file.

    Raises:
        SettingsError: the file is missing, unreadable, or not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        folder = path.parent if path.parent.is_dir() else Path()
        near = nearest(path.name, [file.name for file in folder.glob("*.toml")])
        raise SettingsError(f"{path}: no such file{near}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as text: {error}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else f"{path}:{text.count(chr(10)) + 1}"
        raise SettingsError(f"{where}: not TOML: {error}") from error
    return Document(data, str(path), {key: f"{path}:{line}" for key, line in _key_lines(text).items()})


def read_settings(kind: type[Checked], document: Document) -> Checked:
    """Check a document against a pydantic model.

    Raises:
        SettingsError: one line for each problem: where it stands, what was given, what is allowed, nearest name.
    """
    try:
        return kind.model_validate(document.data)
    except ValidationError as error:
        raise SettingsError("\n".join(sentences(error, document, kind))) from None


def sentences(error: ValidationError, document: Document, kind: type[BaseModel] = Settings) -> list[str]:
    """Return a line for each problem that pydantic found: where it stands, what was given, what is allowed."""
    return list(dict.fromkeys(_sentence(kind, document, problem) for problem in error.errors()))


def nearest(given: str, allowed: Sequence[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest allowed name, or nothing if none is near."""
    near = difflib.get_close_matches(given, allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _sentence(kind: type[BaseModel], document: Document, problem: ErrorDetails) -> str:
    key = tuple(str(part) for part in problem["loc"])
    dotted = ".".join(key)
    where = f"{document.origin(key)}: {dotted}" if dotted else document.name
    given = problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            names = _field_names(kind, key[:-1])
            near = nearest(key[-1], names)
            return f"{where}: no such key{near or '; known here: ' + ', '.join(names)}"
        case "missing":
            return f"{where}: is missing"
        case "literal_error":
            expected = str(problem.get("ctx", {}).get("expected", ""))
            near = nearest(str(given), re.findall(r"'([^']*)'", expected))
            return f"{where}: {_show(given)} is not allowed; allowed: {expected.replace(' or ', ', ')}{near}"
        case "value_error":
            return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
        case _:
            message = problem["msg"][:1].lower() + problem["msg"][1:]
            return f"{where}: {_show(given)} given; {message}"


def _show(value: Any) -> str:
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _field_names(kind: type[BaseModel], path: Key) -> list[str]:
    """Return the keys allowed at `path` inside `kind`."""
    current: type[BaseModel] = kind
    parts = iter(path)
    for part in parts:
        field_info = current.model_fields.get(part)
        annotation = field_info.annotation if field_info else None
        models = [
            option
            for option in (annotation, *get_args(annotation))
            if isinstance(option, type) and issubclass(option, BaseModel)
        ]
        if not models:
            return []
        current = models[0]
        if get_origin(annotation) is dict:
            next(parts, None)  # a name of the user's own, such as that of a model
    return list(current.model_fields)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _key_lines(text: str) -> dict[Key, int]:
    """Return the line of each key and table header; multi-line strings may add keys that nobody asks for."""
    lines: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _split_key(header["key"])
            lines.setdefault(table, number)
        elif assignment := _DOTTED_KEY.match(line):
            lines.setdefault((*table, *_split_key(assignment["key"])), number)
    return lines


def _split_key(dotted: str) -> Key:
    return tuple(part.strip("\"'") for part in re.findall(_BARE_KEY, dotted))
