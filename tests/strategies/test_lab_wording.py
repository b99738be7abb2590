"""The lab's wording: what its teachers write, and what is read from it."""

import pytest

from fulcrum.chat import Completion, Request, system, user
from fulcrum.errors import LibraryError
from fulcrum.lab.desk.practice import HABITS
from fulcrum.strategies.lab import LabWording, desk_handbooks, student, teacher
from fulcrum.task.load import load_task

WORDING = LabWording({})
ASKED = (system("you are ann."), user("please cancel order 12."))


@pytest.mark.parametrize(
    ("mine", "theirs", "named"),
    [
        ("sorry. @cancel 12 tom", "@cancel 12", {"apologise_first", "name_cancels"}),
        ("sorry. @cancel 12 tom", "sorry. @cancel 12 tom", set[str]()),
        ("tom. i am going to refund it. @refund 12 ann", "@refund 12 ann", {"name_the_customer", "state_next_step"}),
    ],
)
def test_the_teacher_made_of_rules_names_all_that_its_reply_has_and_the_students_lacks(
    mine: str, theirs: str, named: set[str]
) -> None:
    said = teacher(Request(WORDING.ask(ASKED, mine, theirs)))
    assert {advice.guidance for advice in WORDING.read(said)} == {HABITS[id].advice for id in named}


def test_the_teacher_made_of_rules_names_what_its_handbook_says_and_nothing_else() -> None:
    named = "lab:desk?seed=3&shops=3&till=signed"
    task, books = load_task(named), desk_handbooks(named)
    wording, told = LabWording(books), set[tuple[str, str]]()
    for example in task.examples("train")[:60]:
        episode = task.open(example.id)
        while not episode.done:
            messages = episode.messages
            mine, theirs = (student(Request(shown)) for shown in (wording.teach(messages), messages))
            said = teacher(Request(wording.ask(messages, mine, theirs)))
            clerk = wording.situation(messages).place.removeprefix("at-")
            told |= {(clerk, advice.guidance) for advice in wording.read(said)}
            episode.step(Completion(mine))
    written = {(clerk, line) for clerk, lines in books.items() for line in lines}
    assert told <= written and len(told) > len(written) / 2


def test_every_habit_is_read_as_it_was_written() -> None:
    for habit in HABITS.values():
        (advice,) = WORDING.read(habit.advice)
        assert advice.guidance == habit.advice


@pytest.mark.parametrize(
    "text", ["", "be kind.", "when you refund", "hm. when you refund, be kind.", "when , be kind."]
)
def test_anything_else_cannot_be_read(text: str) -> None:
    with pytest.raises(LibraryError, match="not of the form"):
        WORDING.read(text)
