import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.scorers import ExactScorer


def example(target):
    return Example({"text": "x"}, target, source="train.jsonl:3")


@given(target=st.text() | st.integers() | st.floats(allow_nan=False), strip=st.booleans(), ignore_case=st.booleans())
def test_gold_scores_one(target, strip, ignore_case):
    scorer = ExactScorer(strip=strip, ignore_case=ignore_case)
    assert scorer.score(example(target), scorer.gold(example(target))).value == 1.0


@pytest.mark.parametrize(
    ("settings", "text", "verdict"),
    [
        ({}, "  New\n York ", "right"),
        ({}, "new york", "wrong"),
        ({"ignore_case": True}, "NEW YORK", "right"),
        ({"strip": False}, "New York ", "wrong"),
        ({}, " \n", "unparsable"),
    ],
)
def test_normalisation(settings, text, verdict):
    assert ExactScorer(**settings).score(example("New York"), text).verdict == verdict


def test_answers_that_score_alike_share_a_key():
    scorer = ExactScorer(ignore_case=True)
    assert scorer.answer_key(" New  york") == scorer.answer_key("new York\n")
    assert scorer.answer_key(" ") is None


@pytest.mark.parametrize("target", [None, True, {"a": 1}])
def test_a_target_that_is_no_text_is_a_fault_of_the_data(target):
    with pytest.raises(TaskError, match=r"^train\.jsonl:3: .*the scorer needs a text or a number"):
        ExactScorer().score(example(target), "x")
