import io

from rich.console import Console

from fulcrum.evaluation.summary import summarize, summary_table
from fulcrum.evaluation.table import rows_from
from support.evaluation import made

DIRECT = made("direct", "baseline", [1] * 30 + [0] * 70)


def shown(*others, name="supplement", calls=1234, minutes=2.5, **known):
    results = [DIRECT, *others]
    rows = [row.model_copy(update=known) for row in rows_from(results, "direct")]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table([summarize(name, rows, results, calls, minutes)]))
    return console.export_text()


def test_the_table_names_the_strongest_control():
    method = made("mine", "method", [1] * 60 + [0] * 40)
    text = shown(method, made("weak", "control", [1] * 31 + [0] * 69), made("strong", "control", [1] * 40 + [0] * 60))
    assert "+30.0 [" in text and "+10.0" in text and "+1.0" not in text
    assert "1,234" in text and "2.5 min" in text and "helped" in text


def test_only_examples_of_test_are_called_held_out():
    method = made("mine", "method", [1] * 60 + [0] * 40)
    assert "held-out examples, points of 100" in shown(method)
    text = shown(method, split="dev")
    assert "examples of dev, points of 100" in text and "held-out" not in text


def test_a_method_that_was_not_measured_has_no_figures():
    text = shown(made("weak", "control", [1] * 31 + [0] * 69))
    assert "nothing to judge" in text and "helped" not in text


def test_nothing_of_the_widest_row_is_cut_off():
    worse = made("mine", "method", [0] * 30 + [1] * 12 + [0] * 58)
    text = shown(worse, name="strategies", calls=123_456, minutes=12.5, task="lab:desk?seed=1&till=signed")
    assert "…" not in text
    assert all(
        said in text
        for said in ("lab:desk?seed=1", "=signed", "-18.0 [-2", "100.0 %", "123,456", "12.5 min", "did not help")
    )
