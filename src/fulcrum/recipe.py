"""A recipe: which method, on which task, with which models and settings. `fulcrum train RECIPE`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from fulcrum.calls import BudgetSettings, Prices, read_prices
from fulcrum.chat.address import identity_of
from fulcrum.chat.resolve import scheme_of
from fulcrum.errors import ModelError, SettingsError
from fulcrum.methods import METHODS, Method, load_method
from fulcrum.settings import Document, Settings, nearest, read_document, read_settings
from fulcrum.task import Task
from fulcrum.task.load import load_task
from fulcrum.task.scorers import JudgeScorer
from fulcrum.task.task import AskingEnvironment

MethodSettings = TypeVar("MethodSettings", bound=Settings)

JUDGE = "judge"
"""Role of the model by which a task scores."""

_OF_THE_TASK = " of the task"


class RecipeKeys(Settings):
    """The keys of a recipe file; each is also a flag, such as `--task` or `--settings.rounds`.

    Attributes:
        method: name of the method.
        task: name of the task, such as `lab:sql?seed=7` or a path to a task file.
        seed: reaches everything that is drawn at random.
        models: name of the model for each role.
        settings: the method's own settings.
        budget: hard limits.
    """

    method: str
    task: str
    seed: int = 0
    models: dict[str, str] = Field(default_factory=dict[str, str])
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    budget: BudgetSettings = BudgetSettings()


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: every name in it is known, every setting has a value.

    Attributes:
        keys: the recipe's keys, with defaults filled in.
        method: what it trains.
        settings: the method's settings.
        models: model name of each role, defaults filled in.
        source: the file as given, or an empty text if all came from flags.
        name: short name for the run folder.
    """

    keys: RecipeKeys
    method: Method
    settings: Settings
    models: Mapping[str, str]
    source: str
    name: str

    @property
    def seed(self) -> int:
        """Seed of everything in the run."""
        return self.keys.seed

    @cached_property
    def task(self) -> Task:
        """The task, loaded at first use.

        Raises:
            TaskError: the task cannot be loaded.
        """
        return load_task(self.keys.task)

    @property
    def asked(self) -> Mapping[str, str]:
        """Model name of every role that is asked, the task's own (a judge, a simulated customer) included.

        Raises:
            TaskError: the task cannot be loaded.
        """
        scorer, environment = self.task.scorer, self.task.environment
        if isinstance(environment, AskingEnvironment):
            return {**self.models, **{f"{role}{_OF_THE_TASK}": name for role, name in environment.models.items()}}
        return {**self.models, JUDGE: scorer.model} if isinstance(scorer, JudgeScorer) else self.models

    def settings_as(self, kind: type[MethodSettings]) -> MethodSettings:
        """Return the settings under the type of the method that asks, which is the method of the recipe."""
        assert isinstance(self.settings, kind), f"a recipe of {self.method.name}"
        return self.settings

    @cached_property
    def prices(self) -> Prices:
        """The price table, empty if the recipe names none.

        Raises:
            SettingsError: the table cannot be read, or money is limited and a model's price is unknown.
        """
        table = self.keys.budget.prices
        prices = read_prices(table) if table else Prices()
        self.keys.budget.refuse_unpriced(prices, self.asked.values())
        return prices

    def resolved(self) -> dict[str, Any]:
        """Return everything that can change what the run learns: a run is continued only if this is the same.

        The budget is left out, so that it can be raised, and so is how an endpoint is called.
        """
        return {
            "method": self.keys.method,
            "task": self.keys.task,
            "task_fingerprint": self.task.fingerprint,
            "seed": self.seed,
            "models": {role: identity_of(name) for role, name in self.models.items()},
            "settings": self.settings.model_dump(mode="json"),
        }


def read_recipe(path: Path | None, flags: Mapping[str, str] | None = None, *, quick: bool = False) -> Recipe:
    """Read a recipe from a file, from flags, or from a file with flags on top.

    Args:
        path: the TOML file, or None if the flags say everything.
        flags: dotted keys and their texts, such as `{"settings.rounds": "3"}`; they win over the file.
        quick: use the method's settings for a short version of the same thing, but for whole numbers of which the file
            has smaller ones; explicit flags still win.

    Raises:
        SettingsError: one line for each problem in the recipe.
    """
    document = read_document(path) if path else Document()
    flags = dict(flags or {})
    document.override({key: text for key, text in flags.items() if key == "method"})
    if quick:
        document.override({f"settings.{key}": text for key, text in _shorter(_method(document), document).items()})
    document.override(flags)
    source = path.read_text(encoding="utf-8") if path else ""
    return check_recipe(document, source, path.stem if path else "")


def check_recipe(document: Document, source: str = "", name: str = "") -> Recipe:
    """Check a recipe's keys, its method's settings and its models, all at once.

    Args:
        document: the recipe as read.
        source: its text, kept in the run folder.
        name: for the run folder; by default the method's name.

    Raises:
        SettingsError: one line for each problem.
    """
    method = _method(document)
    problems: list[str] = []
    keys, settings = RecipeKeys(method="", task=""), method.settings()
    try:
        keys = read_settings(RecipeKeys, document)
    except SettingsError as error:
        problems.append(str(error))
    try:
        settings = read_settings(method.settings, document.table("settings"))
    except SettingsError as error:
        problems.append(str(error))
    problems += _model_problems(document, method, keys)
    if problems:
        raise SettingsError("\n".join(problems))
    models = {role: need.default for role, need in method.roles.items() if need.default} | keys.models
    return Recipe(keys, method, settings, models, source, name or method.name)


def stored_role(role: str) -> str:
    """Return the role under which a run stores the calls of one that is asked: a task's own models have short ones."""
    return role.removesuffix(_OF_THE_TASK)


def _shorter(method: Method, document: Document) -> dict[str, str]:
    """Return the settings of the short version that make no count larger than it is without them."""
    try:
        settings = read_settings(method.settings, document.table("settings"))
    except SettingsError:  # all problems are told together, later
        return dict(method.quick)
    now: dict[str, Any] = {key: attrgetter(key)(settings) for key in method.quick}
    return {
        key: text
        for key, text in method.quick.items()
        if not (type(now[key]) is int and text.isdigit() and now[key] < int(text))
    }


def _method(document: Document) -> Method:
    name = document.data.get("method")
    if name is None:
        raise SettingsError(f"{document.name}: method: is missing; known methods: {', '.join(METHODS)}")
    if not isinstance(name, str) or name not in METHODS:
        near = nearest(str(name), list(METHODS)) or f"; known methods: {', '.join(METHODS)}"
        raise SettingsError(f"{document.origin(('method',))}: method: there is no method {name!r}{near}")
    return load_method(name)


def _model_problems(document: Document, method: Method, keys: RecipeKeys) -> list[str]:
    problems: list[str] = []
    for role in keys.models:
        if role not in method.roles:
            near = nearest(role, list(method.roles)) or f"; roles of {method.name}: {', '.join(method.roles)}"
            problems.append(f"{document.origin(('models', role))}: models.{role}: no such role{near}")
    for role, name in keys.models.items():
        try:
            scheme_of(name)
        except ModelError as error:
            problems.append(f"{document.origin(('models', role))}: models.{role}: {error}")
    for role, need in method.roles.items():
        if need.default is None and need.required and role not in keys.models:
            problems.append(f"{document.origin(('models',))}: models.{role}: is missing ({need.purpose})")
    return problems
