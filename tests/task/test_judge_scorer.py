import pytest
from pydantic import ValidationError

from fulcrum.chat import Completion
from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.scorers import JudgeScorer
from support.scripted import ScriptedModel

ITEM = Example({"question": "Who?", "hint": "a {brace}"}, "the reference", source="train.jsonl:3")


def judged(answer, **settings):
    judge = ScriptedModel(answer, batch=8)
    scorer = JudgeScorer(model="python:nowhere:none", **settings).with_model(judge)
    return scorer.score(ITEM, "my answer"), judge


def prefers(text):
    """Return a judge that prefers the answer that holds `text`, wherever it stands."""

    def reply(request):
        prompt = request.messages[-1].content
        first = prompt.index("<answer 1>") < prompt.index(text) < prompt.index("<answer 2>")
        return Completion(f"Verdict: 2, at first glance.\n**Verdict:** answer {1 if first else 2}")

    return reply


def test_the_better_answer_wins_in_both_orders():
    for text, value, verdict in (("my answer", 1.0, "right"), ("the reference", 0.0, "wrong")):
        score, judge = judged(prefers(text))
        assert (score.value, score.verdict) == (value, verdict)
        assert len(judge.requests) == 2


def test_a_judge_that_always_prefers_the_first_place_gives_a_half():
    score, _ = judged(lambda request: Completion("Verdict: 1"))
    assert (score.value, score.verdict, score.details["orders"]) == (0.5, "partial", [1, 0])


def test_a_tie_gives_a_half():
    score, _ = judged(lambda request: Completion("Both fine.\nverdict: Tie"))
    assert score.value == 0.5


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Completion.failed("timeout", "30 s"), "timeout"),
        (Completion("I like both"), "judge"),
        (Completion("Verdict: yes"), "judge"),
        (Completion("Verdict: 12"), "judge"),
    ],
)
def test_a_judge_without_verdict_is_a_failure_and_no_zero(broken, reply, kind):
    replies = iter([Completion("Verdict: 1"), Completion("Verdict: 1")])
    order = iter(range(2))
    score, _ = judged(lambda request: reply if next(order) == broken else next(replies))
    assert (score.value, score.verdict, score.details["failure"]) == (None, "failed", kind)


def test_a_rubric_is_asked_with_its_options_in_both_orders():
    score, judge = judged(lambda request: Completion("Verdict: partly"), rubric="polite", reference=False)
    assert score.value == 0.5
    first, second = (request.messages[0].content for request in judge.requests)
    assert "polite" in first
    assert first.index("Verdict: yes") < first.index("Verdict: no")
    assert second.index("Verdict: yes") > second.index("Verdict: no")
    assert all("the reference" not in request.messages[-1].content for request in judge.requests)


def test_the_judge_reads_the_question():
    _, judge = judged(prefers("my answer"))
    assert "question: Who?\nhint: a {brace}" in judge.requests[0].messages[-1].content
    _, judge = judged(prefers("my answer"), question="Asked: {question}")
    assert "Asked: Who?" in judge.requests[0].messages[-1].content
    assert "brace" not in judge.requests[0].messages[-1].content


def test_a_missing_reference_is_a_fault_of_the_data():
    scorer = JudgeScorer(model="x").with_model(ScriptedModel())
    with pytest.raises(TaskError, match=r"^train\.jsonl:3: no target"):
        scorer.score(Example({"question": "Who?"}, source="train.jsonl:3"), "x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"reference": False}, "nothing to judge by"), ({"question": "{"}, "write {{ and }}")],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        JudgeScorer(model="x", **settings)
