import pytest

from fulcrum.chat import Completion, system, user
from fulcrum.errors import TaskError
from fulcrum.task import Example, PromptTemplate, Task
from fulcrum.task.scorers import ExactScorer, NumberScorer


def task(scorer=None, template="{text}", **splits):
    return Task("t", splits, PromptTemplate(template), scorer or ExactScorer())


def test_the_same_input_twice_is_refused_with_both_places():
    first = Example({"text": "x"}, "a", source="train.jsonl:1")
    second = Example({"text": "x"}, "b", source="test.jsonl:9")
    with pytest.raises(TaskError, match=r"in train \(train\.jsonl:1\) and in test \(test\.jsonl:9\)"):
        task(train=[first], test=[second])


def test_a_field_without_a_json_form_is_refused_where_it_came_from():
    with pytest.raises(TaskError, match=r"^train\.jsonl:1: a field has no form in JSON"):
        Example({"text": b"bytes"}, source="train.jsonl:1")


def test_an_empty_split_says_what_there_is():
    with pytest.raises(TaskError, match=r"split 'dev' is empty \(train 1, dev 0, test 0\)"):
        task(train=[Example({"text": "x"})]).examples("dev")


def test_a_question_holds_no_target():
    item = Example({"text": "visible"}, "SECRET", {"why": "SECRET"}, "SECRET:1")
    (question,) = task(train=[item]).questions("train")
    assert "SECRET" not in repr(question)
    assert question.messages == (user("visible"),)


def test_a_failed_call_stays_a_failure():
    item = Example({"text": "x"}, "a")
    score = task(train=[item]).score(item.id, Completion.failed("timeout"))
    assert (score.value, score.verdict) == (None, "failed")
    assert task(train=[item]).score(item.id, Completion("a")).solved


def test_the_fingerprint_changes_with_what_changes_a_score():
    items = [Example({"text": "x"}, "1"), Example({"text": "y"}, "2")]
    base = task(train=items)
    assert task(train=[Example({"text": "x"}, "1", {"m": 1}, "s"), items[1]]).fingerprint == base.fingerprint
    others = [
        task(train=items[:1]),
        task(train=[Example({"text": "x"}, "3"), items[1]]),
        task(test=items),
        task(train=items, template="{text}!"),
        task(train=items, scorer=ExactScorer(ignore_case=True)),
        task(train=items, scorer=NumberScorer()),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1


def test_a_task_needs_a_scorer_or_an_environment():
    with pytest.raises(TaskError, match="either a scorer or an environment"):
        Task("t", {}, PromptTemplate("x"), None)


def test_templates_fill_fields_and_keep_braces():
    template = PromptTemplate("{text} in {{braces}}", system="Be {mood}.")
    fields = {"text": "{mood}", "mood": "brief", "unused": 1}
    assert template.messages(fields) == (system("Be brief."), user("{mood} in {braces}"))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{", "write {{ and }}"),
        ('{"a": 1}', "write {{ and }}"),
        ("{}", "'' is not a field name"),
        ("{text.__class__}", "'text.__class__' is not a field name"),
        ("{text!r}", "'text' is not a field name"),
        ("{text:>{width}}", "'text' is not a field name"),
    ],
)
def test_templates_that_cannot_work_are_refused(template, message):
    with pytest.raises(TaskError) as error:
        PromptTemplate(template)
    assert message in str(error.value)


def test_a_column_may_have_any_ordinary_name():
    fields = {"Ticket Text": "late", "ticket-id": 7, "größe": "L"}
    assert PromptTemplate("{Ticket Text} {ticket-id} {größe}").messages(fields) == (user("late 7 L"),)


def test_a_field_that_the_example_lacks_is_named():
    with pytest.raises(TaskError, match="has no field 'tone'; it has mood, text"):
        PromptTemplate("{text} {tone}").messages({"text": "x", "mood": "y"})
