"""The parts of a page: items, curves, plots, card, text, colours."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.errors import RunError
from fulcrum.evaluation.figures import duration, signed
from fulcrum.evaluation.pairing import outcomes, pair
from fulcrum.evaluation.table import rows_from
from fulcrum.report import tables
from fulcrum.report.card import render_card
from fulcrum.report.curves import read_charts
from fulcrum.report.items import before_after
from fulcrum.report.plots import forest_of_rows, line_chart, round_steps
from fulcrum.report.text import Allowance, cut, visible
from support.evaluation import made
from support.report import Page, point, write_curve

DIRECT = made("direct", "baseline", [1] * 30 + [0] * 70)
BETTER = made("mine", "method", [1] * 60 + [0] * 40)


def test_examples_are_counted_as_the_pairing_counts_and_drawn_by_seed() -> None:
    after = made("mine", "method", [0] * 5 + [1] * 50 + [0] * 43 + ["server"] * 2)
    found = before_after(DIRECT, after, {}, seed=3)
    pairing = pair(outcomes(DIRECT.rollouts), outcomes(after.rollouts))
    assert pairing is not None
    fixed, broken, unchanged = found.kinds
    assert (fixed.count, broken.count) == (pairing.rescued, pairing.broken) == (25, 5)
    assert unchanged.count == pairing.n - 30 and found.unpaired == 2
    assert [len(kind.items) for kind in found.kinds] == [3, 3, 3]
    assert all((item.before.verdict, item.after.verdict) == ("wrong", "right") for item in fixed.items)
    assert all((item.before.verdict, item.after.verdict) == ("right", "wrong") for item in broken.items)
    assert before_after(DIRECT, after, {}, seed=3) == found
    seeds = {tuple(item.question_id for item in before_after(DIRECT, after, {}, s).kinds[0].items) for s in range(5)}
    assert len(seeds) > 1


def test_a_row_says_on_how_many_examples_its_difference_rests() -> None:
    rows = rows_from([made("direct", "baseline", [1, 0, "timeout"]), made("mine", "method", [1, 1, 1])], "direct")
    examples = [row.cells[tables.achieved(rows).columns.index("Examples") - 1] for row in tables.achieved(rows).rows]
    assert [(cell.value, cell.beside) for cell in examples] == [(2, ""), (3, "2 paired")]
    assert not any(
        "paired" in cell.beside
        for row in tables.achieved(rows_from([DIRECT, BETTER], "direct")).rows
        for cell in row.cells
    )


@pytest.mark.parametrize("n", [1, 4, 30, 6_000, 100_000])
def test_no_two_ticks_of_a_forest_have_one_label(n: int) -> None:
    before, after = made("direct", "baseline", [1] * n), made("mine", "method", [0] + [1] * (n - 1))
    forest = forest_of_rows(rows_from([before, after], "direct"))
    assert forest is not None
    labels = [tick.label for tick in forest.ticks]
    assert len(set(labels)) == len(labels) and "0" in labels
    shown = [float(label.replace("\N{MINUS SIGN}", "-")) for label in labels]
    assert {round(after - before, 9) for before, after in pairwise(shown)} == {round(shown[1] - shown[0], 9)}


def test_curves_share_a_chart_by_labels_and_run_by_x(tmp_path: Path) -> None:
    write_curve(
        tmp_path / "stages" / "b-1", [point(x=2, y=1), point(x=1, y=5), point("b", y=1), point(y_label="skill")]
    )
    write_curve(tmp_path / "artifact" / "agents" / "g1", [point()])
    loss, skill, agent = read_charts(tmp_path)
    assert [series.name for series in loss.series] == ["a", "b"]
    assert [p.x for p in loss.series[0].points] == [1, 2]
    assert (skill.y_label, skill.source, agent.source) == ("skill", "stages/b-1", "artifact/agents/g1")


def test_a_long_curve_is_thinned_and_keeps_its_ends(tmp_path: Path) -> None:
    write_curve(tmp_path / "artifact", [point(x=x) for x in range(5000)])
    (chart,) = read_charts(tmp_path)
    (series,) = chart.series
    assert (series.points[0].x, series.points[-1].x, series.of) == (0, 4999, 5000)
    steps = {after.x - before.x for before, after in pairwise(series.points)}
    assert max(steps) - min(steps) <= 1 and len(series.points) == 120


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([{"series": "a"}], r"\(0: x: Field required\)"),
        ([point(low=1.0)], "low and high come both or not at all"),
        ([point(y=float("inf"))], "finite"),
        ([point(colour="red")], "colour"),
        ({"a": 1}, "Input should be a valid array"),
    ],
)
def test_what_is_no_curve_is_refused_with_its_place(points: list[dict[str, object]], says: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=says):
        list(read_charts(write_curve(tmp_path / "artifact", points).parents[1]))


def test_a_chart_is_drawn_where_its_points_are(tmp_path: Path) -> None:
    write_curve(tmp_path / "artifact", [point(x=0, y=10, low=5, high=15), point(x=4, y=20, low=20, high=20)])
    chart = line_chart(read_charts(tmp_path)[0])
    (line,) = chart.lines
    (left, low), (right, high) = line.dots
    assert 0 < left < right < 100 and 100 > low > high >= 0
    places = {tick.label: tick.place for tick in chart.y_ticks}
    assert (places["10"], places["20"]) == (low, high)
    assert line.band.endswith("Z") and line.band.count(",") == 4


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(3, 9))
def test_round_steps_enclose_and_are_few(low: float, wide: float, about: int) -> None:
    steps = round_steps(low, low + wide, about)
    slack = 1e-6 * (1 + abs(low) + wide)
    assert steps[0] <= low + slack and steps[-1] >= low + wide - slack
    assert steps == sorted(set(steps)) and 2 <= len(steps) <= about + 3


def test_the_forest_puts_equal_differences_at_equal_places() -> None:
    rows = rows_from(
        [DIRECT, BETTER, replace(BETTER, solver="again"), made("down", "method", ["server"] * 100)], "direct"
    )
    forest = forest_of_rows(rows)
    assert forest is not None and [line.name for line in forest.lines] == ["mine", "again"]
    first, second = forest.lines
    assert first.estimate == second.estimate and forest.zero < first.low < first.estimate < first.high
    assert next(tick.place for tick in forest.ticks if tick.label == "0") == forest.zero
    assert forest_of_rows(rows[:1]) is None


@given(st.text())
def test_nothing_stays_unseen(text: str) -> None:
    shown = visible(text)
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", shown
    )
    assert visible(shown) == shown
    shown.encode("utf-8")


def test_joiners_of_scripts_and_emoji_stay() -> None:
    farsi = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert visible(f"👩\u200d🔬 {farsi}\ttab\r\nline") == f"👩\u200d🔬 {farsi}\ttab\nline"


@given(st.lists(st.text(max_size=50)), st.integers(0, 100))
def test_an_allowance_is_never_exceeded(texts: list[str], together: int) -> None:
    room = Allowance(20, together)
    taken = [room.take(text) for text in texts]
    assert sum(len(cut.text) for cut in taken) <= together
    assert all(len(piece.text) + piece.left_out == len(visible(text)) for piece, text in zip(taken, texts, strict=True))
    assert all(len(piece.text) <= 20 for piece in taken)


def test_figures_are_written_for_people() -> None:
    assert [signed(x) for x in (0.12345, -0.031, -0.0001)] == ["+12.3", "\N{MINUS SIGN}3.1", "0.0"]
    assert [duration(x).replace("\xa0", " ") for x in (3.44, 59.96, 125, 7800)] == [
        "3.4 s",
        "1 min 0 s",
        "2 min 5 s",
        "2 h 10 min",
    ]
    assert cut("abc", 2).left_out == 1


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "# a\n",
                    "### b\n",
                    "<script>",
                    "[a](javascript:b)",
                    "![a](http://b)",
                    "<http://c>",
                    "&#8238;",
                    "|a|\n|-|\n",
                ]
            ),
            st.text(max_size=20),
        ),
        max_size=12,
    )
)
def test_no_markdown_brings_anything_but_text(pieces: list[str]) -> None:
    html, _ = render_card("\n".join(pieces))
    page = Page(f"<main>{html}</main>")
    allowed = {"class", "role", "aria-label", "tabindex", "scope", "start"}
    assert not {element.tag for element in page.elements} & {"a", "img", "script", "style", "iframe"}
    assert all(set(element.attributes) <= allowed for element in page.elements)
    levels = [2, *(int(heading.tag[1]) for heading in page.all("h1", "h2", "h3", "h4", "h5", "h6"))]
    assert all(3 <= after <= before + 1 for before, after in pairwise(levels))
    assert "\u202e" not in html


def luminance(colour: str) -> float:
    digits = colour * 2 if len(colour) == 3 else colour
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_have_the_contrast_of_wcag_aa(scheme: int) -> None:
    style = Path(render_card.__code__.co_filename).with_name("templates").joinpath("style.css").read_text()
    roots = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    colours = dict(re.findall(r"--(\w+): #([0-9a-f]{3,6})", roots[scheme]))
    for text in ("ink", "quiet", "accent"):
        for ground in ("paper", "tint", "wash"):
            light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"
