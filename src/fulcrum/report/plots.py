"""Where lines and points lie: horizontal places in percent of the width, so that no page size distorts a letter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fulcrum.evaluation.compare import RunDifference
from fulcrum.evaluation.figures import number, signed, spread
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.report.curves import Chart, Point

_LABEL = 44
"""Characters of a name that fit on the narrowest screen."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: its place and its label."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from figures to places; `low` falls on `start` and `high` on `end`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return the place of a figure, to a hundredth."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2) + 0.0


_TINY = 1e-200
"""Below this a figure is nothing, and its logarithm no help."""


def round_steps(low: float, high: float, about: int) -> list[float]:
    """Return round figures at equal steps of 1, 2 or 5 that enclose `low` to `high`, about `about` of them.

    >>> round_steps(-3.2, 21, 5)
    [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
    """
    size = max(abs(low), abs(high))
    size = size if size > _TINY else 1.0
    wide = high - low if high - low > 1e-9 * size else size  # what is level to the eye gets room of its own
    power = 10.0 ** math.floor(math.log10(wide / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if wide / (power * factor) <= about + 1e-9)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * place:.12g}") + 0.0 for place in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True, slots=True)
class ForestLine:
    """One difference with its interval, in percent of the width."""

    name: str
    role: str
    value: str
    said: str
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Forest:
    """Differences under each other around zero."""

    lines: list[ForestLine]
    ticks: list[Tick]
    zero: float


def forest_of_rows(rows: Sequence[EvaluationRow]) -> Forest | None:
    """Return the plot of all rows that have a difference from the baseline; None if none has."""
    return _forest(
        [
            (row.solver, row.role_of_solver, row.difference, row.difference_low, row.difference_high)
            for row in rows
            if row.difference is not None and row.difference_low is not None and row.difference_high is not None
        ]
    )


def forest_of_differences(differences: Sequence[RunDifference]) -> Forest | None:
    """Return the plot of methods against each other, second minus first; None if there are none."""
    return _forest(
        [
            (f"{pair.second} over {pair.first}", "method", gap.estimate, gap.low, gap.high)
            for pair in differences
            for gap in [pair.pairing.difference]
        ]
    )


def _forest(found: Sequence[tuple[str, str, float, float, float]]) -> Forest | None:
    if not found:
        return None
    steps = round_steps(min(0.0, *(low for *_, low, _ in found)), max(0.0, *(high for *_, high in found)), 5)
    scale = Scale(steps[0], steps[-1], 2, 98)
    lines = [
        ForestLine(
            _shorten(name),
            role,
            f"{signed(estimate)}, {spread(low, high)}",
            f"{name}: {signed(estimate)} points, {spread(low, high)}",
            scale.place(estimate),
            scale.place(low),
            scale.place(high),
        )
        for name, role, estimate, low, high in found
    ]
    ticks = [Tick(scale.place(step), ("+" if step > 0 else "") + number(100 * step)) for step in steps]
    return Forest(lines, ticks, scale.place(0.0))


def _shorten(name: str) -> str:
    return name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"


@dataclass(frozen=True, slots=True)
class Line:
    """One series: an SVG path, the outline of its intervals, and where its points lie; in thousandths of the frame."""

    name: str
    path: str
    band: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class LineChart:
    """A chart, ready to be drawn in a frame of 1000 by 1000."""

    chart: Chart
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]

    @property
    def said(self) -> str:
        """The chart in a few words, for those who cannot see it."""
        ends = [
            f"{series.name} goes from {number(series.points[0].y)} to {number(series.points[-1].y)}"
            for series in self.chart.series
        ]
        return f"{self.chart.y_label} by {self.chart.x_label}. {'; '.join(ends)}."


_MARKS = 24
"""Points of a line that are marked, to tell it from the others."""


def line_chart(chart: Chart) -> LineChart:
    """Return where everything of a chart lies."""
    points = [point for series in chart.series for point in series.points]
    heights = [height for point in points for height in (point.y, point.low, point.high) if height is not None]
    x_steps = round_steps(min(point.x for point in points), max(point.x for point in points), 6)
    y_steps = round_steps(min(heights), max(heights), 5)
    # Room at the left for the labels of the y axis; x ends where the data end, not at the next round figure.
    x = Scale(min(point.x for point in points), max(point.x for point in points), 120, 980)
    if x.low == x.high:
        x = Scale(x.low - 1, x.high + 1, x.start, x.end)
    y = Scale(y_steps[0], y_steps[-1], 1000, 0)
    lines = [Line(series.name, *_drawn(series.points, x, y)) for series in chart.series]
    if len(lines) == 1 and len(points) > _MARKS:
        lines = [replace(lines[0], dots=[])]  # there is no other line to tell it from
    return LineChart(
        chart,
        lines,
        [Tick(x.place(step) / 10, number(step)) for step in x_steps if x.low <= step <= x.high],
        [Tick(y.place(step) / 10, number(step)) for step in y_steps],
    )


def _drawn(points: Sequence[Point], x: Scale, y: Scale) -> tuple[str, str, list[tuple[float, float]]]:
    dots = [(x.place(point.x), y.place(point.y)) for point in points]
    ends = [(x.place(p.x), y.place(p.low), y.place(p.high)) for p in points if p.low is not None and p.high is not None]
    outline = [(place, high) for place, _, high in ends] + [(place, low) for place, low, _ in reversed(ends)]
    marked = [(round(place / 10, 3), round(height / 10, 3)) for place, height in dots[:: math.ceil(len(dots) / _MARKS)]]
    return _path(dots), _path(outline) + "Z" if len(ends) > 1 else "", marked


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{across:g},{down:g}" for across, down in places)
