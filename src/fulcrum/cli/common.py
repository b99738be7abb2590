"""What the commands share: recipe flags, and where output goes."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter, Token
from rich.console import Console
from rich.table import Column

from fulcrum.recipe import Recipe, read_recipe

_WIDE = 400
"""Columns of text that no terminal shows: a file or another program has no width by which to cut it."""


def console_for(*, stderr: bool = False) -> Console:
    """Return a console that is as wide as its terminal or, where no terminal shows it, as its widest table."""
    shown = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Console(markup=False, stderr=stderr, width=None if shown else _WIDE)


console = console_for()
"""Results: standard output. Names of runs and solvers, paths and texts of models may hold brackets."""

log = console_for(stderr=True)
"""Progress and remarks: standard error."""


def _dotted(_: type, tokens: Any) -> dict[str, str]:
    """Return the texts of a table's flags by dotted key; cyclopts itself reads only one level below a table."""
    if not isinstance(tokens, Mapping):
        raise ValueError("this is a table; name a key of it after a dot")
    return {".".join(token.keys): token.value for token in _leaves(cast(Mapping[str, Any], tokens))}


def _leaves(tokens: Mapping[str, Any]) -> Iterator[Token]:
    for below in tokens.values():
        yield from _leaves(cast(Mapping[str, Any], below)) if isinstance(below, Mapping) else below


Table = Annotated[dict[str, str] | None, Parameter(negative=(), accepts_keys=True, converter=_dotted)]
"""Flags below one table: `--settings.rounds 3 --settings.training.epochs 2`."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RecipeFlags:
    """Every key of a recipe as a flag.

    Attributes:
        method: Name of the method.
        task: Name of the task, such as 'lab:sql?seed=7' or a task file.
        seed: Seed of everything drawn at random.
        models: Model of a role: --models.actor lab:large
        settings: Setting of the method: --settings.rounds 3
        budget: Hard limit: --budget.calls 1000
        quick: The short version of the same thing.
    """

    method: str | None = None
    task: str | None = None
    seed: str | None = None
    models: Table = None
    settings: Table = None
    budget: Table = None
    quick: Annotated[bool, Parameter(negative=())] = False

    def read(self, path: Path | None) -> Recipe:
        """Return the recipe of a file with these flags on top.

        Raises:
            SettingsError: one line for each problem.
        """
        flags: dict[str, str] = {}
        for key in ("method", "task", "seed"):
            if (value := getattr(self, key)) is not None:
                flags[key] = value
        tables: dict[str, Mapping[str, str] | None] = {
            "models": self.models,
            "settings": self.settings,
            "budget": self.budget,
        }
        for table, entries in tables.items():
            flags |= {f"{table}.{key}": value for key, value in (entries or {}).items()}
        return read_recipe(path, flags, quick=self.quick)


def print_json(data: Any) -> None:
    """Write data for machines to standard output."""
    console.file.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def names(heading: str) -> Column:
    """Return a column of names, which fold where a terminal is narrow: cut short they could not be told apart."""
    return Column(heading, overflow="fold")


def shorten(text: str, length: int = 60) -> str:
    """Return one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
