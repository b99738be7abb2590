"""What people say, kept as events."""

from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.chat import Message, assistant, user
from fulcrum.errors import RunError
from fulcrum.society.debate import Transcript, conversation
from fulcrum.society.feedback import FILE, Event, Feedback, append_feedback, most_split, read_feedback, simulate
from fulcrum.society.labels import label
from fulcrum.society.settings import AnnotatorSettings, SocietySettings
from support.debating import debate

DEBATES = [
    debate("clear", ["7", "7", "8"], ["7", "7", "7"]),
    debate("split", ["1", "2", "3"], ["1", "2", "3"]),
    debate("close", ["7", "8", "8"], ["7", "8", "8"]),
]
LABELS = [label(one, SocietySettings(), 0) for one in DEBATES]
UPDATE = "They say {summary}."
GOLD = {"clear": "7", "split": "4", "close": "7"}


def test_events_are_only_added_and_the_last_word_counts(tmp_path: Path) -> None:
    append_feedback(tmp_path, [Event("label", "split", "anna", answer="1")])
    before = (tmp_path / FILE).read_bytes()
    append_feedback(tmp_path, [Event("label", "split", "ben", answer="2"), Event("label", "close", "ben", answer=None)])
    assert (tmp_path / FILE).read_bytes().startswith(before)
    fixed = {one.question_id: one for one in read_feedback(tmp_path).correct(LABELS)}
    assert (fixed["split"].answer, fixed["split"].source) == ("2", "person")
    assert fixed["close"].answer is None
    assert fixed["clear"] == LABELS[0]


def test_the_last_word_counts_even_where_it_was_said_before(tmp_path: Path) -> None:
    for by, answer in (("ada", "1"), ("ben", "2"), ("ada", "1")):
        append_feedback(tmp_path, [Event("label", "split", by, answer=answer)])
    fixed = {one.question_id: one.answer for one in read_feedback(tmp_path).correct(LABELS)}
    assert fixed["split"] == "1"


def test_who_has_not_heard_the_last_word_is_not_written_down(tmp_path: Path) -> None:
    assert append_feedback(tmp_path, [Event("label", "split", "ada", answer="1")], heard=0)
    assert append_feedback(tmp_path, [Event("label", "close", "ben", answer="3")], heard=0)
    assert not append_feedback(tmp_path, [Event("label", "split", "ben", answer="2")], heard=0)
    assert [event.by for event in read_feedback(tmp_path).events] == ["ada", "ben"]


def test_what_was_said_again_must_have_been_heard_too(tmp_path: Path) -> None:
    ada, ben, cleo = (Event("label", "split", by, answer=by) for by in ("ada", "ben", "cleo"))
    for heard, event in enumerate((ada, ben, ada)):
        assert append_feedback(tmp_path, [event], heard=heard)
    assert not append_feedback(tmp_path, [cleo], heard=2), "ada's last word is one that cleo never saw"
    assert append_feedback(tmp_path, [cleo], heard=3)
    assert read_feedback(tmp_path).events == (ben, ada, cleo)


def test_the_same_event_twice_counts_once_and_a_cut_line_is_mended(tmp_path: Path) -> None:
    event = Event("veto", "clear", "anna", "critic-1")
    append_feedback(tmp_path, [event, event])
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind": "la')
    assert read_feedback(tmp_path).events == (event,)
    append_feedback(tmp_path, [Event("veto", "close", "anna", "critic-1")])
    assert read_feedback(tmp_path).vetoes == {("critic-1", "clear"), ("critic-1", "close")}


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"kind": "label", "colour": "red"}\n')
    with pytest.raises(RunError, match=r"feedback\.jsonl:1: not a feedback event"):
        read_feedback(tmp_path)


def test_a_preference_becomes_a_row_of_that_agent_only(tmp_path: Path) -> None:
    append_feedback(tmp_path, [Event("prefer", "close", "anna", "generator-2", chosen="so 7", rejected="so 8")])
    feedback = read_feedback(tmp_path)
    (row,) = feedback.preferences("generator-2", DEBATES, UPDATE)
    assert (row.prompt, row.chosen, row.rejected) == (DEBATES[2].messages, "so 7", "so 8")
    assert feedback.preferences("generator-1", DEBATES, UPDATE) == []
    assert feedback.preferences("generator-2", DEBATES[:1], UPDATE) == []


def test_a_critics_preference_is_learnt_after_the_prompt_that_the_critic_was_given() -> None:
    long = debate("long", ["7", "8", "8"], ["5", "7", "8"], ["7", "7", "8"])
    first = conversation(long.messages, long.track(0), UPDATE)

    def prompts(rejected: str, *debates: Transcript) -> list[tuple[Message, ...]]:
        event = Event("prefer", "long", "anna", "critic-1", chosen="so 9", rejected=rejected)
        return [row.prompt for row in Feedback((event,)).preferences("critic-1", debates, UPDATE)]

    assert first[1][1:] == (assistant("so 7"), user("They say others of round 1."))
    assert prompts("so 5", long) == [first[1]]
    assert prompts("so 7", long) == prompts("said in another debate", long) == [first[2]]
    unasked = replace(long, rounds=(long.first, tuple(replace(said, summary="") for said in long.last)))
    assert prompts("so 7", unasked) == []
    repeated = replace(long, rounds=(*long.rounds[:2], tuple(replace(said, summary="") for said in long.rounds[1])))
    assert prompts("so 5", repeated) == prompts("said in another debate", repeated) == [first[1]]


def test_the_most_split_votes_come_first() -> None:
    assert [one.question_id for one in most_split(DEBATES)] == ["split", "close", "clear"]


def test_a_simulated_person_looks_at_split_votes_and_is_right() -> None:
    events = simulate(DEBATES, GOLD, AnnotatorSettings(labels=2), 0)
    assert [(event.question_id, event.answer) for event in events] == [("split", "4"), ("close", "7")]


def test_a_person_who_errs_gives_another_answer_of_the_debate() -> None:
    events = simulate(DEBATES, GOLD, AnnotatorSettings(labels=3, error_rate=1.0), 0)
    wrong = {event.question_id: event.answer for event in events}
    assert wrong["clear"] == wrong["close"] == "8" and wrong["split"] in ("1", "2", "3")


def test_random_choice_follows_the_seed() -> None:
    chosen = {
        seed: simulate(DEBATES, GOLD, AnnotatorSettings(labels=1, choose="random"), seed)[0].question_id
        for seed in range(30)
    }
    assert set(chosen.values()) == set(GOLD)
    again = simulate(DEBATES, GOLD, AnnotatorSettings(labels=1, choose="random"), 0)
    assert again[0].question_id == chosen[0]


def test_a_simulated_person_answers_only_what_has_a_target_and_says_so_if_nothing_has() -> None:
    known = dict(list(GOLD.items())[:1])
    assert [event.question_id for event in simulate(DEBATES, known, AnnotatorSettings(labels=3), 0)] == list(known)
    assert simulate(DEBATES, {}, AnnotatorSettings(labels=0), 0) == []
    with pytest.raises(RunError, match="no question debated has one"):
        simulate(DEBATES, {}, AnnotatorSettings(labels=3), 0)
