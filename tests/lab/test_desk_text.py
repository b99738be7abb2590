"""Text from which the checkpoints learn the desk: replies that follow the guidance shown, and strategies."""

import random
import re
from collections import Counter
from itertools import combinations

import pytest

from fulcrum.chat import system, user
from fulcrum.errors import TaskError
from fulcrum.lab.desk.corpus import (
    SAME,
    booking_lookups,
    desk_dialogues,
    fitting_lines,
    guided_dialogue,
    guided_turn,
    ruling_lookups,
    strategy_writing,
    without_guidance,
)
from fulcrum.lab.desk.expert import reply
from fulcrum.lab.desk.notes import advised_habits, desk_notes, fitting_habits, write_desk_note
from fulcrum.lab.desk.policy import Policy
from fulcrum.lab.desk.practice import HABITS, PARAPHRASES
from fulcrum.lab.desk.tools import NOT_THEIRS
from fulcrum.lab.desk.view import view
from fulcrum.lab.notes import FORMS
from fulcrum.lab.prompts import GUIDANCE
from fulcrum.lab.shop import BOOKINGS, Shop


def test_training_replies_follow_the_guidance_shown_and_nothing_else() -> None:
    advised = plain = 0
    for seed in range(1000, 1012):
        for messages, said in desk_dialogues(seed, None, 40):
            lines = messages[0].content.partition(f"\n{GUIDANCE}\n")[2].split("\n")
            known = {
                habit
                for habit in HABITS
                if {f"- {line}" for line in (HABITS[habit].advice, *PARAPHRASES[habit])} & set(lines)
            }
            if any("when you speak" in line for line in lines):
                continue
            assert said == reply(messages, known)
            advised += bool(known) and said != reply(messages, ())
            plain += not known
    assert advised > 80
    assert plain > 20


def test_lines_that_fit_are_those_without_which_the_reply_differs() -> None:
    counted = Counter[bool]()
    for messages, said in desk_dialogues(1003, None, 120):
        fitting = fitting_lines(messages, said)
        assert (fitting > 0) >= (said != reply(without_guidance(messages), ()))
        if messages == without_guidance(messages):
            assert fitting == 0
        counted[fitting > 0] += 1
    assert min(counted.values()) > 20


def test_a_single_training_reply_is_one_that_its_guidance_changes() -> None:
    plain = 0
    for seed in range(60):
        *before, last = guided_turn(random.Random(seed))
        lines = before[0].content.partition(f"\n{GUIDANCE}\n")[2]
        assert last.role == "assistant" and "tools:" not in before[0].content
        # The rules stand there as soon as a reply can depend on them.
        assert ("own orders only" in before[0].content) == any(one.content.startswith("[desk]") for one in before)
        if lines and "own orders only" in before[0].content:
            assert last.content != reply(without_guidance(before), ())
        plain += not lines
    assert 0 < plain < 20


def test_a_whole_training_dialogue_can_follow_a_handbook() -> None:
    habits = Shop(3).practice
    messages = guided_dialogue(random.Random(5), habits)
    assert messages[0].content.count("\n- ") == len(habits)
    assert messages[-1].role == "assistant"


@pytest.mark.slow
def test_a_written_strategy_names_a_habit_that_one_reply_has_and_the_other_lacks() -> None:
    named = Counter[str]()
    for seed in range(1000, 1030):
        for (_, request), strategy in strategy_writing(seed, 20):
            mine, theirs = (request.content.split(f"\n{who}: ")[1].split("\n")[0] for who in ("mine", "theirs"))
            assert (strategy == SAME) == (mine == theirs)
            named[strategy] += 1
    assert set(named) == {*(habit.advice for habit in HABITS.values()), SAME}


@pytest.mark.parametrize("seed", range(60))
def test_which_rule_stands_against_a_wish_can_be_read_above(seed: int) -> None:
    messages = ruling_lookups(random.Random(seed))
    rules = Policy.read(f"you are kim at the desk. {messages[0].content}")
    for asked, answer in zip(messages[::2], messages[1::2], strict=True):
        *_, said, looked_up = asked.content.split("\n")
        prompt = system("you are kim at the desk.\n" + rules.describe())
        # A wish told in a word comes with no name: whose the order is stands in what the desk was told of it.
        seen = view([prompt, user(said), user(looked_up)])
        asker = seen.name or ("someone else" if looked_up.endswith(NOT_THEIRS) else seen.order.owner)
        assert answer.content == f"{rules.objection(seen.order, seen.action, asker) or 'none'}."


@pytest.mark.parametrize("seed", range(60))
def test_the_word_behind_a_booking_is_what_the_till_wants(seed: int) -> None:
    prompt, *turns = booking_lookups(random.Random(seed))
    clerk = prompt.content.split()[2]
    told = prompt.content.split("\n- ")[1:]
    advised = {id for id in BOOKINGS if {HABITS[id].advice, *PARAPHRASES[id]} & set(told)}
    assert len(advised) == len(told) > 0
    for asked, answer in zip(turns[::2], turns[1::2], strict=True):
        number, owner, price, tool = re.search(
            r"order (\d+): (\w+) \w+, .+, (\d+) coins, .+\n(\w+)$", asked.content
        ).groups()
        wanted = {
            "refund": ("sign_refunds", clerk),
            "exchange": ("price_exchanges", price),
            "cancel": ("name_cancels", owner),
            "escalate": ("sign_escalations", clerk),
        }[tool]
        assert answer.content == f"@{tool} {number}" + (f" {wanted[1]}" if wanted[0] in advised else "")


def test_rulings_are_as_likely_one_as_another() -> None:
    said = Counter(m.content for seed in range(100) for m in ruling_lookups(random.Random(seed))[1::2])
    assert set(said) == {"owner.", "status.", "limit.", "none."}
    assert min(said.values()) > 0.8 * max(said.values())


def test_training_worlds_are_no_shops() -> None:
    with pytest.raises(TaskError, match="seeds below 1000"):
        next(desk_dialogues(7, None, 1))
    with pytest.raises(TaskError, match="seeds below 1000"):
        next(strategy_writing(999, 1))


def test_notes_advise_what_could_change_the_next_reply_and_know_no_shop() -> None:
    said = Counter[str]()
    for seed in range(150):
        conversation = desk_notes(random.Random(seed))
        asked, notes = [m.content for m in conversation[-6::2]], [m.content for m in conversation[-5::2]]
        opening, _, _ = asked[0].rpartition("\n\n")
        if "tools:" not in conversation[0].content:  # the rules may be left out too, and then nothing can be replied
            continue
        fitting = fitting_habits([*conversation[:-6], user(opening)])
        for request, note in zip(asked, notes, strict=True):
            head, _, body = note.partition("\n")
            form = head.removeprefix("[[form: ").removesuffix("]]")
            assert request.endswith(f" supplement of the form {form} that helps another model answer.") or (
                request.endswith("Write a supplement that helps another model answer.")
            )
            said[form] += 1
            if form == "none":
                said["none where something fits"] += bool(fitting)
                continue
            if form in ("answer", "one_shot"):
                messages = [*conversation[:-6], user(opening)]
                replies = {reply(messages, habits) for n in (0, 1, 2, 3, 4) for habits in combinations(fitting, n)}
                assert body.removeprefix("for example: ") in replies or not fitting
                continue
            advised = advised_habits(form, body)
            assert advised and all(advised)
            if fitting:
                assert all(habits & set(fitting) for habits in advised)
    assert {*FORMS, "none"} < set(said)
    assert said["none where something fits"] < said["none"] / 3


def test_a_note_in_any_form_names_the_habits_it_is_given() -> None:
    rng = random.Random(1)
    for form in set(FORMS) - {"answer", "one_shot"}:
        for id in HABITS:
            (found,) = advised_habits(form, write_desk_note(rng, form, (), [id]))
            assert id in found
    assert advised_habits("cot", "- be kind.") == [set()]
    assert advised_habits("answer", "hello.") == []
