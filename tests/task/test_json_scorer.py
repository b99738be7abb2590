import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.scorers import JsonScorer
from fulcrum.task.scorers.json import find_json

TARGET = {"queue": "Q7", "urgent": True, "items": [1, {"n": 2.5}]}
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4)


def example(target):
    return Example({"text": "x"}, target, source="train.jsonl:3")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here it is:\n```json\n{"a": 1}\n```\nand not {"a": 2}', {"a": 1}),
        ('```\n{"a": 1}\n```\nor rather\n```JSON\n{"a": 2}\n```', {"a": 2}),
        ('```python\nprint({})\n```\n{"a": 1}', {"a": 1}),
        ('first {"a": 1}, then {"a": {"b": [2]}}.', {"a": {"b": [2]}}),
        ('a {brace} and {"a": "}"} here', {"a": "}"}),
        ("[1, 2] is it", [1, 2]),
        ('{"a": "}", "b": [1],} or rather {"a": 2}', {"a": 2}),
        ("7", 7),
        ('```json\n"word"\n```', "word"),
    ],
)
def test_the_value_in_a_text(text, value):
    assert find_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "nothing", "{'a': 1}", '{"a": 1', '{"a": NaN}', "[" * 100_000, "9" * 5000, "{" * 100_000),
        # a part that is sound makes no sound whole
        *(
            '{"queue": "Q7", "items": [1],}',
            '{"queue": {"n": 1}',
            "{'items': [1]}",
            '[{"n": 1}, {"n": 2}',
            "[[1], [2],]",
        ),
    ],
)
def test_what_is_no_json_is_unparsable_and_told_apart_from_wrong(text):
    score = JsonScorer().score(example(TARGET), text)
    assert (score.verdict, score.details["valid_json"]) == ("unparsable", False)
    assert JsonScorer().answer_key(text) is None


@pytest.mark.parametrize(
    ("settings", "given", "value"),
    [
        ({}, {"urgent": True, "items": [1.0, {"n": 2.5}], "queue": "Q7"}, 1.0),
        ({}, {**TARGET, "more": 1}, 0.0),
        ({"match": "subset"}, {**TARGET, "more": 1}, 1.0),
        ({"match": "subset"}, {**TARGET, "items": [1, {"n": 2.5, "deep": 0}]}, 1.0),
        ({"match": "subset"}, {"queue": "Q7", "urgent": True}, 0.0),
        ({}, {**TARGET, "urgent": 1}, 0.0),
        ({}, {**TARGET, "items": [{"n": 2.5}, 1]}, 0.0),
        ({}, [TARGET], 0.0),
        ({"graded": True}, {**TARGET, "queue": "Q1"}, 2 / 3),
        ({"graded": True}, {**TARGET, "more": 1}, 3 / 4),
        ({"graded": True, "match": "subset"}, {"queue": "Q7", "more": 1}, 1 / 3),
        ({"graded": True}, {"other": 1}, 0.0),
        ({"graded": True}, 3, 0.0),
    ],
)
def test_comparison(settings, given, value):
    score = JsonScorer(**settings).score(example(TARGET), json.dumps(given))
    assert score.value == pytest.approx(value)
    assert score.details["valid_json"]


def test_feedback_names_the_keys_that_are_not_right():
    score = JsonScorer().score(example(TARGET), '{"queue": "Q1", "urgent": true, "extra": 0}')
    assert score.feedback.startswith("not right: extra, items, queue; expected {")


@given(target=values.filter(lambda value: value is not None), graded=st.booleans())
def test_gold_scores_one(target, graded):
    scorer = JsonScorer(graded=graded)
    stored = json.dumps(target) if isinstance(target, str) else target
    assert scorer.score(example(stored), scorer.gold(example(stored))).value == 1.0


@settings(max_examples=40)
@given(value=st.dictionaries(st.text(), values, min_size=1, max_size=4))
def test_votes_do_not_see_the_order_of_keys(value):
    key = JsonScorer().answer_key
    turned = dict(reversed(value.items()))
    assert key(json.dumps(value)) == key(f"so:\n```json\n{json.dumps(turned, indent=1)}\n```")


@given(text=st.text() | st.text('{}[]",:0 1e9-truefalsn`\n\\u'))
def test_any_text_is_scored(text):
    assert JsonScorer(graded=True).score(example(TARGET), text).value is not None
    JsonScorer().answer_key(text)


@pytest.mark.parametrize("depth", [50, 200, 400, 900, 990, 2000])
def test_deep_nesting_is_scored(depth):
    text = '{"a":' * depth + "1" + "}" * depth
    assert JsonScorer().score(example(TARGET), text).value == 0.0
    JsonScorer().answer_key(text)


@pytest.mark.parametrize("target", [None, "no json", "{'a': 1}"])
def test_a_target_that_is_no_json_is_a_fault_of_the_data(target):
    with pytest.raises(TaskError, match=r"^train\.jsonl:3: .*the scorer needs"):
        JsonScorer().score(example(target), "{}")


def test_a_target_in_a_csv_is_read_as_json():
    assert JsonScorer().score(example('{"a": 1}'), '{"a": 1}').solved
