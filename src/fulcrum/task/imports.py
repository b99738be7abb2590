"""Functions of the user, named as `module:function`."""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from fulcrum.errors import FulcrumError, TaskError
from fulcrum.settings import nearest


def import_function(name: str, where: str, folder: Path | None = None) -> Callable[..., Any]:
    """Return the function that `name` (`module:function`) stands for.

    Args:
        name: the function; its module is sought where Python seeks, then in `folder`.
        where: what names the function, for messages.
        folder: one more place to seek, by default the working directory; it stays on Python's path.

    Raises:
        TaskError: there is no such module or function, or the module cannot be imported.
    """
    module_name, separator, function_name = name.partition(":")
    if not separator or not all(part.isidentifier() for part in (*module_name.split("."), function_name)):
        raise TaskError(f"{where}: {name!r} is not a function; write MODULE:FUNCTION")
    place = str((folder or Path()).resolve())
    if place not in sys.path:
        sys.path.append(place)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise TaskError(f"{where}: module {module_name}: {what_was_raised(error)}") from error
        raise TaskError(f"{where}: no module {error.name!r}, neither installed nor in {place}") from error
    except Exception as error:  # whatever the user's module raises
        raise TaskError(f"{where}: module {module_name}: {what_was_raised(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise TaskError(
            f"{where}: module {module_name} has no function {function_name!r}{nearest(function_name, names)}"
        )
    return cast(Callable[..., Any], function)


def call_function(function: Callable[..., Any], where: str, *arguments: object, **options: object) -> Any:
    """Return what a function of the user returns.

    Raises:
        TaskError: it raised something; the text says what, and in which line.
    """
    try:
        return function(*arguments, **options)
    except FulcrumError:
        raise
    except Exception as error:  # whatever the user's function raises
        raise TaskError(f"{where}: {what_was_raised(error)}") from error


def what_was_raised(error: Exception) -> str:
    """Return an error of the user's code in a phrase, with the line that raised it."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error}"
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
