"""When a line stops."""

import pytest

from fulcrum.society.arms import LINES
from fulcrum.society.measure import Point, plateau
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


def test_without_a_measure_it_goes_on() -> None:
    assert plateau([], LINES["society"], 3, SocietySettings()) is None
