"""`fulcrum supplement`: what only this method has."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fulcrum.cli.common import Table as Flags
from fulcrum.cli.common import console, print_json
from fulcrum.cli.matrix import print_transfer
from fulcrum.cli.progress import show_calls
from fulcrum.errors import RunError
from fulcrum.evaluation.results import read_results
from fulcrum.recipe import Recipe
from fulcrum.runs import Run
from fulcrum.runs.catalog import reopen
from fulcrum.task import Split

supplement = App(name="supplement", help="Look into a run of supplements: audit it, or put its generator elsewhere.")

Machine = Annotated[bool, Parameter(negative=())]


@supplement.command
def audit(run: Path, /, *, json: Machine = False) -> None:
    """Look into an evaluated run: do supplements hold the answer, does the actor read them, whom do wrong ones mislead?

    Makes no call. Run `fulcrum evaluate RUN` first.

    Args:
        run: The run folder.
        json: Print for machines.
    """
    from fulcrum.supplement.audit import audit as look

    recipe = _of_this_method(run, reopen(run))
    found = look(recipe.task, read_results(run))
    if json:
        print_json(asdict(found))
        return
    for sentence in found.sentences():
        console.print(sentence, markup=False, highlight=False)


@supplement.command
def transfer(
    run: Path,
    /,
    *,
    actor: Annotated[list[str] | None, Parameter(negative=())] = None,
    task: Annotated[list[str] | None, Parameter(negative=())] = None,
    split: Split = "test",
    limit: int | None = None,
    budget: Flags = None,
    json: Machine = False,
) -> None:
    """Put the trained generator in front of other actors, and on other tasks; its own ones stand beside them.

    Args:
        run: The run folder.
        actor: Another actor, such as lab:teacher; can be given several times.
        task: Another task, such as lab:sql?seed=7; can be given several times.
        split: Which examples.
        limit: Answer only this many questions of each task.
        budget: Hard limit for the whole run, instead of the recipe's.
        json: Print for machines.
    """
    from fulcrum.supplement.transfer import transfer as measure

    with Run(run, _of_this_method(run, reopen(run, budget))) as opened, show_calls(opened):
        cells = measure(opened, actor or [], task or [], split, limit)
    print_transfer(cells, "actor", json=json)


def _of_this_method(run: Path, recipe: Recipe) -> Recipe:
    if recipe.method.name != "supplement":
        raise RunError(f"{run}: is a run of {recipe.method.name}; this command looks into runs of supplement")
    return recipe
