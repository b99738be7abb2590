"""Measures of diversity on debates whose diversity can be counted by hand."""

import math
from pathlib import Path

import pytest

from fulcrum.chat import Completion, Request
from fulcrum.evaluation.solver import Turn
from fulcrum.society.arms import ARMS
from fulcrum.society.cast import Cast, Speaker, Voices
from fulcrum.society.debate import Debate
from fulcrum.society.diversity import dissimilarity, diversity, likelihoods
from fulcrum.society.settings import DebateSettings
from fulcrum.task import Question
from support.debating import AdapterModel, debate, number_key

GOLD = {"q0": "7", "q1": "9"}


def test_agents_that_agree_have_none() -> None:
    found = diversity([debate(q, ["7"] * 3, ["7"] * 3) for q in GOLD], GOLD, 0)
    assert found["consensus"] == 1 and found["disagreement"] == 0 and found["dissimilarity"] == pytest.approx(0)
    assert found["answers"] == pytest.approx(1 / 3)
    assert (found["any_right"], found["unused"]) == (0.5, 0.0)
    assert (found["error_overlap"], found["same_error"]) == (1.0, 1.0)  # on q1 all are wrong in the same way


def test_what_the_vote_leaves_unused_and_how_errors_overlap() -> None:
    debates = [debate("q0", ["7", "8", None], ["8", "8", "7"]), debate("q1", ["9", "9", "1"], ["9", "9", "9"])]
    found = diversity(debates, GOLD, 0)
    assert found["any_right"] == 1.0 and found["unused"] == 0.5
    # pairs with an error: q0 all three, q1 two; both wrong: q0's second and third, with different answers
    assert found["error_overlap"] == pytest.approx(1 / 5) and found["same_error"] == 0.0
    assert found["disagreement"] == pytest.approx(3 / 6) and found["consensus"] == pytest.approx(5 / 6)


def test_two_answers_that_failed_or_cannot_be_read_are_not_the_same_wrong_answer() -> None:
    lost = Completion.failed("timeout")
    found = diversity([debate("q0", [lost, lost, "8"], ["7"] * 3), debate("q1", ["1", "1", None], ["9"] * 3)], GOLD, 0)
    assert found["error_overlap"] == 1 and found["same_error"] == pytest.approx(1 / 6)  # of six pairs the two who say 1


def test_a_tied_vote_is_the_one_that_was_elected() -> None:
    cast, settings = ARMS["debate"].cast(None, DebateSettings()), DebateSettings()
    solver = Debate(Voices(AdapterModel(lambda _: "")), cast, settings, number_key, max_tokens=9, seed=5)
    debates = [debate(f"q{place}", ["2", "2", "2"], ["1", "2", "3"]) for place in range(30)]
    turns = [Turn(Question(one.question_id, one.messages), one.messages) for one in debates]
    won = [solver.elect(one, turn).text == "so 2" for one, turn in zip(debates, turns, strict=True)]
    found = diversity(debates, {one.question_id: "2" for one in debates}, 5)
    assert 0 < sum(won) < 30 and found["any_right"] == 1
    assert [found["unused"], found["disagreement"]] == pytest.approx([1 - sum(won) / 30] * 2)


def test_without_right_answers_only_what_needs_them_is_left_out() -> None:
    debates = [debate(q, ["7"] * 3, ["7"] * 3) for q in GOLD]
    whole, none = diversity(debates, GOLD, 0), diversity(debates, {}, 0)
    assert none == {name: whole[name] for name in ("consensus", "disagreement", "answers", "dissimilarity")}
    assert diversity(debates, {"q0": "7"}, 0)["any_right"] == 1.0


def test_texts_without_a_common_piece_are_wholly_dissimilar_and_equal_texts_not_at_all() -> None:
    assert dissimilarity([["aaaa", "bbbb"]]) == pytest.approx(1)
    assert dissimilarity([["some text", "some text"], ["", ""]]) == pytest.approx(0)
    near, far = dissimilarity([["12+3=15", "12+3=16"]]), dissimilarity([["12+3=15", "left to right"]])
    assert 0 < near < far <= 1


class Table:
    """Rates a text by who reads it: nats a token from a table of (reader, text)."""

    def __init__(self, table: dict[tuple[int, str], float]) -> None:
        self.table = table

    def logprob(self, requests: list[Request], texts: list[str]) -> list[list[float]]:
        self.requests = requests
        return [[self.table[place % 3 == 0, text]] * 4 for place, text in enumerate(texts)]


def test_likelihoods_compare_authors_with_readers() -> None:
    cast = ARMS["debate"].cast(None, DebateSettings())
    one = debate("q0", ["1", "2", "3"], ["1", "2", "3"])
    table = {(first, f"so {n}"): -1.0 if first else -2.0 for first in (True, False) for n in (1, 2, 3)}
    rater = Table(table)
    found = likelihoods(Voices(rater), cast, [one])
    assert len(rater.requests) == 9 and rater.requests[0].messages == one.messages
    # the first reader finds all texts likelier; it is the author of one of three own and of two of six others
    assert found["nll_own"] == pytest.approx((1 + 2 + 2) / 3)
    assert found["nll_others"] == pytest.approx((1 + 1 + 2 + 2 + 2 + 2) / 6)
    assert found["kl"] == pytest.approx(found["nll_others"] - found["nll_own"], abs=1e-12) and math.isfinite(
        found["kl"]
    )


def test_answers_that_all_failed_are_rated_by_nobody() -> None:
    lost = Completion.failed("timeout")
    rater = Table({})
    found = likelihoods(
        Voices(rater), ARMS["debate"].cast(None, DebateSettings()), [debate("q0", [lost] * 3, [lost] * 3)]
    )
    assert found == {}


def test_agents_that_are_whole_models_rate_texts_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole:
        def __init__(self, score: float) -> None:
            self.score = score

        def logprob(self, requests: list[Request], texts: list[str]) -> list[list[float]]:
            assert all(request.adapter is None for request in requests)
            return [[self.score]] * len(texts)

    monkeypatch.setattr("fulcrum.society.cast.resolve", lambda name: Whole(-float(name[-1])))
    voices, speakers = Voices(Whole(-9.0)), [Speaker("generator", tmp_path / str(number)) for number in (1, 2)]
    voices.seat(Cast(tuple(speakers), ()))
    texts = [Request(())] * 3, ["a", "b", "c"]
    assert voices.rate([speakers[1], speakers[0], Speaker("generator")], *texts) == [[-2.0], [-1.0], [-9.0]]
