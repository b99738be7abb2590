"""`fulcrum validate`."""

import sys
from typing import Annotated

from cyclopts import Parameter

from fulcrum.cli.common import console, print_json, shorten
from fulcrum.task import SPLITS
from fulcrum.task.load import load_task
from fulcrum.task.validate import gaps, proved, unchecked
from fulcrum.task.validate import validate as find_problems

_SHOWN = 20


def validate(task: str, /, *, json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Prove with no model that every gold answer of a task scores 1.0, and name those that do not.

    Args:
        task: Name of the task, such as 'lab:sql?seed=7', gsm8k:FOLDER or a task file.
        json: Print for machines.
    """
    loaded = load_task(task)
    problems = find_problems(loaded)
    sizes = {split: len(loaded.splits.get(split, ())) for split in SPLITS}
    if json:
        said = [problem.to_json() for problem in problems]
        left_open = {"unchecked": unchecked(loaded), "gaps": gaps(loaded)}
        print_json({"task": loaded.name, "examples": sizes, **left_open, "problems": said})
    else:
        counted = ", ".join(f"{size} {split}" for split, size in sizes.items())
        wrong = f"{len(problems)} examples cannot be solved" if problems else proved(loaded)
        console.print(f"{loaded.name}: {counted}: {wrong}", highlight=False, soft_wrap=True)
        for gap in gaps(loaded):
            console.print(f"note: {gap}", highlight=False, soft_wrap=True)
        for problem in problems[:_SHOWN]:
            console.print(shorten(str(problem), 200), highlight=False, soft_wrap=True)
        if len(problems) > _SHOWN:
            console.print(f"and {len(problems) - _SHOWN} more; --json prints them all")
    sys.exit(1 if problems else 0)
