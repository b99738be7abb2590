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
from fulcrum.evaluation.figures import table_of
from fulcrum.evaluation.render import interval_text, percent_text
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.statistics import Interval
from fulcrum.recipe import Recipe
from fulcrum.runs import Run
from fulcrum.runs.catalog import reopen
from fulcrum.task import Split

supplement = App(
    name="supplement",
    help="Look into a run of supplements: audit it, measure its rounds, or put its generator elsewhere.",
)

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
        console.print(sentence, highlight=False)


@supplement.command
def curve(
    run: Path,
    /,
    *,
    split: Split = "dev",
    limit: int | None = None,
    budget: Flags = None,
    json: Machine = False,
) -> None:
    """Measure the actor alone, and with the notes of the generator before training and after each round.

    All answer the same questions. Dev chose the round, so its figures are too good for that one.

    Args:
        run: The run folder.
        split: Which examples; most answers on dev are stored since training.
        limit: Only this many of them.
        budget: Hard limit for the whole run, instead of the recipe's.
        json: Print for machines.
    """
    from fulcrum.supplement.curve import curve as measure

    with Run(run, _of_this_method(run, reopen(run, budget))) as opened, show_calls(opened):
        points = measure(opened, split, limit)
    if json:
        print_json([asdict(point) for point in points])
        return
    table = table_of(("generator",), ("score", "against none", "against before", "harm", "silent", "forms"))
    table.caption = f"{points[0].n} {split} questions, points of 100, 95 % intervals; forms in bits; * deployed"
    for point in points:
        table.add_row(
            point.generator + "*" * point.chosen,
            percent_text(point.mean.estimate if point.mean else None),
            _interval(point.gain),
            _interval(point.step),
            percent_text(point.harm.estimate if point.harm else None),
            percent_text(point.silent),
            "-" if point.form_entropy is None else f"{point.form_entropy:.2f}",
        )
    console.print(table)


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


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return interval_text(interval.estimate, interval.low, interval.high, sign="+").replace(" [", "\n[")  # 80 columns


def _of_this_method(run: Path, recipe: Recipe) -> Recipe:
    if recipe.method.name != "supplement":
        raise RunError(f"{run}: is a run of {recipe.method.name}; this command looks into runs of supplement")
    return recipe
