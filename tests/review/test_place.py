"""What a folder holds for reviewers, and the command that shows it."""

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.chat import Completion
from fulcrum.cli.main import main
from fulcrum.errors import RunError, SettingsError
from fulcrum.review.app import review_app
from fulcrum.review.feedback import Word
from fulcrum.review.place import SocietyQuestions, open_place
from fulcrum.review.serve import serve
from fulcrum.society.feedback import read_feedback
from review.material import TOKEN, small_library
from support.debating import debate


@pytest.fixture
def society(tmp_path: Path) -> Path:
    """A run folder as a society leaves it after its first debate."""
    stage = tmp_path / "stages" / "debate-society-1-abc"
    stage.mkdir(parents=True)
    debates = [
        debate("clear", ["7", "7", "8"], ["7", "7", "7"]),
        debate("split", ["1", "2", "3"], ["1", "2", "3"]),
    ]
    (stage / "debates.jsonl").write_text("".join(json.dumps(one.to_json()) + "\n" for one in debates))
    (stage / "finished.json").write_text("{}")
    (tmp_path / "resolved.json").write_text(json.dumps({"method": "society", "models": {}, "settings": {}, "seed": 0}))
    return tmp_path


def test_a_societys_debates_become_questions_the_most_split_first(society: Path) -> None:
    place = open_place(society)
    assert place.library is None and place.questions is not None
    first, second = place.questions.questions()
    assert (first.id, dict(first.votes), first.agreement) == ("split", {"1": 1, "2": 1, "3": 1}, 1 / 3)
    assert (second.label, second.source) == ("7", "vote")
    assert [said.agent for said in first.statements][2:4] == ["generator-3", "critic-1"]


def test_a_failed_call_and_a_critic_that_was_not_asked_are_told_apart_from_what_was_said(society: Path) -> None:
    lost = Completion.failed("timeout", "30 s")
    alone = debate("alone", ["1", lost, lost], ["1", lost, lost])
    unasked = tuple(replace(said, summary="") for said in alone.last)
    debates = society / "stages" / "debate-society-1-abc" / "debates.jsonl"
    debates.write_text(json.dumps(replace(alone, rounds=(alone.first, unasked)).to_json()) + "\n")
    (question,) = SocietyQuestions(society).questions()
    assert [(said.agent, said.failed) for said in question.statements] == [
        *(("generator-1", False), ("generator-2", True), ("generator-3", True)),
        *(("critic-2", True), ("critic-3", True)),
    ]


def test_where_no_society_is_trained_people_can_only_say_what_is_right(society: Path) -> None:
    (society / "stages" / "debate-society-1-abc").rename(society / "stages" / "debate-voted-1-abc")
    settings = {"arms": ["base", "majority-ft"]}
    (society / "resolved.json").write_text(
        json.dumps({"method": "society", "models": {}, "settings": settings, "seed": 0})
    )
    (question, _) = SocietyQuestions(society).questions()
    assert not question.steered and {said.agent for said in question.statements} == {"agent"}


def test_what_a_person_says_is_what_the_society_reads(society: Path) -> None:
    queue = SocietyQuestions(society)
    assert queue.say("split", Word("label", "ada", answer="2"), 0)
    assert queue.say("split", Word("veto", "ada", "critic-2"), 1)
    feedback = read_feedback(society)
    assert feedback.vetoes == {("critic-2", "split")}
    question = next(one for one in queue.questions() if one.id == "split")
    assert (question.label, question.source, question.revision) == ("2", "person", 2)


def test_who_did_not_see_that_a_word_was_said_again_is_shown_it(society: Path) -> None:
    queue = SocietyQuestions(society)
    ada, ben, cleo = (Word("label", who, answer=answer) for who, answer in (("ada", "1"), ("ben", "2"), ("cleo", "3")))
    assert [queue.say("split", word, heard) for heard, word in enumerate((ada, ben, ada))] == [True] * 3
    assert not queue.say("split", cleo, 2)
    question = next(one for one in queue.questions() if one.id == "split")
    assert (question.label, question.words[2:]) == ("1", [ada])


def test_of_two_who_speak_at_once_one_is_told(society: Path) -> None:
    start = threading.Barrier(2)
    kept: list[bool] = []

    def speak(who: str) -> None:
        queue = SocietyQuestions(society)
        start.wait(20)
        kept.append(queue.say("split", Word("label", who, answer="1"), 0))

    threads = [threading.Thread(target=speak, args=(who,)) for who in ("ada", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(kept) == [False, True] and len(read_feedback(society).events) == 1


def test_a_library_without_its_run_says_why_it_cannot_test(tmp_path: Path) -> None:
    small_library(tmp_path / "library.jsonl")
    for place in (open_place(tmp_path), open_place(tmp_path / "library.jsonl")):
        assert place.retest is None and "without its run" in place.why_no_test


def test_a_folder_without_anything_to_review_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds nothing to review"):
        open_place(tmp_path)


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small_library(tmp_path / "library.jsonl")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as stopped:
            main(["review", str(tmp_path), "--port", str(taken.getsockname()[1])])
    assert stopped.value.code == 2 and "give another one" in capsys.readouterr().err


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    app = review_app(title="t", token=TOKEN, reviewer="a", library=small_library(tmp_path / "library.jsonl"))
    with pytest.raises(SettingsError, match="99999"):
        serve(app, 99_999, print)
