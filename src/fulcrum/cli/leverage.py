"""`fulcrum leverage`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.live import Live
from rich.table import Table

from fulcrum.cli.common import RecipeFlags, console, log, names, print_json
from fulcrum.errors import SettingsError
from fulcrum.leverage.arms import ARMS
from fulcrum.recipe import Recipe
from fulcrum.runs import default_folder, open_run

leverage = App(name="leverage", help="Leverage: the data-efficiency curve, the arms and controls, the mix as a file.")

Machine = Annotated[bool, Parameter(negative=())]


@leverage.command
def arms() -> None:
    """Print what can be trained: the method, and every control that could explain its gain."""
    table = Table("arm", "what it is")
    for name, arm in ARMS.items():
        table.add_row(name, arm.about)
    console.print(table)


@leverage.command
def mix(
    recipe: Path | None = None,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    run: Path | None = None,
    flags: RecipeFlags | None = None,
) -> None:
    """Write the mix of a recipe as JSONL in TRL's prompt-completion form, for a look or for any trainer.

    Args:
        recipe: The recipe file.
        output: The file to write.
        run: The run folder, which keeps an automatic anchor; by default runs/NAME-HASH.
        flags: Keys of the recipe.
    """
    from fulcrum.leverage.learn import find_anchor, trials_of
    from fulcrum.leverage.mix import write_mix
    from fulcrum.leverage.trial import Bench, mix_hash

    checked = _read(recipe, flags)
    with open_run(checked, run) as opened:
        bench = Bench(opened)
        cell = bench.cell()
        trial = trials_of(bench, ARMS["tell"], cell, find_anchor(bench, cell))[0]
        rows = bench.mix(trial)
        write_mix(output, rows)
    print_json({"file": str(output), "rows": len(rows), "hash": mix_hash(rows)})


@leverage.command
def sweep(
    recipe: Path | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Machine = False,
    flags: RecipeFlags | None = None,
) -> None:
    """Train every arm at every size with every seed, test each, and print curve and factors. A kill costs nothing.

    Args:
        recipe: The recipe file; its settings.sweep says what to run.
        output: The run folder; by default runs/NAME-HASH.
        json: Print what stands in sweep.json.
        flags: Keys of the recipe.
    """
    from fulcrum.leverage.sweep import SWEEP, Row, run_sweep

    checked = _read(recipe, flags)
    folder = output or default_folder(checked)
    done: list[Row] = []
    with open_run(checked, folder) as run, Live(console=log, auto_refresh=False, transient=True) as live:

        def show(number: int, total: int, row: Row) -> None:
            done.append(row)
            if log.is_terminal:
                live.update(_progress(done, total), refresh=True)
            else:
                log.print(f"{number}/{total} {_line(row)}", highlight=False)

        figures = run_sweep(run, show)
    if json:
        print_json(figures)
        return
    _print(figures)
    log.print(f"written: {folder / SWEEP}", highlight=False, soft_wrap=True)


def _read(recipe: Path | None, flags: RecipeFlags | None) -> Recipe:
    checked = (flags or RecipeFlags()).read(recipe)
    if checked.method.name != "leverage":
        raise SettingsError(f"method: {checked.method.name} has no such command; give a recipe of leverage")
    return checked


def _line(row: Any) -> str:
    cell = row.planned.cell
    return (
        f"{row.planned.arm}: {cell.task_rows} task rows, {cell.general_rows} general, seed {cell.seed}: "
        f"{row.score:.1%} on test, {row.result.score:.1%} on dev, {row.result.seconds:.0f} s"
    )


def _progress(done: Sequence[Any], total: int) -> Table:
    table = Table(names("arm"), "task rows", "general rows", "seed", "test", "dev", title=f"{len(done)} of {total}")
    for row in done[-20:]:
        cell = row.planned.cell
        shown = (cell.task_rows, cell.general_rows, cell.seed, f"{row.score:.1%}", f"{row.result.score:.1%}")
        table.add_row(row.planned.arm, *map(str, shown))
    return table


def _print(figures: Mapping[str, Any]) -> None:
    table = Table(names("arm"), "task rows", "general rows", "score", "95 %", "general loss", "cut off")
    before = figures["before"]
    untuned: dict[str, Any] = {"task_rows": 0, "general_rows": 0, "general_loss": before["general_loss"]}
    for row in [*({**untuned, **row} for row in before["test"]), *figures["table"]]:
        table.add_row(
            row["arm"],
            str(row["task_rows"]),
            str(row["general_rows"]),
            f"{row['score']:.1%}",
            f"{row['low']:.1%} to {row['high']:.1%}",
            f"{row['general_loss']:.3f}",
            f"{row['cut_off']:.1%}",
        )
    console.print(table)
    for arm, found in figures.get("factors", {}).items():
        at = ", ".join(factor["text"] for factor in found["at"])
        console.print(f"task tokens that {arm} needs for the score of tell, by size: {at}", highlight=False)
        overall = found["overall"]["text"] if found["overall"] else "no score that both reach"
        console.print(f"  over all scores that both reach: {overall}", highlight=False)
    if shapes := figures["general_sizes"]:
        for name in ("score", "dev_loss"):
            found = shapes[name]
            console.print(
                f"more general rows, {name}: {found['verdict']} (BIC smooth {found['smooth_bic']:.1f}, "
                f"jump {found['jump_bic']:.1f} after {found['jump_after']} rows)",
                highlight=False,
            )
