"""Public data sets in the formats in which they are published."""

import json
from pathlib import Path
from typing import Any, cast

from fulcrum.errors import TaskError
from fulcrum.task.example import Example, Split
from fulcrum.task.files import missing_file, read_rows
from fulcrum.task.load import Sizes, TaskSpec
from fulcrum.task.prompt import PromptTemplate
from fulcrum.task.scorers import ChoiceScorer, NumberScorer
from fulcrum.task.split import split_by_hash
from fulcrum.task.task import Task

_DEV_SHARE = 0.1


def load_gsm8k(spec: str) -> Task:
    r"""Return GSM8K from a folder with `train.jsonl` and `test.jsonl` (Cobbe et al., arXiv 2110.14168).

    The official test split stays test; a tenth of train becomes dev by content hash. The worked solution is kept as
    the metadata `solution`.

    Raises:
        TaskError: a file is missing, or a row is not of that format.
    """
    parsed = TaskSpec.parse(spec)
    sizes = parsed.read_options(Sizes)

    def read(name: str) -> list[Example]:
        examples: list[Example] = []
        for row in read_rows(Path(parsed.path) / f"{name}.jsonl"):
            solution = row.values.get("answer")
            if (
                not isinstance(row.values.get("question"), str)
                or not isinstance(solution, str)
                or "####" not in solution
            ):
                raise TaskError(f"{row.source}: not a row of GSM8K: a question, and an answer that ends in '#### N'")
            target = solution.rpartition("####")[2].strip()
            fields = {"question": row.values["question"]}
            examples.append(Example(fields, target, {"solution": solution}, row.source))
        return examples

    return Task(
        name=spec,
        splits=_cut(spec, sizes, train=read("train"), test=read("test")),
        template=PromptTemplate(
            "{question}\n\nReason step by step, and put the final number in \\boxed{{}}.",
        ),
        scorer=NumberScorer(),
        max_tokens=512,
    )


def load_banking77(spec: str) -> Task:
    """Return BANKING77 from a folder with `train.csv`, `test.csv`, `categories.json` (Casanueva et al., 2020).

    The official test split stays test, whole; a tenth of train becomes dev by content hash. A few messages stand
    twice and differ in their spaces alone: train keeps the first of them, and none that stands in test.

    Raises:
        TaskError: a file is missing, or a row is not of that format.
    """
    parsed = TaskSpec.parse(spec)
    sizes = parsed.read_options(Sizes)
    folder = Path(parsed.path)

    def read(name: str) -> list[Example]:
        examples: list[Example] = []
        for row in read_rows(folder / f"{name}.csv"):
            if set(row.values) != {"text", "category"}:
                raise TaskError(f"{row.source}: not a row of BANKING77: the columns are text and category")
            examples.append(Example({"text": row.values["text"]}, row.values["category"], source=row.source))
        return examples

    test = read("test")
    seen = {_without_space(example) for example in test}
    train: list[Example] = []
    for example in read("train"):
        if (text := _without_space(example)) not in seen:
            seen.add(text)
            train.append(example)
    labels = _categories(folder / "categories.json")
    listed = "\n".join(label.replace("{", "{{").replace("}", "}}") for label in labels)
    return Task(
        name=spec,
        splits=_cut(spec, sizes, train=train, test=test),
        template=PromptTemplate(
            user="{text}",
            system=f"What does this customer of a bank want? Answer with one of these labels, and no more:\n{listed}",
        ),
        scorer=ChoiceScorer(labels=labels),
        max_tokens=32,
    )


def _cut(spec: str, sizes: Sizes, train: list[Example], test: list[Example]) -> dict[Split, list[Example]]:
    """Cut dev from train, and draw the sizes that the spec asks for."""
    splits = split_by_hash(train, {"train": 1 - _DEV_SHARE, "dev": _DEV_SHARE}, sizes.seed)
    splits["test"] = test
    return {split: sizes.draw(spec, split, examples) for split, examples in splits.items()}


def _without_space(example: Example) -> str:
    return " ".join(example.fields["text"].split())


def _categories(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise missing_file(path)
    try:
        labels: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TaskError(f"{path}: not JSON: {error}") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in cast(list[Any], labels)):
        raise TaskError(f"{path}: not a list of labels")
    return tuple(cast(list[str], labels))
