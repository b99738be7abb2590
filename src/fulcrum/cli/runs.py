"""`fulcrum runs`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fulcrum.atomic import read_json
from fulcrum.cli.common import console, print_json
from fulcrum.errors import RunError
from fulcrum.evaluation.figures import table_of
from fulcrum.runs.catalog import compare_settings, find_runs, read_resolved, summarise
from fulcrum.runs.run import read_events

runs = App(name="runs", help="List, show or compare run folders.")

Machine = Annotated[bool, Parameter(negative=())]


@runs.command(name="list")
def list_runs(folder: Path = Path("runs"), /, *, json: Machine = False) -> None:
    """List the runs in a folder, oldest first.

    Args:
        folder: Where to look.
        json: Print for machines.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; `fulcrum train RECIPE` makes one")
    summaries = [summarise(run) for run in find_runs(folder)]
    if json:
        print_json([asdict(summary) for summary in summaries])
        return
    table = table_of(("run", "method", "task"), ("seed", "started", "state", "calls"))
    for summary in summaries:
        table.add_row(*map(str, asdict(summary).values()))
    console.print(table)


@runs.command
def show(run: Path, /, *, json: Machine = False) -> None:
    """Print a run's settings, environment and history.

    Args:
        run: The run folder.
        json: Print for machines.
    """
    resolved, environment = read_resolved(run), read_json(run / "environment.json")
    events = list(read_events(run))
    if json:
        print_json({"resolved": resolved, "environment": environment, "events": events})
        return
    console.print_json(data=resolved)
    console.print_json(data=environment)
    start = events[0]["time"] if events else 0.0
    for event in events:
        facts = {key: value for key, value in event.items() if key not in ("time", "event")}
        console.print(f"{event['time'] - start:9.1f} s  {event['event']}  {facts or ''}", highlight=False)


@runs.command
def diff(first: Path, second: Path, /, *, json: Machine = False) -> None:
    """Print the settings and facts of the environment in which two runs differ.

    Args:
        first: A run folder.
        second: Another.
        json: Print for machines.
    """
    found = compare_settings(first, second)
    if json:
        print_json(found)
        return
    for line in found or ["the two runs have the same settings and environment"]:
        console.print(line, highlight=False, soft_wrap=True)
