"""Run folders with results made by hand, and a page as a reader of its structure meets it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fulcrum.evaluation.results import write_results
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.solver import RoleOfSolver
from fulcrum.evaluation.table import rows_from, write_evaluation
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run
from fulcrum.runs.learn import learn
from support.evaluation import made

VOID = {"meta", "link", "br", "hr", "img", "input"}


def learned_run(folder: Path, recipe_file: Path, **flags: str) -> Path:
    """Start the run of a recipe file and let it learn; return its folder."""
    recipe = read_recipe(
        recipe_file, {f"settings.{key}" if key != "seed" else key: text for key, text in flags.items()}
    )
    with Run(folder, recipe) as run:
        learn(run)
    return folder


def question_ids(run: Path) -> list[str]:
    """Return the ids of the test questions of a run's task."""
    return [example.id for example in read_recipe(run / "recipe.toml").task.examples("test")]


def attempts(
    run: Path, solver: str, role: RoleOfSolver, values: Sequence[float | str | None], **more: Any
) -> SolverRollouts:
    """Return results by hand on the first test questions of a run's task."""
    return made(solver, role, dict(zip(question_ids(run), values, strict=False)), **more)


def saying(result: SolverRollouts, text: str, **more: Any) -> SolverRollouts:
    """Return results in which every answer has one text, feedback included."""
    return replace(
        result,
        rollouts=tuple(
            replace(rollout, text=text, score=replace(rollout.score, feedback=text), **more)
            for rollout in result.rollouts
        ),
    )


def evaluate_by_hand(run: Path, results: Sequence[SolverRollouts]) -> Path:
    """Write results into a run as `fulcrum evaluate` does; the first is the baseline."""
    write_results(run, results)
    write_evaluation(run / "evaluation.json", rows_from(results, results[0].solver))
    return run


def write_curve(folder: Path, points: Sequence[Mapping[str, Any]]) -> Path:
    """Write `curve.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "curve.json").write_text(json.dumps(points))
    return folder / "curve.json"


def point(series: str = "a", x: float = 0, y: float = 0, **more: Any) -> dict[str, Any]:
    return {"series": series, "x": x, "y": y, "x_label": "step", "y_label": "loss", **more}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    parents: tuple["Element", ...]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


class Page(HTMLParser):
    """The elements of a page; refuses tags that are not nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), tuple(self._open))
        if self._open:
            self._open[-1].children.append(element)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        element = self._open.pop()
        assert element.tag == tag, f"<{element.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].children.append(data)

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    @property
    def text(self) -> str:
        return "".join(element.text for element in self.all("body"))

    def rows(self, table: int = 0) -> dict[str, list[Element]]:
        """Return the cells of one table by the heading of their row."""
        inside = self.all("table")[table]
        rows = [element for element in self.all("tr") if inside in element.parents][1:]
        cells = [[child for child in row.children if isinstance(child, Element)] for row in rows]
        return {_own_text(heading): figures for heading, *figures in cells}


def _own_text(element: Element) -> str:
    return "".join(child for child in element.children if isinstance(child, str)).strip()


def figures(cells: Sequence[Element]) -> list[float | None]:
    """Return the unrounded figures of cells; None for a cell without."""

    def figure(element: Element) -> float | None:
        if element.tag == "data":
            return float(element.attributes["value"] or "")
        found = [figure(child) for child in element.children if isinstance(child, Element)]
        return next((value for value in found if value is not None), None)

    return [figure(cell) for cell in cells]
