"""A run: the folder that a recipe writes, and how a killed run continues in it."""

import fcntl
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TextIO, cast

from fulcrum.atomic import is_partial, read_json, write_json, write_text
from fulcrum.calls import Budget, CallStore, Ledger, RecordedModel, Spend, spend_stored
from fulcrum.chat import ChatModel, resolve
from fulcrum.chat.address import identity_of
from fulcrum.errors import RunError
from fulcrum.hashing import content_hash
from fulcrum.recipe import JUDGE, Recipe
from fulcrum.runs.environment import environment
from fulcrum.task import Task
from fulcrum.task.scorers import JudgeScorer
from fulcrum.task.task import AskingEnvironment
from fulcrum.training.job import OnStep, Told

_FORMAT = 1
_FIRST_FILES = frozenset({".lock", "recipe.toml", "command.txt", "environment.json", "budget.json", "models.json"})
"""What a new run writes before `resolved.json`, which makes the folder a run; a kill may leave some of them."""


def default_folder(recipe: Recipe) -> Path:
    """Return `runs/NAME-HASH`: the same recipe always has the same folder, so the same command continues it."""
    resolved = recipe.resolved()
    hashes = [content_hash(resolved | {"models": models}, 8) for models in (dict(recipe.models), resolved["models"])]
    older, folder = (Path("runs") / f"{recipe.name}-{name}" for name in hashes)
    return older if older.is_dir() else folder  # older runs have how endpoints are called in their hash


class Run:
    """An open run folder. Use it as a context manager; one process at a time works in a folder, with its helpers.

    Args:
        folder: where everything is, or will be.
        recipe: what the run does.
        helper: true in a process started by the one that holds the folder: it leaves lock, settings and sittings to
            that one. What other helpers spend counts for the budget of the next one.

    Attributes:
        folder: where everything is.
        recipe: what the run does.
        store: every call, in `calls.sqlite`.
        ledger: what this sitting has spent, by role.
        budget: what may still be spent, earlier sittings counted.

    Raises:
        RunError: the folder holds another run, a run with other settings (they are named), or is in use.
    """

    def __init__(self, folder: Path, recipe: Recipe, *, helper: bool = False) -> None:
        self.folder = folder
        self.recipe = recipe
        self._lock = None if helper else _lock(folder)
        try:
            prices = recipe.prices
            if self._lock:
                self._enter_folder()
            self.store = CallStore(folder / "calls.sqlite")
        except BaseException:
            if self._lock:
                self._lock.close()
            raise
        self.ledger = Ledger(prices)
        failed_before = self.store.failed_calls()
        spent_before = sum(spend_stored(self.store, prices).values(), Spend())
        self.budget = Budget(recipe.keys.budget, spent_before, self._minutes_before(), failed_before)
        self._models: dict[str, ChatModel] = {}
        if self._lock:
            _mend_events(folder)
            self.log("sitting/start", command=_command())

    def _enter_folder(self) -> None:
        limit = {"task_max_tokens": self.recipe.task.max_tokens}
        resolved = {"format": _FORMAT, **self.recipe.resolved(), **limit}
        path = self.folder / "resolved.json"
        if path.exists():
            stored = {**limit, **read_resolved(self.folder)}  # an older run does not tell its limit
            if changes := differences(stored, resolved):
                raise RunError(
                    f"{self.folder}: this run was started with other settings: {'; '.join(changes)}. "
                    "Use them again to continue it, or --output another folder"
                )
            self._write_sitting()
            return
        names = (child.name for child in self.folder.iterdir() if not is_partial(child))
        if strangers := sorted(set(names) - _FIRST_FILES):
            raise RunError(f"{self.folder}: holds {strangers[0]} and no run; choose another --output")
        write_text(self.folder / "recipe.toml", self.recipe.source)
        write_text(self.folder / "command.txt", _command() + "\n")
        write_json(self.folder / "environment.json", environment())
        self._write_sitting()
        write_json(path, resolved)

    def _write_sitting(self) -> None:
        """Note what may differ from sitting to sitting: the limits, and how the models are called."""
        budget = self.recipe.keys.budget.model_dump(mode="json", exclude_defaults=True)
        write_json(self.folder / "budget.json", budget)
        write_json(self.folder / "models.json", dict(self.recipe.models))

    def _minutes_before(self) -> float:
        """Wall time of earlier sittings: from each start to the last thing noted, or called, before the next."""
        events, seconds = list(self.events()), 0.0
        starts = [place for place, event in enumerate(events) if event["event"] == "sitting/start"]
        for first, following in pairwise([*starts, len(events)]):
            until = events[following]["time"] if following < len(events) else math.inf
            last = max(events[following - 1]["time"], self.store.last_end(before=until))
            seconds += last - events[first]["time"]
        return seconds / 60

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Note what this sitting spent, close models and store, and let others work in the folder."""
        if self._lock:
            self.log("sitting/end", spent={role: _spend_json(spend) for role, spend in self.ledger.snapshot().items()})
        for model in self._models.values():
            model.close()
        self.store.close()
        if self._lock:
            self._lock.close()

    @cached_property
    def task(self) -> Task:
        """The recipe's task, its judge recorded."""
        return self.recorded(self.recipe.task)

    def recorded(self, task: Task) -> Task:
        """Return a task whose own models (a judge, a simulated customer) are stored, counted and budgeted like all."""
        if isinstance(task.environment, AskingEnvironment):
            opened = {
                role: RecordedModel(self._open(name), role, self.store, self.ledger, self.budget)
                for role, name in task.environment.models.items()
            }
            return replace(task, environment=task.environment.with_models(opened))
        if not isinstance(task.scorer, JudgeScorer):
            return task
        judge = RecordedModel(self._open(task.scorer.model), JUDGE, self.store, self.ledger, self.budget)
        return replace(task, scorer=task.scorer.with_model(judge))

    @property
    def artifact(self) -> Path:
        """Folder of what is deployed."""
        return self.folder / "artifact"

    def model(self, role: str, name: str | None = None) -> RecordedModel:
        """Return the model of a role; roles with the same model share one loaded copy.

        Args:
            role: for what its calls are counted.
            name: another model in that role than the recipe's, such as one that the run has trained.

        Raises:
            ModelError: it cannot be loaded.
            SettingsError: money is limited and its price is unknown.
        """
        model = self._open(name or self.recipe.models[role])
        return RecordedModel(model, role, self.store, self.ledger, self.budget)

    def _open(self, name: str) -> ChatModel:
        self.recipe.keys.budget.refuse_unpriced(self.ledger.prices, [name])
        if name not in self._models:
            self._models[name] = resolve(name)
        return self._models[name]

    def on_step(self, role: str) -> OnStep:
        """Return what a trainer tells about each step, so that whoever watches the run sees it."""

        def told(step: int, steps: int, metrics: Mapping[str, float]) -> None:
            if self.ledger.watcher:
                self.ledger.watcher.train(role, step, steps)

        return told

    def hear_step(self, told: Told) -> None:
        """Take what a trainer in another process tells of a step."""
        name, step, steps = told
        self.on_step(name)(step, steps, {})

    def log(self, event: str, **facts: Any) -> None:
        """Append one line to `events.jsonl`."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts}, ensure_ascii=False)
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events noted so far; a last line that a kill cut short is left out."""
        return read_events(self.folder)

    def stage_folder(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """Return where a stage stands, or will stand."""
        return self.folder / "stages" / f"{name}-{content_hash(dict(inputs), 12)}"

    def stage(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """Do a piece of work once, in a folder that is named by the content of its inputs.

        What another helper is at is waited for, not done twice.

        Args:
            name: what it is, such as `warm-start`.
            inputs: everything that its result depends on, as JSON.
            work: does it, in the folder given. After a kill it is called again with what it left there.

        Returns:
            The folder, finished.

        Raises:
            BudgetSpent: the budget ended meanwhile; the stage stays unfinished.
            TooManyFailures: too many calls failed meanwhile.
        """
        folder = self.stage_folder(name, inputs)
        finished = folder / "finished.json"
        if not finished.exists():
            with _lock(folder, wait=True):
                if not finished.exists():
                    write_json(folder / "inputs.json", dict(inputs))
                    self.log("stage/start", stage=folder.name)
                    started = time.monotonic()
                    work(folder)
                    self.budget.check()
                    seconds = round(time.monotonic() - started, 3)
                    write_json(finished, {"seconds": seconds})
                    self.log("stage/finished", stage=folder.name, seconds=seconds)
                    return folder
        self.log("stage/reused", stage=folder.name)
        return folder


@contextmanager
def open_run(recipe: Recipe, folder: Path | None = None) -> Generator[Run]:
    """Start or continue the run of a recipe, in `folder` or in its default folder."""
    with Run(folder or default_folder(recipe), recipe) as run:
        yield run


def _lock(folder: Path, *, wait: bool = False) -> TextIO:
    """Take a folder for this process, and make it if there is none; closing the file gives it back."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise RunError(f"{folder}: another process is working on this run; wait for it or stop it") from None
    return lock


def read_resolved(folder: Path) -> dict[str, Any]:
    """Return the settings that a run was started with.

    Raises:
        RunError: the folder is not a run.
    """
    path = folder / "resolved.json"
    if not path.is_file():
        raise RunError(f"{folder}: is not a run folder (no resolved.json); `fulcrum runs list` shows those there are")
    resolved = read_json(path)
    models = cast(dict[str, str], resolved["models"])
    return resolved | {"models": {role: identity_of(name) for role, name in models.items()}}  # as older runs do not


def read_models(folder: Path) -> dict[str, str]:
    """Return the models of a run by role, called as in its last sitting."""
    path = folder / "models.json"
    return read_json(path) if path.is_file() else read_json(folder / "resolved.json")["models"]


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run folder; a last line that a kill cut short is left out."""
    path = folder / "events.jsonl"
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def _mend_events(folder: Path) -> None:
    """Cut off a last line that a kill left unfinished, so that the next event stands on its own line."""
    path = folder / "events.jsonl"
    if path.exists():
        with path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return `field: old -> new` for each field that differs, nested fields by dotted name."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return [
        f"{name}: {json.dumps(old.get(name))} -> {json.dumps(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(cast(dict[str, Any], value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _command() -> str:
    return shlex.join(["fulcrum", *sys.argv[1:]])


def _spend_json(spend: Spend) -> dict[str, Any]:
    return {
        "calls": spend.calls,
        "stored": spend.stored,
        "failures": spend.failures,
        "prompt_tokens": spend.prompt_tokens,
        "completion_tokens": spend.completion_tokens,
        "seconds": round(spend.seconds, 3),
        "cost": spend.cost,
    }
