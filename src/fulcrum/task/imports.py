"""Functions of the user, named as `module:function`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from fulcrum.errors import TaskError
from fulcrum.settings import nearest


def import_function(name: str, where: str, folder: Path | None = None) -> Callable[..., Any]:
    """Return the function that `name` (`module:function`) stands for.

    Args:
        name: the function; its module is sought where Python seeks, then in `folder`.
        where: what names the function, for messages.
        folder: one more place to seek, by default the working directory; it stays on Python's path.

    Raises:
        TaskError: there is no such module or function.
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
            raise
        raise TaskError(f"{where}: no module {error.name!r}, neither installed nor in {place}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise TaskError(
            f"{where}: module {module_name} has no function {function_name!r}{nearest(function_name, names)}"
        )
    return cast(Callable[..., Any], function)
