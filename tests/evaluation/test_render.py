import io

from rich.console import Console, RenderableType

from fulcrum.calls import Spend
from fulcrum.evaluation.compare import compare
from fulcrum.evaluation.render import conclusions, difference_table, evaluation_table
from fulcrum.evaluation.table import rows_from
from support.evaluation import made


def printed(table: RenderableType, width: int = 80) -> str:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return text.getvalue()


DIRECT = made("direct", "baseline", [1] * 30 + [0] * 70)
BETTER = made("mine", "method", [1] * 60 + [0] * 40)


def test_the_table_shows_points_with_intervals_and_dashes_where_nothing_is_measured() -> None:
    lines = printed(evaluation_table(rows_from([BETTER, DIRECT], "direct"))).splitlines()
    baseline, method = (next(line for line in lines if line.startswith(name)) for name in ("direct", "mine"))
    assert lines.index(baseline) < lines.index(method)
    assert "30.0 [" in baseline
    assert baseline.split()[-3:] == ["-", "-", "-"]
    assert "+30.0 [" in method
    assert method.split()[-4:] == ["0.0", "%", "42.9", "%"]


def test_no_figure_is_cut_on_a_narrow_terminal() -> None:
    name = "supplemented-by-another-generator"
    spend = {"actor": Spend(calls=12_000, prompt_tokens=98_765_432, seconds=123_456.7, cost=1234.5678)}
    before, after = [1] * 50 + [0] * 50, [0] * 50 + [1] * 50
    rows = rows_from([made("direct", "baseline", before), made(name, "method", after, spend=spend)], "direct")
    text = printed(evaluation_table(rows), width=80)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    for figure in ("100.0 %", "12,000", "98,765,432", "123,456.7", "1,234.5678"):
        assert figure in text


def test_an_all_failed_solver_shows_dashes_and_an_unknown_price_is_said() -> None:
    down = made("down", "method", ["timeout"], spend={"actor": Spend(calls=1, cost=None)})
    lines = printed(evaluation_table(rows_from([DIRECT, down], "direct"))).splitlines()
    achieved, took = (line.split() for line in lines if line.startswith("down"))
    assert achieved == ["down", "method", "-", "-", "-", "-"]
    assert took == ["down", "0", "-", "1", "1", "0", "0.0", "unknown"]


def test_a_clear_gain_is_said_with_harm_and_the_strongest_control() -> None:
    weak, strong = made("dummy", "control", [0] * 100), made("shuffled", "control", [1] * 33 + [0] * 67)
    said = conclusions(rows_from([DIRECT, BETTER, weak, strong], "direct"))
    assert said[0].startswith("mine is better than direct: +30.0 [")
    assert said[0].endswith("It breaks 0.0 % of what direct solved. It solves 42.9 % of the rest.")
    assert said[1].startswith("Strongest control: shuffled, +3.0 [")


def test_what_is_not_shown_is_not_claimed() -> None:
    level = made("mine", "method", [0] * 4 + [1] * 31 + [0] * 65)
    said = conclusions(rows_from([DIRECT, level], "direct"))
    assert said[0].startswith("mine is not shown to differ from direct: +1.0 [-")
    assert said[1] == "No control was evaluated: a gain may have another cause than the method."
    worse = made("mine", "method", [0] * 100)
    assert conclusions(rows_from([DIRECT, worse], "direct"))[0].startswith("mine is worse than direct: -30.0 [-")


def test_a_method_that_always_failed_is_not_judged() -> None:
    said = conclusions(rows_from([DIRECT, made("mine", "method", ["timeout"] * 100)], "direct"))
    assert said[0] == "mine shares no scored example with direct: nothing can be said."


def test_no_minus_zero() -> None:
    before, after = [0.5] * 3000, [0.5] * 2999 + [0.4]
    text = printed(
        evaluation_table(rows_from([made("direct", "baseline", before), made("mine", "method", after)], "direct"))
    )
    assert "-0.0 " not in text
    assert "+0.0 [" in text


def test_differences_between_runs_show_wins_and_losses() -> None:
    comparison = compare({"one": [DIRECT, BETTER], "two": [DIRECT, made("other", "method", [0] * 10 + [1] * 90)]})
    line = next(line for line in printed(difference_table(comparison.differences)).splitlines() if "two: other" in line)
    assert "+30.0 [" in line
    assert line.split()[-3:] == ["10", "40", "2.39e-05"]
