"""`fulcrum doctor`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fulcrum.cli.common import RecipeFlags, console, print_json
from fulcrum.runs.doctor import examine

_MARKS = {"good": ("ok  ", "green"), "warning": ("warn", "yellow"), "bad": ("bad ", "red")}


def doctor(
    recipe: Path | None = None,
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    flags: RecipeFlags | None = None,
) -> None:
    """Check machine, task and models of a recipe, with a remedy for each finding. Makes seven short calls a model.

    Args:
        recipe: The recipe file; every key of it is also a flag.
        json: Print for machines.
        flags: Keys of the recipe.
    """
    findings = examine((flags or RecipeFlags()).read(recipe))
    worst = 0
    if json:
        made = list(findings)
        print_json([asdict(finding) for finding in made])
        worst = sum(finding.level == "bad" for finding in made)
    else:
        for finding in findings:
            mark, colour = _MARKS[finding.level]
            console.print(mark, style=colour, end=" ")
            console.print(finding.what, highlight=False, soft_wrap=True)
            if finding.remedy:
                console.print(f"     {finding.remedy}", highlight=False, soft_wrap=True)
            worst += finding.level == "bad"
    sys.exit(1 if worst else 0)
