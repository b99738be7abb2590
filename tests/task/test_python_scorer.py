import sys

import pytest

from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.scorers import PythonScorer

SOURCE = """
from fulcrum.task import graded

def length(text, target, fields):
    return len(text) == target

def share(text, target, fields):
    return len(text) / fields["long"]

def explained(text, target, fields):
    return graded(0.25, "because")

def odd(text, target, fields):
    return "yes"

def strict(text, target, fields):
    return float(text) == target

def make_gold(target, fields):
    return "x" * target

def no_gold(target, fields):
    return fields["gold"]

not_a_function = 3
"""
ITEM = Example({"long": 4}, 3, source="train.jsonl:3")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_scoring.py").write_text(SOURCE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("own_scoring", None)


@pytest.mark.parametrize(
    ("function", "value", "verdict"),
    [("length", 1.0, "right"), ("share", 0.75, "partial"), ("explained", 0.25, "partial")],
)
def test_the_function_decides(folder, function, value, verdict):
    score = PythonScorer(function=f"own_scoring:{function}").located(folder).score(ITEM, "abc")
    assert (score.value, score.verdict) == (value, verdict)


@pytest.mark.parametrize(("function", "text"), [("odd", "x"), ("share", "xxxxxxx")])
def test_a_worth_that_is_none_is_refused(folder, function, text):
    with pytest.raises(TaskError, match="return a bool, a number in"):
        PythonScorer(function=f"own_scoring:{function}").located(folder).score(ITEM, text)


@pytest.mark.parametrize(
    "score",
    [
        "Score(1.0, 'right', details={'ratio': float('nan')})",
        "Score(1.0, 'right', details={'rouge': numpy.float32(0.5)})",
        "Score(1.0, 'right', details={'ids': {1, 2}})",
        "Score(1.0, 'right', details=['ids'])",
        "Score(numpy.float32(1), 'right')",
    ],
)
def test_a_score_that_no_file_could_hold_is_refused_at_once(folder, score):
    source = f"import numpy\nfrom fulcrum.task import Score\ndef scored(text, target, fields):\n    return {score}\n"
    (folder / "own_scoring.py").write_text(source)
    with pytest.raises(TaskError, match=r"^train\.jsonl:3: scorer own_scoring:scored: its score is no plain JSON \("):
        PythonScorer(function="own_scoring:scored").located(folder).score(ITEM, "abc")


def test_what_the_users_code_raises_is_told_with_its_line_and_the_example(folder):
    scorer = PythonScorer(function="own_scoring:strict", gold_function="own_scoring:no_gold").located(folder)
    line = next(number for number, text in enumerate(SOURCE.splitlines(), 1) if "float(text)" in text)
    with pytest.raises(TaskError, match=rf"^train\.jsonl:3: scorer own_scoring:strict: ValueError: .*line {line}\)"):
        scorer.score(ITEM, "seven")
    with pytest.raises(TaskError, match=r"^train\.jsonl:3: own_scoring:no_gold: KeyError: 'gold'"):
        scorer.gold(ITEM)
    for source, said in (
        ("import not_installed_here", "not_installed_here"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "Zero"),
    ):
        (folder / "broken_scoring.py").write_text(source)
        sys.modules.pop("broken_scoring", None)
        with pytest.raises(TaskError, match=f"module broken_scoring: .*{said}"):
            PythonScorer(function="broken_scoring:f").located(folder)


def test_gold_is_the_target_or_what_a_function_makes_of_it(folder):
    scorer = PythonScorer(function="own_scoring:length", gold_function="own_scoring:make_gold").located(folder)
    assert scorer.score(ITEM, scorer.gold(ITEM)).solved
    plain = PythonScorer(function="own_scoring:length").located(folder)
    assert plain.gold(Example({}, "text")) == "text"
    with pytest.raises(TaskError, match="a gold_function that makes one"):
        plain.gold(ITEM)


def test_the_fingerprint_follows_the_code(folder):
    def fingerprint():
        sys.modules.pop("own_scoring", None)
        return PythonScorer(function="own_scoring:length").located(folder).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    (folder / "own_scoring.py").write_text(SOURCE + "\n# changed, and longer\n")
    assert fingerprint() != first


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("own_scoring", "not a function; write MODULE:FUNCTION"),
        ("own_scoring:lenght", "has no function 'lenght'; did you mean 'length'?"),
        ("own_scoring:not_a_function", "has no function 'not_a_function'"),
        ("no_such_module_here:f", "no module 'no_such_module_here'"),
        ("../own_scoring:f", "not a function"),
    ],
)
def test_a_function_that_is_not_there_is_named(folder, function, message):
    with pytest.raises(TaskError) as error:
        PythonScorer(function=function).located(folder)
    assert message in str(error.value)
