"""Options behind the question mark of a model's name."""

import difflib
from collections.abc import Collection
from urllib.parse import parse_qsl

from fulcrum.errors import ModelError


def split_options(name: str, allowed: Collection[str]) -> tuple[str, dict[str, str]]:
    """Return what stands before the question mark of `name`, and the options behind it.

    >>> split_options("hf:models/small?dtype=float32&batch=8", ["batch", "dtype"])
    ('hf:models/small', {'dtype': 'float32', 'batch': '8'})

    Raises:
        ModelError: an option is malformed, unknown, or given twice.
    """
    front, _, query = name.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ModelError(f"model {name!r}: {error}; options are written ?option=value&option=value") from error
    options: dict[str, str] = {}
    for option, value in pairs:
        if option not in allowed:
            near = difflib.get_close_matches(option, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(allowed))}"
            raise ModelError(f"model {name!r}: there is no option {option!r}; {hint}")
        if option in options:
            raise ModelError(f"model {name!r}: option {option!r} is given twice")
        options[option] = value
    return front, options
