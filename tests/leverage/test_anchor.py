"""Anchors: where they stand, how they change, and what is put in their place to fool us."""

import random

import pytest

from fulcrum.chat import Completion, Request, assistant, complete, system, user
from fulcrum.errors import SettingsError
from fulcrum.leverage.anchor import Anchor, AnchorPlan, random_words
from fulcrum.leverage.solver import AnchoredModel
from fulcrum.training.rows import ChatRow
from support.scripted import ScriptedModel

ROW = ChatRow((system("be brief"), user("hello"), assistant("yes?"), user("more")), "answer")


def test_each_place_changes_one_message_and_no_other() -> None:
    assert Anchor("A", "system").row(ROW).prompt == (system("A\nbe brief"), *ROW.prompt[1:])
    assert Anchor("A", "user").row(ROW).prompt == (ROW.prompt[0], user("A\nhello"), *ROW.prompt[2:])
    opened = Anchor("A", "response").row(ROW)
    assert (opened.prompt, opened.response) == (ROW.prompt, "A\nanswer")
    assert Anchor("A", "system").prompt([user("hi")]) == (system("A"), user("hi"))


def test_a_prompt_without_a_user_turn_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"no user turn .* set anchor_place to system"):
        Anchor("A").prompt([system("only this")])


@pytest.mark.parametrize("place", ["user", "response"])
def test_a_deployed_model_sees_what_it_was_trained_on_and_answers_without_the_opener(place: str) -> None:
    anchor = Anchor("desk:", place)
    trained = anchor.row(ChatRow((user("letter"),), "F59"))
    behind = ScriptedModel(lambda request: Completion(trained.response))
    model = AnchoredModel(behind, anchor, adapter="tuned")
    (answer,) = complete(model, [Request((user("letter"),))])
    assert behind.requests[0].messages == trained.prompt
    assert behind.requests[0].adapter == "tuned"
    assert answer.text == "F59"
    plain = AnchoredModel(behind, None)
    request = Request((user("letter"),))
    assert model.identity(request) != plain.identity(request) == behind.identity(request)


def test_a_failed_call_stays_as_it_is() -> None:
    model = AnchoredModel(ScriptedModel(lambda request: Completion.failed("timeout")), Anchor("x", "response"))
    (answer,) = complete(model, [Request((user("letter"),))])
    assert answer.failure is not None and answer.failure.kind == "timeout"


def test_drop_out_pool_cooldown_and_shortening() -> None:
    anchor, rng = Anchor("one two three four"), random.Random(0)
    assert {AnchorPlan(anchor).at(progress / 10, rng) for progress in range(10)} == {anchor}
    cooled = AnchorPlan(anchor, cooldown=0.25)
    assert [cooled.at(place, rng) is None for place in (0.0, 0.74, 0.75, 0.99)] == [False, False, True, True]
    dropped = [AnchorPlan(anchor, dropout=0.3).at(0.5, rng) is None for _ in range(2000)]
    assert sum(dropped) / len(dropped) == pytest.approx(0.3, abs=0.04)
    pool = {AnchorPlan(anchor, pool=("a b", "c")).at(0.5, rng) for _ in range(100)}
    assert {one.text for one in pool if one} == {anchor.text, "a b", "c"}
    shorter = AnchorPlan(anchor, shorten=True, cooldown=0.5)
    kept = [shorter.at(place, rng) for place in (0.0, 0.13, 0.26, 0.38, 0.49)]
    assert [len(one.text.split()) for one in kept if one] == [4, 3, 2, 1, 1]


def test_a_placebo_says_nothing_and_is_as_long() -> None:
    anchor = Anchor("answer as json with queue.", "system")
    vocabulary = ["rivers", "we", "they", "silver", "candle", "queues", "json", "answer", "12345"]
    placebo = random_words(anchor, vocabulary, 0)
    assert placebo.place == "system"
    assert len(placebo.text.split()) == len(anchor.text.split())
    assert [len(word) for word in placebo.text.split()][:2] == [6, 2]
    assert not set(placebo.text.split()) & {"answer", "json", "12345"}
    assert placebo == random_words(anchor, vocabulary, 0)
    with pytest.raises(SettingsError, match="no word"):
        random_words(anchor, ["1"], 0)
