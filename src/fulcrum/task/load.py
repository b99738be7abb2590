"""From a task's name to the task."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from pydantic import NonNegativeInt

from fulcrum.errors import TaskError
from fulcrum.lazy import load
from fulcrum.settings import Document, Settings, nearest, read_settings
from fulcrum.task.example import Example, Split
from fulcrum.task.imports import call_function, import_function
from fulcrum.task.split import sample_by_hash
from fulcrum.task.task import Task

LOADERS = {
    "banking77": "fulcrum.task.public:load_banking77",
    "dialogue": "fulcrum.strategies.support:load_dialogues",
    "gsm8k": "fulcrum.task.public:load_gsm8k",
    "lab": "fulcrum.lab.tasks:load_task",
    "python": "fulcrum.task.load:load_function",
}
"""Where each kind of task is loaded, named by string; each is called with the whole spec and returns the task."""

FORMS = (
    "TASK.toml, lab:sql?seed=7, gsm8k:FOLDER?train=300&dev=150&test=500, banking77:FOLDER, dialogue:FILE.toml, "
    "python:MODULE:FUNCTION"
)

Options = TypeVar("Options", bound=Settings)


class Sizes(Settings):
    """Options of tasks read from files: how many examples of each split to draw; all of them if not said."""

    train: NonNegativeInt | None = None
    dev: NonNegativeInt | None = None
    test: NonNegativeInt | None = None
    seed: int = 0

    def draw(self, name: str, split: Split, examples: list[Example]) -> list[Example]:
        """Return the sample of one split.

        Raises:
            TaskError: more are wanted than there are.
        """
        count = getattr(self, split)
        try:
            return examples if count is None else sample_by_hash(examples, count, self.seed)
        except TaskError as error:
            raise TaskError(f"{name}: {split}: {error}") from None


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task's name taken apart: `scheme:path?option=value&...`; a task file has no scheme."""

    text: str
    scheme: str
    path: str
    options: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a spec apart.

        Raises:
            TaskError: an option is not `key=value`.
        """
        name, _, query = text.partition("?")
        scheme, separator, path = name.partition(":")
        if not separator:
            scheme, path = "", name
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError as error:
            raise TaskError(f"{text}: options are written ?key=value&key=value: {error}") from error
        return cls(text, scheme, path, dict(pairs))

    def read_options(self, kind: type[Options]) -> Options:
        """Check the options.

        Raises:
            SettingsError: an option is unknown or cannot work; every such option is named.
        """
        return read_settings(kind, Document(dict[str, Any](self.options), self.text))


def load_task(spec: str) -> Task:
    """Return the task that `spec` stands for: `TASK.toml`, `lab:sql?seed=7`, `gsm8k:FOLDER?train=300`, ...

    Raises:
        TaskError: no such kind of task, or its data cannot work.
        SettingsError: a task file or an option cannot work; every problem is named.
    """
    parsed = TaskSpec.parse(spec)
    if parsed.path.endswith(".toml") and parsed.scheme not in LOADERS:
        loader = "fulcrum.task.taskfile:load_task_file"
    elif parsed.scheme in LOADERS:
        loader = LOADERS[parsed.scheme]
    else:
        hint = nearest(parsed.scheme or parsed.path, list(LOADERS)) or _nearest_task_file(parsed.path)
        raise TaskError(f"{spec!r} is not a task{hint}; understood are: {FORMS}")
    return load(loader)(spec)


def load_function(spec: str) -> Task:
    """Return the task that a function of the user makes: `python:module:function`, options passed as text.

    Raises:
        TaskError: there is no such function, or it does not return a task.
    """
    parsed = TaskSpec.parse(spec)
    function = import_function(parsed.path, where=spec)
    try:
        inspect.signature(function).bind(**parsed.options)
    except TypeError as error:
        raise TaskError(f"{spec}: {parsed.path} does not take these options: {error}") from error
    task = call_function(function, spec, **parsed.options)
    if not isinstance(task, Task):
        raise TaskError(f"{spec}: returned {type(task).__name__}, not a fulcrum.task.Task")
    return task


def _nearest_task_file(path: str) -> str:
    """Return a hint if what was given is a task file without its suffix, or near one."""
    folder = Path(path).parent
    names = [str(folder / file.name) for file in folder.glob("*.toml")] if folder.is_dir() else []
    return nearest(path, names)
