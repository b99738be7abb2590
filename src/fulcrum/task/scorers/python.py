"""A function of the user says what an answer is worth."""

import inspect
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

from pydantic import PrivateAttr

from fulcrum.errors import TaskError
from fulcrum.hashing import content_hash
from fulcrum.task.example import Example
from fulcrum.task.imports import call_function, import_function
from fulcrum.task.score import Score, graded
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_error


class PythonScorer(ConfiguredScorer):
    """Calls `function(text, target, fields)`, which returns true or false, a number in 0..1, or a `Score`.

    Attributes:
        function: `module:function`; in a task file the module may stand beside that file.
        gold_function: `module:function` called as `(target, fields)`; returns an answer that is worth 1. Without it,
            the target itself is that answer, and must be a text.
    """

    kind = "python"
    function: str
    gold_function: str | None = None
    _folder: Path | None = PrivateAttr(default=None)

    @property
    def needs_target(self) -> bool:
        """False: the function may do without."""
        return False

    def located(self, folder: Path) -> Self:
        """Return the scorer with its modules sought in `folder` too."""
        located = self.model_copy()
        located._folder = folder
        located.fingerprint()
        return located

    def score(self, example: Example, text: str) -> Score:
        """Return what the function says.

        Raises:
            TaskError: it raises an error, or returns something else, or a score that is no plain JSON.
        """
        where = f"{example.source or example.id}: scorer {self.function}"
        result: object = call_function(self._scoring, where, text, example.target, example.fields)
        if isinstance(result, Score):
            _refuse_what_no_file_holds(result, where)
            return result
        if isinstance(result, bool | int | float) and 0 <= result <= 1:
            return graded(float(result))
        raise TaskError(f"scorer {self.function}: returned {result!r:.80}; return a bool, a number in 0..1, or a Score")

    def gold(self, example: Example) -> str:
        """Return the target, or what `gold_function` makes of it."""
        if self._making_gold is not None:
            where = f"{example.source or example.id}: {self.gold_function}"
            return call_function(self._making_gold, where, example.target, example.fields)
        if not isinstance(example.target, str):
            raise target_error(example, "a text, or a gold_function that makes one")
        return example.target

    def fingerprint(self) -> dict[str, Any]:
        """Return the names, and a hash of the source of the modules."""
        modules = [inspect.getmodule(function) for function in (self._scoring, self._making_gold) if function]
        return super().fingerprint() | {"source": [content_hash(inspect.getsource(cast(Any, it))) for it in modules]}

    @cached_property
    def _scoring(self) -> Callable[[str, Any, Any], object]:
        return import_function(self.function, "scorer.function", self._folder)

    @cached_property
    def _making_gold(self) -> Callable[[Any, Any], str] | None:
        name = self.gold_function
        return import_function(name, "scorer.gold_function", self._folder) if name else None


def _refuse_what_no_file_holds(score: Score, where: str) -> None:
    """Refuse a score that the rollouts could not be written with, before all other answers are paid for."""
    try:
        json.dumps([score.value, score.feedback, dict(score.details)], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"{where}: its score is no plain JSON ({error}); give details of Python's own numbers, texts, lists and "
            "dicts: float(x) for a number of numpy's, None for NaN"
        ) from error
