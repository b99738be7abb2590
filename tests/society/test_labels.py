"""From votes to pseudo-labels, and when debates teach nothing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.chat import Completion
from fulcrum.society.feedback import Event, Feedback
from fulcrum.society.labels import label, label_report, nothing_to_learn, without_chance
from fulcrum.society.settings import SocietySettings
from support.debating import debate, sums_task

DEFAULT = SocietySettings()


@pytest.mark.parametrize(
    ("votes", "answer", "margin"),
    [
        (["7", "7", "7"], "7", 1),
        (["7", "7", "8"], "7", 1 / 3),
        (["7", "7", None], "7", 2 / 3),
        (["7", None, None], "7", 1 / 3),
        ([None, None, None], None, 0),
    ],
)
def test_the_majority_of_the_last_round_is_the_label(
    votes: list[str | None], answer: str | None, margin: float
) -> None:
    found = label(debate("q", ["1", "1", "1"], votes), DEFAULT, 0)
    assert found.answer == answer and found.margin == pytest.approx(margin)


def test_a_failed_call_does_not_vote() -> None:
    found = label(debate("q", ["1", "1", "1"], [Completion.failed("timeout"), "7", "8"]), DEFAULT, 0)
    assert found.votes == {"7": 1, "8": 1} and found.margin == 0


def test_a_tie_goes_by_lot_or_is_dropped() -> None:
    debates = [debate(f"q{place}", ["1"] * 3, ["1", "2", "3"]) for place in range(60)]
    drawn = Counter(label(one, DEFAULT, 0).answer for one in debates)
    assert set(drawn) == {"1", "2", "3"}
    assert [label(one, DEFAULT, 0) for one in debates] == [label(one, DEFAULT, 0) for one in debates]
    assert label(debates[0], DEFAULT.model_copy(update={"tie": "drop"}), 0).answer is None


def test_a_lead_below_the_minimum_is_no_label() -> None:
    strict = DEFAULT.model_copy(update={"min_margin": 0.5})
    assert label(debate("q", ["1"] * 3, ["7", "7", "8"]), strict, 0).answer is None
    assert label(debate("q", ["1"] * 3, ["7", "7", None]), strict, 0).answer == "7"


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=9), st.integers(0, 99))
def test_no_answer_has_more_votes_than_the_label(votes: list[str | None], seed: int) -> None:
    found = label(debate("q", votes, votes), DEFAULT, seed)
    counts = Counter(vote for vote in votes if vote)
    assert counts[found.answer] == max(counts.values()) if counts else found.answer is None
    assert 0 <= found.margin <= 1


@pytest.mark.parametrize(
    ("rounds", "word"),
    [
        ([["7"] * 3, ["7"] * 3], "nothing to teach"),
        ([["1", "2", "3"], ["4", "5", "6"]], "chance"),
        ([["1", "2", "3"], [None] * 3], "can be read"),
    ],
)
def test_debates_that_teach_nothing_are_told_in_a_sentence(rounds: list[list[str | None]], word: str) -> None:
    debates = [debate(f"q{place}", *rounds) for place in range(5)]
    sentence = nothing_to_learn(debates, [label(one, DEFAULT, 0) for one in debates])
    assert sentence and word in sentence


@pytest.mark.parametrize("last", [["4", "5", "6"], [None] * 3])
@pytest.mark.parametrize("answer", ["5", None])
def test_where_all_votes_are_chance_a_persons_answer_is_all_that_is_learnt(
    last: list[str | None], answer: str | None
) -> None:
    debates = [debate(f"q{place}", ["1", "2", "3"], last) for place in range(5)]
    said = Feedback((Event("label", "q3", "anna", answer=answer),))
    labels = without_chance(said.correct([label(one, DEFAULT, 0) for one in debates]))
    assert {one.question_id: one.answer for one in labels if one.answer} == ({"q3": answer} if answer else {})
    assert (nothing_to_learn(debates, labels) is None) == bool(answer)
    agreed = [*debates, debate("agreed", ["1", "2", "3"], ["7", "7", "3"])]
    labels = [label(one, DEFAULT, 0) for one in agreed]
    assert without_chance(labels) == labels


def test_one_disagreement_is_enough_to_learn() -> None:
    debates = [debate("q0", ["7"] * 3, ["7"] * 3), debate("q1", ["7", "7", "8"], ["7"] * 3)]
    assert nothing_to_learn(debates, [label(one, DEFAULT, 0) for one in debates]) is None


def test_labels_are_reported_by_margin_against_the_targets() -> None:
    task = sums_task(train=4)
    one, two, three, four = task.examples("train")
    debates = [
        debate(one.id, ["0"] * 3, [str(one.target)] * 3),
        debate(two.id, ["0"] * 3, ["99"] * 3),
        debate(three.id, ["0"] * 3, [str(three.target), str(three.target), "99"]),
        debate(four.id, ["0"] * 3, [None] * 3),
    ]
    known = {example.id: str(example.target) for example in task.examples("train")}
    rows = label_report(known, [label(one, DEFAULT, 0) for one in debates])
    found = {row["margin"]: (row["labels"], row["right"]) for row in rows}
    assert found == {0.3333: (1, 1), 1.0: (2, 1), None: (3, 2)}
