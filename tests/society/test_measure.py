"""When a line stops, what is compared with what, and what is drawn."""

from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.atomic import read_json
from fulcrum.report.curves import read_charts
from fulcrum.society.arms import LINES
from fulcrum.society.measure import Point, best_iteration, plateau, write_curve, write_points
from fulcrum.society.settings import SocietySettings


def point(iteration: int, right: int, n: int = 200, disagreement: float = 0.5) -> Point:
    values = {f"q{place}": float(place < right) for place in range(n)}
    share = right / n
    return Point(
        "society", iteration, "dev", n, right, share, share, share, 9, 900, {"disagreement": disagreement}, values
    )


@pytest.mark.parametrize(
    ("right", "patience", "stops"),
    [
        ([60, 90], 1, False),
        ([60, 90, 91], 1, True),
        ([60, 75, 90], 2, False),
        ([60, 90, 91, 92], 2, True),
        ([60, 58], 2, False),
        ([60, 40, 30, 20], 0, False),
    ],
)
def test_it_stops_when_patience_iterations_brought_nothing(right: list[int], patience: int, stops: bool) -> None:
    points = [point(iteration, count) for iteration, count in enumerate(right)]
    settings = SocietySettings(patience=patience, iterations=9)
    sentence = plateau(points, LINES["society"], len(right) - 1, settings)
    assert bool(sentence) == stops
    if sentence:
        assert f"iteration {len(right) - 1}" in sentence and "200 dev questions" in sentence


def test_it_stops_when_nobody_disagrees_any_more() -> None:
    settings = SocietySettings(min_disagreement=0.1)
    points = [point(0, 60), point(1, 120, disagreement=0.05)]
    assert "min_disagreement" in (plateau(points, LINES["society"], 1, settings) or "")


def test_the_best_iteration_is_not_one_that_left_the_hard_questions_unanswered() -> None:
    settings, line = SocietySettings(), LINES["society"]
    some = {question: value for question, value in point(2, 57).values.items() if question < "q157"}
    shorter = replace(point(2, 57), values=some, n=len(some), mean=57 / len(some))
    points = [point(0, 10), point(1, 80), shorter, point(3, 80)]
    assert shorter.mean > points[1].mean * 0.5 and best_iteration(points, line, settings, 3) == 1
    assert best_iteration([], line, settings, 3) == 3


def arm(name: str, iteration: int, right: int) -> Point:
    return replace(point(iteration, right), arm=name, diversity={"disagreement": 0.5, "kl": 0.25})


def test_the_society_is_paired_with_every_arm_after_the_same_iteration(tmp_path: Path) -> None:
    points = [
        *(arm("direct", 0, 50), arm("self-consistency", 0, 60)),
        *(arm("single-agent", 0, 40), arm("single-agent", 1, 80), arm("no-critic", 0, 30)),
        *(arm("society", 0, 60), arm("society", 1, 100)),
    ]
    write_points(tmp_path / "points.json", points)
    rows = read_json(tmp_path / "points.json")
    *others, first, second = rows
    assert not any("ahead_of" in row for row in others)
    assert {name: round(gain[0], 6) for name, gain in first["ahead_of"].items()} == {
        "self-consistency": 0.0,
        "single-agent": 0.1,
        "no-critic": 0.15,
    }
    assert set(second["ahead_of"]) == {"self-consistency", "single-agent"}
    estimate, low, high = second["ahead_of"]["single-agent"]
    assert estimate == pytest.approx(0.1) and 0 < low < estimate < high


def test_every_measure_of_diversity_that_there_is_is_drawn_beside_the_score(tmp_path: Path) -> None:
    write_curve(tmp_path / "artifact", [arm("debate", 0, 50), arm("society", 0, 60), arm("society", 1, 100)], 1)
    charts = {chart.y_label: chart for chart in read_charts(tmp_path)}
    assert [series.name for series in charts["dev score, points"].series] == ["debate", "society"]
    assert len(charts) == 3
    (series,) = charts["surprise at answers, nats a token"].series
    assert series.name == "society, difference" and [one.y for one in series.points] == [0.25, 0.25]
    (series,) = charts["first answers that differ from the vote, %"].series
    assert series.name == "society" and [one.y for one in series.points] == [50, 50]


def test_without_a_measure_it_goes_on() -> None:
    assert plateau([], LINES["society"], 3, SocietySettings()) is None
