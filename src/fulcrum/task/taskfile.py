"""Task files: a task described in TOML beside its data."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulcrum.errors import SettingsError, TaskError
from fulcrum.settings import Settings, nearest, read_document, read_settings
from fulcrum.task.example import SPLITS, Example, Split
from fulcrum.task.files import Row, made_of, read_rows
from fulcrum.task.load import Sizes, TaskSpec
from fulcrum.task.prompt import PromptTemplate
from fulcrum.task.scorers import ConfiguredScorer, make_scorer
from fulcrum.task.split import split_by_hash
from fulcrum.task.task import Task


class Shares(Settings):
    """How much of one data file goes to each split."""

    train: float = Field(default=0.8, ge=0)
    dev: float = Field(default=0.1, ge=0)
    test: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.dev + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, dev and test add up to {total:g}, not to 1")
        return self


class DataFiles(Settings):
    """One file to divide, or one file for each split; a split left out is empty."""

    file: Path | None = None
    train: Path | None = None
    dev: Path | None = None
    test: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_file(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _either(self) -> Self:
        splits = {split for split in SPLITS if getattr(self, split) is not None}
        if bool(splits) == (self.file is not None):
            raise ValueError("give one file to divide, or one file for each of train, dev, test")
        return self


class Prompt(Settings):
    """The prompt, with `{column}` where a field goes."""

    user: str
    system: str = ""

    @field_validator("user", "system")
    @classmethod
    def _is_template(cls, text: str) -> str:
        try:
            PromptTemplate(text)
        except TaskError as error:
            raise ValueError(str(error)) from error
        return text


class ScorerTable(Settings, extra="allow"):
    """The scorer's kind; its own settings are checked by that kind."""

    kind: str


class TaskFile(Settings):
    """The keys of a task file.

    Attributes:
        name: what results call the task.
        data: one file that `shares` divides by content hash, or a table with one file for each split; both are
            relative to the task file.
        shares: for one data file: how much goes to each split.
        seed: for one data file: another seed divides it another way.
        target: column that holds the right answer; in a train file of its own it may be missing or blank.
        fields: columns that make up the input; if not said those that the prompt shows, or every column but the target
            if it shows none.
        prompt: how an example becomes messages.
        scorer: kind and settings of the scorer.
        max_tokens: a good limit for one answer.
    """

    name: str
    data: DataFiles
    shares: Shares | None = None
    seed: int = 0
    target: str | None = None
    fields: tuple[str, ...] | None = None
    prompt: Prompt
    scorer: ScorerTable
    max_tokens: PositiveInt = 256

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.data.file is None and self.shares is not None:
            raise ValueError("shares divide one data file, but data names a file for each split; drop one of them")
        if self.fields is not None and self.target in self.fields:
            raise ValueError(f"{self.target!r} is the target and cannot be one of the fields: models see the fields")
        return self


def load_task_file(spec: str) -> Task:
    """Return the task that a TOML file describes; `TASK.toml?train=300&seed=1` draws a sample of a split.

    Raises:
        SettingsError: the file cannot work; every problem is named with its line.
        TaskError: its data cannot work; the first rows that cannot are named.
    """
    parsed = TaskSpec.parse(spec)
    sizes = parsed.read_options(Sizes)
    path = Path(parsed.path)
    settings, scorer = _read(path)
    splits = _splits(settings, path.parent)
    return Task(
        name=settings.name,
        splits={split: sizes.draw(spec, split, examples) for split, examples in splits.items()},
        template=PromptTemplate(settings.prompt.user, settings.prompt.system),
        scorer=scorer.located(path.parent),
        max_tokens=settings.max_tokens,
    )


def _splits(settings: TaskFile, folder: Path) -> dict[Split, list[Example]]:
    def read(file: Path, split: Split | None = None) -> list[Example]:
        return made_of(read_rows(folder / file), lambda row: _example(row, settings, labelled=split != "train"))

    if settings.data.file is not None:
        shares = (settings.shares or Shares()).model_dump()
        return split_by_hash(read(settings.data.file), shares, settings.seed)
    return {split: read(file, split) for split in SPLITS if (file := getattr(settings.data, split)) is not None}


def _read(path: Path) -> tuple[TaskFile, ConfiguredScorer]:
    """Check the file's own keys and the scorer's, so that all problems are shown at once."""
    document = read_document(path)
    problems: list[str] = []
    settings: TaskFile | None = None
    scorer: ConfiguredScorer | None = None
    try:
        settings = read_settings(TaskFile, document)
    except SettingsError as error:
        problems.append(str(error))
    if isinstance(document.data.get("scorer"), dict):
        own = document.table("scorer")
        kind = own.data.get("kind")
        own.data = {key: value for key, value in own.data.items() if key != "kind"}
        try:
            # A kind that is missing or no text is among the problems already.
            scorer = make_scorer(kind, own) if isinstance(kind, str) else None
        except SettingsError as error:
            problems.append(str(error))
    if settings and scorer and scorer.needs_target and settings.target is None:
        problems.append(f"{path}: target: is missing; the scorer {scorer.kind!r} needs the column of right answers")
    if settings is None or scorer is None or problems:
        raise SettingsError("\n".join(problems))
    return settings, scorer


def _example(row: Row, settings: TaskFile, *, labelled: bool) -> Example:
    template = PromptTemplate(settings.prompt.user, settings.prompt.system)
    inputs = {name: value for name, value in row.values.items() if name != settings.target}
    names = settings.fields or tuple(template.shown(inputs))
    if labelled and settings.target and settings.target not in row.values:
        near = nearest(settings.target, list(row.values))
        raise TaskError(f"{row.source}: the target is missing: no column {settings.target!r}{near}")
    for name in names:
        if name not in row.values:
            raise TaskError(f"{row.source}: no column {name!r}{nearest(name, list(row.values))}")
    if hidden := sorted(template.names() - set(names)):
        known = list(settings.fields or inputs)
        near = nearest(hidden[0], known)
        raise TaskError(f"{row.source}: the prompt shows {{{hidden[0]}}}; the inputs are {', '.join(known)}{near}")
    if nulls := sorted(name for name in template.names() if row.values[name] is None):
        raise TaskError(
            f"{row.source}: the prompt shows {{{nulls[0]}}}, which is null here; write an empty text if nothing "
            "belongs there, or leave the row out"
        )
    target = row.values.get(settings.target) if settings.target else None
    target = None if target == "" else target
    if labelled and settings.target and target is None:
        raise TaskError(f"{row.source}: the target {settings.target!r} is blank")
    rest = row.values.keys() - set(names) - {settings.target}
    return Example(
        fields={name: row.values[name] for name in names},
        target=target,
        metadata={name: value for name, value in row.values.items() if name in rest},
        source=row.source,
    )
