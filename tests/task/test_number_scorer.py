import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.scorers import NumberScorer
from fulcrum.task.scorers.boxed import last_boxed
from fulcrum.task.scorers.numerals import final_number


def example(target):
    return Example({"question": "x"}, target, source="train.jsonl:3")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("She sells 9 eggs for $2, so 18 dollars.", 18),
        ("16-3-4=9", 9),
        ("10-5", 5),
        ("3 - 4", 4),
        ("x = -5", -5),
        ("minus \u22123 degrees", -3),
        ("-$5", -5),
        ("$-5", -5),
        ("- 5 apples", 5),
        ("1,234,567.5 km", Fraction("1234567.5")),
        ("2,125", 2125),
        ("1,2", 2),
        (".5", Fraction(1, 2)),
        ("it is 3.", 3),
        ("1e5", 100_000),
        ("2.5e-3", Fraction("0.0025")),
        ("1/2", Fraction(1, 2)),
        ("3 1/2 cups", Fraction(7, 2)),
        ("so it is 1/2.", Fraction(1, 2)),
        ("so it is 3 1/2.", Fraction(7, 2)),
        ("version 1/2.5", Fraction(5, 2)),
        ("#### 1/2.", Fraction(1, 2)),
        ("on 1/2/2020", 2020),
        ("the 3rd", 3),
        ("50 \\%", 50),
        ("none at all", None),
        ("\u0663", None),
        ("1/0", None),
        ("9" * 500, None),
        # a marked number beats a plain one
        ("#### 1,080\nThat took 3 steps.", 1080),
        ("#### $5\n", 5),
        ("#### -5 dollars 7", -5),
        ("#### Step 1\nso 9", 9),
        ("#### 1. First\nso 9", 9),
        ("#### 3\n#### 4\n", 4),
        # a box beats both
        ("\\boxed{42} after 3 steps\n#### 7", 42),
        ("\\boxed{1} no, \\boxed{2}, of 3", 2),
        ("\\boxed{\\frac{1}{2}}", Fraction(1, 2)),
        ("\\boxed{-\\dfrac{3}{4}}", Fraction(-3, 4)),
        ("\\boxed{\\frac{-3}{4}}", Fraction(-3, 4)),
        ("\\boxed{x = 5}", 5),
        ("\\boxed{\\text{about } 12\\text{ km}^2}", 12),
        ("\\boxed{\\boxed{7}}", 7),
        ("\\boxed {8}", 8),
        ("\\boxed{\\$1,000}", 1000),
        ("\\boxed{1,\\!234{,}567\\,000}", 1_234_567_000),
        ("\\boxed{- 5}", -5),
        ("\\boxed{x = - 5}", -5),
        ("\\boxed{7 - 5}", None),
        ("\\boxed{\\text{12 cm}}", 12),
        ("\\boxed{\\text{5 or 6}}", None),
        ("\\boxed{90^\\circ}", 90),
        ("\\boxed{90^{\\circ}}", 90),
        ("\\boxed{7", 7),
        ("\\boxed{3, 4}", None),
        ("\\boxed{10^6}", None),
        ("\\boxed{}, of 5", None),
        # signs, groups and fractions as LaTeX and the world write them
        ("\u20135", -5),
        ("$\u20135", -5),
        ("-\u20b95", -5),
        ("pages 5\u201310", 10),
        ("hers--75", 75),
        ("\\boxed{\u2013 5}", -5),
        ("25\u202f000 \u20ac", 25_000),
        ("1\u00a0234\u2009567.5", Fraction("1234567.5")),
        ("25'000", 25_000),
        ("$25\\,000$", 25_000),
        ("\\boxed{1\\ 000}", 1000),
        ("\\boxed{1\\;000\\text{ m}}", 1000),
        ("\u20b91,00,000", 100_000),
        ("12,34,567.5", Fraction("1234567.5")),
        ("\\boxed{\\frac12}", Fraction(1, 2)),
        ("\\boxed{-\\tfrac 3{10}}", Fraction(-3, 10)),
        ("\\boxed{3\\frac{1}{2}}", Fraction(7, 2)),
        ("$3 \\frac12$", Fraction(7, 2)),
        ("\\frac123", None),
        ("It is 3.5 \u00d7 10^5", 350_000),
        ("It is 3.5\u00d710\u207b\u2075.", Fraction("0.000035")),
        ("#### -2 x 10^{3}", -2000),
        ("\\boxed{1.5 \\times 10^{-3}\\text{ m}}", Fraction("0.0015")),
        ("\\boxed{1.5\\cdot10^2}", 150),
        # units and type in a box
        ("\\boxed{5 kg}", 5),
        ("\\boxed{5kg}", 5),
        ("\\boxed{5\\mathrm{kg}}", 5),
        ("\\boxed{\\text{5km/h}}", 5),
        ("\\boxed{5 m/s}", 5),
        ("\\boxed{\\$5/hour}", 5),
        ("\\boxed{US\\$5}", 5),
        ("\\boxed{5\\,\\%}", 5),
        ("\\boxed{3rd}", 3),
        ("\\boxed{\\left(5\\right)}", 5),
        ("\\boxed{x \\approx \\mathbf{5}}", 5),
        ("\\boxed{**5**}", 5),
        # a number that is part of something else is not read, and no other in its place
        ("\\boxed{\\sqrt{2}}", None),
        ("\\boxed{2\\pi}", None),
        ("\\boxed{2\u03c0}", None),
        ("\\boxed{\\frac{3}{x}}", None),
        ("\\boxed{\\overline{12}}", None),
        ("\\boxed{\\ge 5}", None),
        ("\\boxed{3!}", None),
        ("\\boxed{5i}", None),
        ("\\boxed{x5}", None),
        ("\\boxed{f(5)}", None),
        ("\\boxed{5/x}", None),
        ("\\boxed{x/5}", None),
        ("\\boxed{5 + x}", None),
        ("\\boxed{5 - x}", None),
        ("\\boxed{1 000}", None),
        ("of 7, \\sqrt{2}", None),
        ("of 7, 2\\sqrt{3}", None),
        ("of 7, \u221a2", None),
        ("of 7, 2\u03c0", None),
        ("of 7, \\frac{3}{x}", None),
        ("of 7, \\frac{x}{3}", None),
        ("of 7, 10^5", None),
        ("of 7, 10\u2075", None),
        ("of 7, x^{2n+1}", None),
        ("of 7, 5 cm^2", None),
        ("2^{10} = 1024", 1024),
        ("90^\\circ", 90),
        ("5 m\u00b2", 5),
        ("The total is 25 000.", None),
        ("25 000.50", None),
        ("1 500 000/2", None),
        ("#### 25 000", None),
        ("in 2020 100 came", 100),
        ("0.5 100", 100),
    ],
)
def test_the_final_number_of_a_text(text, value):
    number = final_number(text)
    assert (number and number.value) == value


@pytest.mark.parametrize(
    ("target", "text", "verdict"),
    [
        ("72", "72.0", "right"),
        (72, "it is 72", "right"),
        (0.5, "1/2", "right"),
        ("1/3", "0.333333333", "right"),
        ("1/3", "0.333", "wrong"),
        (1_000_000, "1000000.5", "right"),
        (1_000_000, "1000002", "wrong"),
        (50, "50%", "right"),
        (0.5, "50%", "right"),
        (0.5, "5%", "wrong"),
        ("50%", "50", "right"),
        ("50%", "0.5", "right"),
        ("50%", "50 %", "right"),
        ("50%", "5000", "wrong"),
        ("25\u202f000", "25,000", "right"),
        ("\\frac12", "0.5", "right"),
        (72, "no idea", "unparsable"),
    ],
)
def test_comparison(target, text, verdict):
    assert NumberScorer().score(example(target), text).verdict == verdict


def test_tolerance_is_a_setting():
    assert NumberScorer(tolerance=0.1).score(example(200), "\\boxed{219}").solved
    assert not NumberScorer(tolerance=0).score(example("0.1"), "0.10000001").solved


numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers().map(lambda number: f"{number:,}")
    | st.fractions().map(str)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9, places=3).map(str)
    | st.integers(-100, 100).map(lambda number: f"{number}%")
)


@given(target=numbers)
def test_gold_scores_one(target):
    scorer = NumberScorer(tolerance=0)
    assert scorer.score(example(target), scorer.gold(example(target))).value == 1.0


@given(value=st.integers(-(10**12), 10**12), before=st.text("abc .,\n", max_size=20))
def test_votes_count_the_number_however_it_is_written(value, before):
    key = NumberScorer().answer_key
    written = [f"{value}", f"{value:,}", f"{value}.0", f"\\boxed{{{value}}} of 3", f"#### {value}\nok", f"${value}$"]
    assert {key(f"{before} {text}") for text in written} == {str(value)}
    assert key("no number") is None


@given(text=st.text() | st.text("0123456789.,-+/%$#e{}^\\boxedfracsqtim\u00d7\u00b2\u2013\u202f \n"))
def test_any_text_gives_a_number_or_none(text):
    number = final_number(text)
    assert number is None or abs(number.value) >= 0
    assert NumberScorer().score(example(1), text).value in (0.0, 1.0)


@given(
    content=st.recursive(
        st.text("ab\\$"), lambda inner: inner.map("{{{}}}".format) | st.tuples(inner, inner).map("".join)
    )
)
def test_braces_in_a_box_may_nest(content):
    content = content.rstrip("\\")
    if "\\{" in content or "\\}" in content:
        return
    assert last_boxed(f"then \\boxed{{{content}}} ends") == content


def test_many_open_boxes_cost_no_time():
    assert last_boxed("\\boxed{5}" + "\\boxed{" * 100_000) == "5"


@pytest.mark.parametrize("piece", ["1,00,", "1 000 ", "^{", "^{a", "\\frac", "\\frac 1", "5\u2070", "}{", "1/", "5 "])
def test_a_long_row_of_anything_costs_little_time(piece):
    begun = time.process_time()
    for text in (piece * 20_000, f"\\boxed{{{piece.replace('{', '') * 20_000}}}"):
        final_number(text)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("target", [None, True, float("nan"), "seven", "7 eggs", "", "25 000", "10^5"])
def test_a_target_that_is_no_number_is_a_fault_of_the_data(target):
    with pytest.raises(TaskError, match=r"^train\.jsonl:3: .*the scorer needs a number"):
        NumberScorer().score(example(target), "7")
