import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.scorers import ChoiceScorer

INTENTS = ("card_arrival", "exchange_rate", "wrong_exchange_rate", "Refund_not_showing_up", "reverted_card_payment?")
LETTERS = ("A", "B", "C", "I")


def example(target):
    return Example({"text": "x"}, target, source="train.csv:3")


@pytest.mark.parametrize(
    ("labels", "text", "found"),
    [
        (INTENTS, "card_arrival", ["card_arrival"]),
        (INTENTS, " **Card Arrival.** \n", ["card_arrival"]),
        (INTENTS, "_refund not showing up_", ["Refund_not_showing_up"]),
        (INTENTS, "reverted card-payment", ["reverted_card_payment?"]),
        # a label inside a longer label is no mention of it
        (INTENTS, "It is about the wrong exchange rate here", ["wrong_exchange_rate"]),
        (INTENTS, "discard_arrivals", []),
        # after "answer", although others are mentioned before and after
        (INTENTS, "Not card_arrival.\nAnswer: exchange_rate\nUnlike card_arrival it asks a rate.", ["exchange_rate"]),
        (INTENTS, "the answer is\n`exchange_rate`. card_arrival it is not", ["exchange_rate", "card_arrival"]),
        (INTENTS, "The category is: exchange_rate", ["exchange_rate"]),
        (INTENTS, "Answer: card_arrival\nno wait\nFinal answer: exchange_rate\nthanks", ["exchange_rate"]),
        # the last line, although others are mentioned before
        (INTENTS, "card_arrival or exchange_rate?\nI say exchange_rate\n", ["exchange_rate"]),
        (INTENTS, "\\boxed{exchange_rate} rather than card_arrival", ["exchange_rate"]),
        # the only one mentioned
        (INTENTS, "This is card_arrival.\nHope that helps!", ["card_arrival"]),
        (INTENTS, "card_arrival or exchange_rate", ["card_arrival", "exchange_rate"]),
        (INTENTS, "card_arrival, card arrival", ["card_arrival"]),
        (INTENTS, "", []),
        (INTENTS, "something else", []),
        (LETTERS, "(B)", ["B"]),
        (LETTERS, "b", ["B"]),
        (LETTERS, "B) because it rains", ["B"]),
        (LETTERS, "A dog barks, so I'd say B.", ["B"]),
        (LETTERS, "I think a man said B", ["B"]),
        (LETTERS, "Answer: A", ["A"]),
        (LETTERS, "A is right", ["A"]),
        (LETTERS, "A or B", ["B"]),
        (LETTERS, "Abacus", []),
        (("1", "-1"), "-1", ["-1"]),
        (("1", "-1"), "the sign is -1", ["-1"]),
        (("1", "-1"), "Answer: -1", ["-1"]),
        (("1", "-1"), "**Answer:** **-1**", ["-1"]),
        (("1", "+1"), "the label is +1", ["+1"]),
        (("1", "2"), "it is 1.5", []),
        (("1", "2"), "it is 1.", ["1"]),
        (("c", "c++"), "use c++ here", ["c++"]),
    ],
)
def test_the_labels_that_an_answer_gives(labels, text, found):
    assert ChoiceScorer(labels=labels).find(text) == found


def test_verdicts():
    scorer = ChoiceScorer(labels=INTENTS)
    assert scorer.score(example("card_arrival"), "card arrival").verdict == "right"
    assert scorer.score(example("card_arrival"), "exchange rate").verdict == "wrong"
    ambiguous = scorer.score(example("card_arrival"), "card_arrival or exchange_rate")
    assert ambiguous.verdict == "unparsable"
    assert "card_arrival, exchange_rate" in ambiguous.feedback
    assert scorer.answer_key("Card arrival!") == "card_arrival"
    assert scorer.answer_key("card_arrival or exchange_rate") is None


@given(labels=st.lists(st.text(min_size=1), min_size=2, max_size=5), data=st.data())
def test_gold_scores_one_and_votes_for_itself(labels, data):
    try:
        scorer = ChoiceScorer(labels=tuple(labels))
    except ValidationError:
        assume(False)
    target = data.draw(st.sampled_from(labels))
    gold = scorer.gold(example(target))
    assert scorer.score(example(target), gold).value == 1.0
    assert scorer.answer_key(gold) == target


@given(text=st.text() | st.text("cardexngt_ -\n.:answi*?"))
def test_any_text_gives_known_labels(text):
    assert set(ChoiceScorer(labels=INTENTS).find(text)) <= set(INTENTS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("refund", "Refund."), "cannot be told apart"),
        (("card_arrival", "card arrival"), "cannot be told apart"),
        (("a", " "), "blank"),
        (("a", "b\nc"), "line break"),
        (("a",), "at least 2"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels, message):
    with pytest.raises(ValidationError, match=message):
        ChoiceScorer(labels=labels)


def test_a_target_that_is_no_label_names_the_nearest():
    with pytest.raises(TaskError, match=r"train\.csv:3: target 'card_arival' is none .* did you mean 'card_arrival'"):
        ChoiceScorer(labels=INTENTS).score(example("card_arival"), "x")
