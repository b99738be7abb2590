"""The answer is right if it holds the target as a JSON value."""

import json
import math
import re
from typing import Any, Literal, NoReturn, cast

from fulcrum.task.example import Example
from fulcrum.task.score import Score, graded, right, unparsable, wrong
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_error

_FENCE = re.compile(r"```[ \t]*(?:json|JSON)?[ \t]*\r?\n(?P<body>.*?)```", re.DOTALL)
_STARTS = re.compile(r"[{\[]")
_MEANT = re.compile(r"\{\s*[\"']|\[\s*[\"'{\[]")
"""How a bracket that is no bracket of prose goes on."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<open>[{\[])|(?P<close>[}\]])', re.DOTALL)
_ATTEMPTS = 500
"""Brackets at which reading is tried before a text is given up: a text of brackets must not cost minutes."""


class JsonScorer(ConfiguredScorer):
    """Compares JSON values.

    The value is the whole text, or the last fenced block that is JSON, or the last object or array in the text. A
    target that is text is read as JSON. `details["valid_json"]` tells validity apart from correctness.

    Attributes:
        match: `equal`, or `subset`: keys that the target does not have are ignored, at every depth.
        graded: give the share of top-level keys that are right, in place of all or nothing.
    """

    kind = "json"
    match: Literal["equal", "subset"] = "equal"
    graded: bool = False

    def score(self, example: Example, text: str) -> Score:
        """Return the worth of the value found; unparsable if there is none."""
        target = self._target(example)
        try:
            value = find_json(text)
        except ValueError:
            return unparsable("no JSON value found", valid_json=False)
        if self._agree(value, target):
            return right(valid_json=True)
        if not isinstance(value, dict) or not isinstance(target, dict):
            return wrong(f"expected {_written(target)}", valid_json=True)
        given, expected = cast(dict[str, Any], value), cast(dict[str, Any], target)
        keys = expected.keys() if self.match == "subset" else expected.keys() | given.keys()
        bad = sorted(
            key for key in keys if key not in given or key not in expected or not self._agree(given[key], expected[key])
        )
        feedback = f"not right: {', '.join(bad)}; expected {_written(expected)}"
        if self.graded:
            return graded(1 - len(bad) / len(keys), feedback, valid_json=True)
        return wrong(feedback, valid_json=True)

    def gold(self, example: Example) -> str:
        """Return the target as JSON."""
        return _written(self._target(example))

    def answer_key(self, text: str) -> str | None:
        """Return the value found, with sorted keys, None if there is none."""
        try:
            return json.dumps(find_json(text), sort_keys=True)
        except (ValueError, RecursionError):
            return None

    def _target(self, example: Example) -> Any:
        if example.target is None:
            raise target_error(example, "a JSON value")
        if not isinstance(example.target, str):
            return example.target
        try:
            return _loads(example.target)
        except ValueError as error:
            raise target_error(example, 'JSON, in which a text stands in quotes, as in "\\"text\\""') from error

    def _agree(self, value: Any, target: Any) -> bool:
        """Compare as JSON does: true is not 1, and 1 is 1.0."""
        if isinstance(value, bool) or isinstance(target, bool):
            return value is target
        if isinstance(value, float) and isinstance(target, float):
            return math.isclose(value, target, rel_tol=1e-9)
        if isinstance(value, int | float) and isinstance(target, int | float):
            return value == target
        if isinstance(value, dict) and isinstance(target, dict):
            given, expected = cast(dict[str, Any], value), cast(dict[str, Any], target)
            same_keys = expected.keys() <= given.keys() if self.match == "subset" else expected.keys() == given.keys()
            return same_keys and all(self._agree(given[key], expected[key]) for key in expected)
        if isinstance(value, list) and isinstance(target, list):
            items, wanted = cast(list[Any], value), cast(list[Any], target)
            return len(items) == len(wanted) and all(map(self._agree, items, wanted))
        return bool(value == target)


def find_json(text: str) -> Any:
    """Return the JSON value in an answer.

    Raises:
        ValueError: there is none.
    """
    for candidate in (text, *reversed([fence["body"] for fence in _FENCE.finditer(text)])):
        try:
            return _loads(candidate)
        except ValueError:
            continue
    found: list[Any] = []
    place = 0
    for _ in range(_ATTEMPTS):
        start = _STARTS.search(text, place)
        if start is None:
            break
        try:
            value, place = _DECODER.raw_decode(text, start.start())
            found.append(value)
        except (ValueError, RecursionError):
            # What stands inside a malformed value is a part of the answer, not the answer.
            malformed = _MEANT.match(text, start.start())
            place = _end_of_brackets(text, start.start()) if malformed else start.end()
    if not found:
        raise ValueError("no JSON value in the text")
    return found[-1]


def _end_of_brackets(text: str, start: int) -> int:
    """Return where the bracket at `start` is closed, the end of the text if it is not."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += bool(token["open"]) - bool(token["close"])
        if depth == 0:
            return token.end()
    return len(text)


def _loads(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
