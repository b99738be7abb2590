"""Anchors: where they stand, how they change, and what is put in their place to fool us."""

import random
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from fulcrum.artifact import Artifact
from fulcrum.chat import Completion, Failure, Request, Sampling, assistant, complete, system, user
from fulcrum.errors import SettingsError
from fulcrum.leverage.anchor import Anchor, AnchorPlan, random_words
from fulcrum.leverage.method import METHOD
from fulcrum.leverage.solver import AnchoredModel
from fulcrum.leverage.trial import Bench
from fulcrum.recipe import read_recipe
from fulcrum.runs import open_run
from fulcrum.training.rows import ChatRow
from leverage.world import write_world
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


def cut(text: str, sampling: Sampling) -> Completion:
    """Answer as a model that writes `text` would, a word a token."""
    ends = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
    words = re.findall(r"\S+\s*", text[: min(ends, default=None)])
    if len(words) <= sampling.max_tokens:
        return Completion("".join(words))
    kept = "".join(words[: sampling.max_tokens]).strip()
    return Completion(kept, "length", failure=Failure("truncated"))


@pytest.mark.parametrize(
    ("sampling", "text", "failure"),
    [
        (Sampling(), "late\nor lost", None),
        (Sampling(stop=("\n",)), "late", None),
        (Sampling(max_tokens=3), "late\nor lost", None),
        (Sampling(max_tokens=2), "late\nor", "truncated"),
        (Sampling(max_tokens=2, stop=("\n",)), "late", None),
        (Sampling(stop=("late",)), "", "empty"),
    ],
)
def test_behind_an_anchor_that_opens_it_the_answer_is_as_the_request_wants_it(
    sampling: Sampling, text: str, failure: str | None
) -> None:
    anchor = Anchor("the\nparcel is:", "response")
    behind = ScriptedModel(lambda request: cut("the\nparcel is:\nlate\nor lost", request.sampling))
    (answer,) = complete(AnchoredModel(behind, anchor, opener_tokens=3), [Request((user("p1"),), sampling)])
    assert answer.text == text
    assert (answer.failure and answer.failure.kind) == failure
    assert answer.finish_reason == ("length" if failure == "truncated" else "stop")


def test_an_answer_cut_off_within_its_opener_shows_none_of_it() -> None:
    behind = ScriptedModel(lambda request: cut("the parcel is:\nlate", request.sampling))
    model = AnchoredModel(behind, Anchor("the parcel is:", "response"))  # of an artifact that does not say its tokens
    (answer,) = complete(model, [Request((user("p1"),), Sampling(max_tokens=2))])
    assert (answer.text, answer.failure and answer.failure.kind) == ("", "truncated")


def test_an_artifact_and_a_run_know_what_their_opener_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anchor, behind = Anchor("desk:", "response"), ScriptedModel()
    facts = {"weights": "adapter", "anchor": asdict(anchor), "opener_tokens": 5}
    deployed = METHOD.deploy(Artifact(tmp_path, "leverage", "r", "t", {"actor": "lab:x"}, {}, facts), lambda _: behind)
    assert isinstance(deployed, AnchoredModel)
    complete(deployed, [Request((user("letter"),), Sampling(max_tokens=8))])
    assert behind.requests[0].sampling.max_tokens == 13
    monkeypatch.chdir(tmp_path)
    with open_run(read_recipe(write_world(tmp_path)), Path("run")) as run:
        bench = Bench(run)
        spent = [size.loss for size in bench.counter.sizes([ROW, anchor.row(ROW)])]
        assert bench.opener_tokens(anchor) == spent[1] - spent[0]
        assert bench.opener_tokens(Anchor("desk:")) == bench.opener_tokens(None) == 0


def test_a_prompt_without_a_place_for_the_anchor_fails_alone() -> None:
    model = AnchoredModel(ScriptedModel(lambda request: Completion(request.messages[-1].content)), Anchor("A"))
    requests = [Request((message,)) for message in (system("s"), user("one"), assistant("a"), user("two"))]
    answers = complete(model, requests)
    assert [answer.text for answer in answers] == ["", "A\none", "", "A\ntwo"]
    assert [answer.failure and answer.failure.kind for answer in answers] == ["invalid", None, "invalid", None]
    assert answers[0].failure and "no user turn" in answers[0].failure.detail


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
