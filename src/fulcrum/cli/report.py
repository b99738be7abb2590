"""`fulcrum report`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fulcrum.atomic import write_text
from fulcrum.cli.common import console
from fulcrum.lazy import load
from fulcrum.runs.catalog import read_resolved


def report(run: Path, /, *more: Path, output: Annotated[Path | None, Parameter(alias="-o")] = None) -> None:
    """Write a page that a browser opens without a network: what was gained, is it real, what did it cost.

    Several runs of one task become a page that compares them, as `fulcrum compare` does; runs of different tasks one
    that tells what each was worth on its own.

    Args:
        run: A run folder.
        more: Other run folders, to compare with.
        output: The file; by default report.html in the run folder, or comparison.html or overview.html here.
    """
    runs = [run, *more]
    if len({read_resolved(folder)["task"] for folder in runs}) > 1:
        path = output or Path("overview.html")
        page = load("fulcrum.report:render_overview")(runs, path.parent)
    elif more:
        path, page = output or Path("comparison.html"), load("fulcrum.report:render_comparison")(runs)
    else:
        path, page = output or run / "report.html", load("fulcrum.report:render_run")(run)
    write_text(path, page)
    console.print(str(path), highlight=False, soft_wrap=True)
