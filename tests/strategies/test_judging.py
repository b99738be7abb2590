"""Judges: blind, asked in both orders, and never wrong because a call failed."""

import pytest

from fulcrum.chat import Completion, FailureKind, Message, Request, assistant, system, user
from fulcrum.errors import RunError
from fulcrum.strategies.dialogue import Compared, State
from fulcrum.strategies.judging import ModelJudge, shown
from fulcrum.strategies.wording import GeneralWording
from fulcrum.task import Question
from support.scripted import ScriptedModel

MESSAGES: tuple[Message, ...] = (system("be kind"), user("hello"))


def case(student: str = "no.", teacher: str = "sorry, no.") -> Compared:
    question = Question("q", MESSAGES)
    return Compared(State(question, (), MESSAGES), Completion(student), Completion(teacher))


def judge(answer: str | None, prefer: str = "") -> ModelJudge:
    def say(request: Request) -> Completion:
        if answer is not None:
            return Completion(answer)
        first, second = request.messages[-1].content.split("[second reply]")
        return Completion("first" if prefer in first else "second" if prefer in second else "tie")

    return ModelJudge(ScriptedModel(say), GeneralWording())


@pytest.mark.parametrize(
    ("answer", "prefer", "gain"),
    [(None, "sorry", 1.0), ("first", "", 0.0), ("second", "", 0.0), ("tie", "", 0.0), ("hm. at first... tie", "", 0.0)],
)
def test_only_what_is_said_in_both_orders_counts(answer: str | None, prefer: str, gain: float) -> None:
    (preference,) = judge(answer, prefer).compare([case()])
    assert preference is not None and preference.gain == gain


def test_the_students_reply_can_win() -> None:
    (preference,) = judge(None, "kind regards").compare([case(student="no, kind regards", teacher="no.")])
    assert preference is not None and preference.gain == -1.0


def test_a_judge_that_says_nothing_gives_no_preference() -> None:
    assert judge("i cannot say").compare([case()]) == [None]


def test_a_judge_whose_every_call_failed_is_not_taken_for_one_that_finds_no_difference() -> None:
    def deaf(kind: FailureKind, hears: str = "nothing") -> ModelJudge:
        def say(request: Request) -> Completion:
            return Completion("tie") if hears in request.messages[-1].content else Completion.failed(kind, "down")

        return ModelJudge(ScriptedModel(say), GeneralWording())

    cases = [case(), case(teacher="regards, no.")]
    with pytest.raises(RunError, match=r"4 of 4 calls of the judge failed \(server\)"):
        deaf("server").compare(cases)
    assert [one and one.gain for one in deaf("server", "regards").compare(cases)] == [None, 0.0]
    assert deaf("truncated").compare(cases) == [None, None], "what it answered itself would be the same again"
    assert deaf("budget").compare(cases) == [None, None], "the budget says so itself"


@pytest.mark.parametrize(
    ("answer", "side"),
    [
        ("First", "first"),
        ("**Second**", "second"),
        ("The first reply.", "first"),
        ("Verdict: tie", "tie"),
        ('{"verdict": "second"}', "second"),
        ("The first reply is better than the second.", "first"),
        ("The second reply serves better than the first one.", "second"),
        ("The first is friendlier, but I prefer the second.", "second"),
        ("Overall, the second reply is better because the first reply promises too much.", "second"),
        ("Both settle it. My verdict is second.", "second"),
        ("It's a tie.", "tie"),
        ("First. The second one promises too much.", "first"),
        ("The first is better at greeting, but the second settles it.\n\nsecond", "second"),
        ("First, it greets. Second, it is short. The second is better", "second"),
        ("Both are kind and true, so tie", "tie"),
        ("The second mentions the fee, so, on the whole, first", "first"),
        ("The customer asked for the money first.", None),
        ("It would be better to ask for the number first.", None),
        ("The first is not better than the second.", None),
        ("The first is worse than the second.", None),
        ("First: kind and long. Second: rude.", None),
        ("The first would be better if it named the fee.", None),
        ("I liked the greeting at first.", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_word_that_stands_alone_or_the_reply_that_is_called_better(
    answer: str, side: str | None
) -> None:
    assert GeneralWording().verdict(answer) == side


def test_the_judge_is_not_told_whose_reply_it_is() -> None:
    model = ScriptedModel(lambda _: Completion("tie"))
    ModelJudge(model, GeneralWording()).compare([case()])
    asked = " ".join(message.content for request in model.requests for message in request.messages)
    assert "teacher" not in asked and "student" not in asked and "pupil" not in asked


def test_replies_differ_by_words_and_calls_not_by_spaces() -> None:
    assert not case("Sorry,  no.", "sorry, no.").differ
    assert case().differ
    assert shown(Completion(assistant("x").content)) == "x"
