"""A plain Python function as a model: for rules, mocks, and anything that answers but is no language model."""

import difflib
import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from fulcrum.chat.completion import Completion, Failure
from fulcrum.chat.model import Finished, Request
from fulcrum.chat.options import split_options
from fulcrum.errors import ModelError
from fulcrum.hashing import content_hash

Answerer = Callable[[Request], str | Completion]


def open_model(name: str) -> "FunctionModel":
    """Return the model that `python:MODULE:FUNCTION` stands for; the current folder can be imported from.

    Raises:
        ModelError: there is no such module or function.
    """
    front, _ = split_options(name, ())
    module_name, separator, attribute = front.removeprefix("python:").partition(":")
    if not (module_name and separator and attribute):
        raise ModelError(f"{name!r}: a function is written python:MODULE:FUNCTION")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModelError(
                f"{name!r}: module {module_name!r} needs {error.name!r}, which is not installed"
            ) from error
        raise ModelError(
            f"{name!r}: there is no module {module_name!r} in the current folder or among the installed packages"
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        near = difflib.get_close_matches(
            attribute, [word for word in vars(module) if callable(vars(module)[word])], n=1
        )
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"{name!r}: module {module_name!r} has no function {attribute!r}{hint}")
    return FunctionModel(name, cast(Answerer, function))


class FunctionModel:
    """A `ChatModel` that asks a function.

    The function is given the `Request` and returns the answer's text, or a whole `Completion`. What it raises
    becomes a `server` failure: one bad call must not end a run.

    Args:
        name: the name it was asked for by.
        function: who answers; called with one request, by several threads where a task asks it about many answers.
    """

    def __init__(self, name: str, function: Answerer) -> None:
        self.name = name
        self._function = function
        self._source = content_hash(_source(function))

    def identity(self, request: Request) -> dict[str, str]:
        """Return the function's name and the hash of its source; what it calls is not looked into."""
        return {"model": self.name.removeprefix("python:"), "source": self._source}

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer the requests one after the other."""
        for index, request in enumerate(requests):
            yield [(index, self._answer(request))]

    def close(self) -> None:
        """Do nothing: a function holds nothing."""

    def _answer(self, request: Request) -> Completion:
        started = time.perf_counter()
        try:
            answer = self._function(request)
        except Exception as error:  # whatever a user's function raises is a failed call
            return Completion.failed("server", f"{type(error).__name__}: {error}", model=self.name)
        if isinstance(answer, Completion):
            return answer
        seconds = time.perf_counter() - started
        if not isinstance(answer, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            detail = f"the function returned {type(answer).__name__}; it must return str or Completion"
            return Completion.failed("server", detail, model=self.name, seconds=seconds)
        failure = None if answer.strip() else Failure("empty", "the function returned no text")
        return Completion(answer, seconds=seconds, model=self.name, failure=failure)


def _source(function: Answerer) -> str:
    """Return the text that the function was read from, or what stands for it where there is none."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return repr(type(function))
