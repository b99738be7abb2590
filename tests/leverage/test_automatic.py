"""Anchors that write themselves, and the probe that tells rows apart."""

import random

import pytest

from fulcrum.chat import Completion, user
from fulcrum.errors import SettingsError
from fulcrum.leverage.automatic import answer_form, choose, keywords, templates, written_by
from fulcrum.leverage.separability import area_under_curve, separability
from fulcrum.training.rows import ChatRow
from support.scripted import ScriptedModel

rng = random.Random(0)


def sentences(words: str, count: int = 60) -> list[str]:
    return [" ".join(rng.choices(words.split(), k=6)) for _ in range(count)]


def test_area_under_the_curve_by_hand() -> None:
    import numpy as np

    # of the 2 x 3 pairs the positive wins 4, one is equal: 4.5 / 6
    assert area_under_curve(np.array([0.9, 0.4, 0.4, 0.3, 0.5]), np.array([1.0, 1, 0, 0, 0])) == 0.75


def test_rows_of_other_words_are_told_apart_and_rows_of_the_same_are_not() -> None:
    alike = separability(sentences("a b c d e f g"), sentences("a b c d e f g"))
    other = separability(sentences("a b c d e f g"), sentences("a b c d e f z"))
    assert alike == pytest.approx(0.5, abs=0.12)
    assert alike < other < 1
    assert separability(sentences("a b c"), sentences("x y z")) == 1
    with pytest.raises(SettingsError, match="two rows of each kind"):
        separability(["a"], ["b", "c"])


def test_answers_are_described_by_their_form() -> None:
    assert answer_form(['{"queue": "F5", "order": "1"}', '{"queue": "A1"}']) == "answer as json with queue, order."
    assert answer_form(["1", "-2.5"]) == "answer with a number."
    assert answer_form(["yes", "no", "yes"]) == "answer with one of yes, no."
    assert answer_form(["guten tag herr meier", "auf wiedersehen du"]) == "answer in about 4 words."


def rows(prompt: str, answer: str, count: int = 12) -> list[ChatRow]:
    return [ChatRow((user(f"{prompt} {number} {rng.random():.3f}"),), answer) for number in range(count)]


OURS, OTHERS = rows("my parcel is late", '{"queue": "F5"}'), rows("is the parcel heavy", "yes", 40)


def test_templates_name_the_task_its_answers_and_its_words() -> None:
    written = templates("lab:triage?train=64", OURS, OTHERS)
    assert "lab triage: answer as json with queue." in written
    assert any("late" in text and "parcel" not in text for text in written)
    assert keywords(["a late parcel", "late again"], ["a parcel"], 1) == ["late"]
    assert templates("x", OURS, OTHERS) == templates("x", OURS, OTHERS)


def test_templates_are_whole_in_any_script_and_without_a_name() -> None:
    ours, others = rows("моя посылка опаздывает", "да"), rows("is the parcel heavy", "yes", 40)
    assert templates("перевод_писем", ours, others) == [
        "task: перевод писем.",
        "перевод писем: answer with one of да.",
        "answer with one of да.",
        "task: перевод писем. about моя, опаздывает, посылка. answer with one of да.",
    ]
    assert templates("--", OTHERS, OTHERS) == ["answer with one of yes."]
    assert templates("?", ours, others)[-1] == "about моя, опаздывает, посылка. answer with one of да."


def test_a_writer_reads_the_rows_and_its_failures_are_left_out() -> None:
    answers = iter([Completion("say the\nqueue"), Completion.failed("timeout"), Completion("say the queue")])
    writer = ScriptedModel(lambda request: next(answers))
    assert written_by(writer, OURS, 3, seed=0) == ["say the queue"]
    assert OURS[0].prompt[0].content in writer.requests[0].messages[0].content
    assert len({request.sample for request in writer.requests}) == 3


def test_what_separates_comes_first_then_what_the_model_likes() -> None:
    losses = {"is": 0.1, "zebra one": 2.0, "zebra two": 1.0}
    texts = [(text, "template") for text in losses]
    alike = [ChatRow((user("is " * rng.randint(1, 9) + "it " * rng.randint(1, 9)),), "yes") for _ in range(80)]
    found = choose(texts, "user", alike[:40], alike[40:], lambda anchor: losses[anchor.text], len)
    assert [one.text for one in found] == ["zebra two", "zebra one", "is"]
    assert found[0].separability == 1 > found[-1].separability
