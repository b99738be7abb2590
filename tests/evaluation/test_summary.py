import io

import pytest
from rich.console import Console

from fulcrum.evaluation.summary import summarize, summary_table
from fulcrum.evaluation.table import EvaluationRow


def row(role, difference=None, low=None, high=None, solver="x"):
    return EvaluationRow(
        solver=solver,
        role_of_solver=role,
        task="t",
        split="test",
        seed=0,
        n=100,
        mean=0.5,
        low=0.4,
        high=0.6,
        difference=difference,
        difference_low=low,
        difference_high=high,
        harm=0.01,
        rescue=0.3,
        failures=0,
        calls=100,
        tokens=1000,
        seconds=1.0,
        cost=None,
    )


BASELINE = row("baseline")


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([row("method", 0.2, 0.1, 0.3), row("control", 0.05, 0.0, 0.1)], "better"),
        ([row("method", 0.2, 0.1, 0.3), row("control", 0.15, 0.1, 0.2)], "control"),
        ([row("method", 0.2, -0.1, 0.5)], "not shown"),
        ([row("method", -0.2, -0.3, -0.1)], "worse"),
        ([row("method")], "not measured"),
        ([row("control", 0.1, 0.0, 0.2)], "not measured"),
    ],
)
def test_the_verdict_follows_the_interval_and_the_strongest_control(rows, verdict):
    assert summarize("m", [BASELINE, *rows], calls=1, minutes=1.0).verdict == verdict


def test_the_table_fits_a_terminal_and_names_the_strongest_control():
    rows = [BASELINE, row("method", 0.2, 0.1, 0.3), row("control", 0.05, 0.0, 0.1), row("control", 0.15, 0.1, 0.2)]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table([summarize("supplement", rows, calls=1234, minutes=2.5)]))
    text = console.export_text()
    assert "+20.0 [10.0, 30.0]" in text
    assert "+15.0" in text and "1,234" in text and "2.5 min" in text


def test_nothing_of_the_widest_row_is_cut_off():
    widest = row("method", -0.14, -0.245, -0.129).model_copy(update={"harm": 0.719})
    baseline = BASELINE.model_copy(update={"task": "lab:desk?seed=1"})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table([summarize("strategies", [baseline, widest], calls=123_456, minutes=12.5)]))
    text = console.export_text()
    assert "…" not in text
    assert all(said in text for said in ("lab:desk?seed=1", "-14.0 [-24.5, -12.9]", "71.9 %", "123,456", "12.5 min"))
