"""Run folders as they lie on disk: find them, summarise them, compare them."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fulcrum.atomic import read_json
from fulcrum.calls import CallStore
from fulcrum.errors import FulcrumError, RunError
from fulcrum.hashing import content_hash
from fulcrum.recipe import Recipe, check_recipe
from fulcrum.runs.run import differences, read_events, read_models, read_resolved
from fulcrum.settings import Document


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run folder in a line.

    Attributes:
        folder: where it is.
        method: what it trains.
        task: on what.
        seed: with which seed.
        started: when, in local time, ISO 8601 to the second.
        state: `unfinished`, `learned` or `evaluated`.
        calls: answers paid for.
    """

    folder: str
    method: str
    task: str
    seed: int
    started: str
    state: str
    calls: int


def find_runs(folder: Path) -> Iterator[Path]:
    """Yield the run folders in `folder`, oldest first."""
    resolved = (child / "resolved.json" for child in folder.iterdir() if child.is_dir())
    yield from (path.parent for path in sorted(filter(Path.is_file, resolved), key=lambda path: path.stat().st_mtime))


def reopen(folder: Path, budget: Mapping[str, str] | None = None) -> Recipe:
    """Return the recipe of an existing run, as it was resolved when the run began, with its last budget.

    Endpoints are called as in the last sitting.

    Args:
        folder: the run folder.
        budget: limits to set instead, as flag texts.

    Raises:
        RunError: the folder is not a run, or its task cannot be loaded from here.
        SettingsError: a limit cannot work.
    """
    resolved = read_resolved(folder)
    tables: dict[str, Any] = {key: resolved[key] for key in ("method", "task", "seed", "settings")}
    sitting = {"models": read_models(folder), "budget": read_json(folder / "budget.json")}
    document = Document(tables | sitting, str(folder))
    document.override({f"budget.{key}": text for key, text in (budget or {}).items()})
    recipe = check_recipe(document)
    try:
        _ = recipe.task
    except FulcrumError as error:
        raise RunError(
            f"{folder}: its task {recipe.keys.task} cannot be loaded: {error}; a relative path counts from the folder "
            "in which a command is started: start this one where the run was started"
        ) from error
    return recipe


def group_by_recipe(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Put runs that differ only in seed together, under the name of the first one's folder.

    Raises:
        RunError: a folder is not a run, or all of them differ in nothing but the seed.
    """
    groups: dict[str, list[Path]] = {}
    for folder in folders:
        others = {key: value for key, value in read_resolved(folder).items() if key != "seed"}
        groups.setdefault(content_hash(others), []).append(folder)
    if len(groups) < 2 <= len(folders):
        raise RunError(f"{', '.join(map(str, folders))}: differ in nothing but the seed; add a run of another recipe")
    names = [group[0].resolve().name for group in groups.values()]
    return {
        name if names.count(name) == 1 else str(group[0]): group
        for name, group in zip(names, groups.values(), strict=True)
    }


def summarise(folder: Path) -> RunSummary:
    """Return a run folder in a line.

    Raises:
        RunError: the folder is not a run.
    """
    resolved = read_resolved(folder)
    events = list(read_events(folder))
    started = datetime.datetime.fromtimestamp(events[0]["time"]).isoformat(timespec="seconds") if events else ""
    names = {event["event"] for event in events}
    calls = folder / "calls.sqlite"
    count = 0
    if calls.is_file():
        with CallStore(calls, read_only=True) as store:
            count = len(store)
    return RunSummary(
        str(folder),
        resolved["method"],
        resolved["task"],
        resolved["seed"],
        started,
        "evaluated" if "evaluated" in names else "learned" if "learned" in names else "unfinished",
        count,
    )


def compare_settings(first: Path, second: Path) -> list[str]:
    """Return `field: first -> second` for each setting and each fact of the environment that differs.

    Raises:
        RunError: one of them is not a run.
    """
    found = differences(read_resolved(first), read_resolved(second))
    environments = [read_json(folder / "environment.json") for folder in (first, second)]
    return found + [f"environment.{line}" for line in differences(*environments)]
