"""`curve.json`: what a method wants drawn. Methods write it, this module reads it.

A method that has something to show over time writes `curve.json` into a folder of its stages or into its artifact: a
JSON list of points, one object a point.

::

    [
      {"series": "society", "x": 0, "y": 41.7, "low": 38.1, "high": 45.2,
       "x_label": "iteration", "y_label": "dev score, points"},
      {"series": "society", "x": 1, "y": 47.0, "low": 43.4, "high": 50.6,
       "x_label": "iteration", "y_label": "dev score, points"}
    ]

`series`, `x`, `y`, `x_label` and `y_label` are required; `low` and `high`, the ends of an interval, come both or not at
all, and may be null. Points with the same two labels share a chart, those with the same `series` a line, which runs
from point to point as `x` grows. Figures are drawn as they are: a share to be read in points is written in points.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from fulcrum.errors import RunError

FILE = "curve.json"

_MOST_POINTS = 120
"""Points of one chart that a page draws, of all its lines together."""


class Point(BaseModel):
    """One point of a curve.

    Attributes:
        series: the line that it belongs to.
        x: where it stands.
        y: how high.
        low: lower end of its interval.
        high: upper end.
        x_label: what `x` counts, with its unit.
        y_label: what `y` measures, with its unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    series: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    x_label: str
    y_label: str

    @model_validator(mode="after")
    def _an_interval_has_two_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high come both or not at all")
        return self


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its points by growing `x`, and how many there were before it was thinned."""

    name: str
    points: tuple[Point, ...]
    of: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines with the same axes.

    Attributes:
        source: the folder of the run that held the file.
        x_label: what `x` counts.
        y_label: what `y` measures.
        series: the lines, in the order of the file.
    """

    source: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]


def read_charts(run: Path) -> list[Chart]:
    """Return the charts of a run: those of its stages by name, then those of its artifact.

    Raises:
        RunError: a file is not in the format above; the text says where.
    """
    files = [*sorted(run.glob(f"stages/**/{FILE}")), *sorted(run.glob(f"artifact/**/{FILE}"))]
    return [chart for file in files for chart in _charts(file, file.parent.relative_to(run).as_posix())]


def _charts(file: Path, source: str) -> Iterator[Chart]:
    try:
        read = TypeAdapter(list[Point]).validate_json(file.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = "".join(f"{part}: " for part in problem["loc"])
        raise RunError(
            f"{file}: not a list of curve points ({place}{problem['msg']}); mend or remove the file"
        ) from error
    axes: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for point in read:
        axes.setdefault((point.x_label, point.y_label), {}).setdefault(point.series, []).append(point)
    for (x_label, y_label), lines in axes.items():
        most = max(2, _MOST_POINTS // len(lines))
        series = tuple(Series(name, _thinned(points, most), len(points)) for name, points in lines.items())
        yield Chart(source, x_label, y_label, series)


def _thinned(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """Return the points by growing `x`: at most `most`, evenly chosen, the first and the last among them."""
    ordered = sorted(points, key=lambda point: point.x)
    if len(ordered) <= most:
        return tuple(ordered)
    last = len(ordered) - 1
    return tuple(ordered[round(place * last / (most - 1))] for place in range(most))
