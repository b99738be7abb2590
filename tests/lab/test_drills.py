"""Dense training text: each answer must follow from what stands above it, or a model learns to guess."""

import random
import re
from collections import Counter

import pytest

from fulcrum.lab import talk_text, words
from fulcrum.lab.corpus import column_lookups, sql_lookups, word_lookups
from fulcrum.lab.desk.corpus import SAME, comparisons, guided_shift, handbook_dialogue, handbook_shift
from fulcrum.lab.desk.expert import reply
from fulcrum.lab.desk.practice import HABITS
from fulcrum.lab.instructions import letter_book, letters, register
from fulcrum.lab.prompts import GUIDANCE

SEEDS = range(60)


def homes(tables: list[str]) -> dict[str, str]:
    """Return the table of every column that the lines of a schema name."""
    return {column: table for line in tables for column, table in re.findall(r"(\w+) of (\w+)", line)}


def turns(messages):
    return list(zip((m.content for m in messages[:-1]), messages[1:], strict=True))


def situation_of(opener: str) -> str:
    (found,) = {
        situation
        for situation, templates in talk_text.OPENERS.items()
        for template in templates
        if re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(template)), opener)
    }
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_house_word_is_and_where_a_column_stands_can_be_read_above(seed: int) -> None:
    messages = sql_lookups(random.Random(seed))
    opening = messages[0].content.split("\n")
    tables, notes = opening[:3], opening[3:]
    for asked, answer in turns(messages)[::2]:
        question = asked.split("\n")[-1]
        if found := re.fullmatch(r"what is (.+)\?", question):
            meaning = answer.content.removesuffix(".")
            # A note that warns of another meaning says first or last which one is right.
            assert any(found[1] in line and meaning in line for line in notes), (question, answer)
            assert not any(
                f"not {meaning}," in line or f"wrong {meaning}" in line for line in notes if found[1] in line
            )
        elif found := re.fullmatch(r"where is (.+)\?", question):
            if found[1] in homes(tables):
                assert answer.content == f"{homes(tables)[found[1]]}."
            else:  # a house word: its note names a column of that table
                told = re.findall(r"\w+", " ".join(line for line in notes if found[1] in line))
                assert answer.content in {f"{homes(tables)[column]}." for column in told if column in homes(tables)}
        else:
            assert answer.content.startswith("select ")


@pytest.mark.parametrize("seed", SEEDS)
def test_where_a_column_stands_can_be_read_above_by_its_name_and_by_the_words_for_it(seed: int) -> None:
    messages = column_lookups(random.Random(seed))
    known = homes(messages[0].content.split("\n")[:3])
    asked = [(question.split("\n")[-1], answer.content) for question, answer in turns(messages)[::2]]
    assert len(asked) == len(set(asked)) >= 8
    things = [(re.fullmatch(r"where is (.+)\?", question)[1], answer) for question, answer in asked]
    named = {thing: answer for thing, answer in things if thing in known}
    assert named == {column: f"{table}." for column, table in known.items() if column in named}
    phrases = {**words.CATEGORIES, **{name: (phrase, ()) for name, phrase in words.NUMBERS.items()}}
    for thing, answer in things:
        if thing not in known:
            spoken = [name for name in named if thing.startswith(phrases[name][0].partition("{}")[0])]
            assert answer in {named[name] for name in spoken}
    assert len(things) == 2 * len(named)
    assert len(set(named.values())) == 3


def test_what_a_word_means_stands_above_among_others_of_its_kind() -> None:
    alike = 0
    for seed in SEEDS:
        messages = word_lookups(random.Random(seed))
        *lines, _ = messages[0].content.split("\n")
        meanings = dict(line.removesuffix(".").split(" means ") for line in lines)
        for asked, answer in turns(messages)[::2]:
            word = re.search(r"what is (.+)\?$", asked)[1]
            assert answer.content == f"{meanings[word]}."
        columns = [meaning.split()[0] for meaning in meanings.values()]
        alike += len(set(columns)) < len(columns)
    assert alike > len(SEEDS) / 2  # the kind of a word alone does not tell its line


def habits_advised(first) -> list[str]:
    lines = [line.removeprefix("- ") for line in first.content.partition(f"{GUIDANCE}\n")[2].split("\n")]
    habits = [id for id, habit in HABITS.items() if habit.advice in lines]
    assert len(lines) == len(habits)
    return habits


def test_a_handbook_has_eight_habits_or_two_more_for_the_till_and_every_reply_keeps_those_that_fit() -> None:
    kept, sizes = 0, Counter[int]()
    for seed in range(15):
        first, *messages = handbook_dialogue(random.Random(seed))
        habits = habits_advised(first)
        sizes[len(habits)] += 1
        for place, message in enumerate(messages):
            if message.role == "assistant":
                assert message.content == reply([first, *messages[:place]], habits)
                kept += message.content != reply([first, *messages[:place]], ())
    assert kept > 15
    assert set(sizes) == {8, 10}


def test_the_first_reply_of_a_shift_under_a_handbook_keeps_it() -> None:
    changed = 0
    for seed in SEEDS:
        first, asked, said, *_ = handbook_shift(random.Random(seed))
        habits = habits_advised(first)
        assert said.content == reply([first, asked], habits)
        changed += said.content != reply([first, asked], ())
    assert changed > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_looked_up_word_is_that_of_the_situation(seed: int) -> None:
    guidance, *messages = talk_text.lookups(random.Random(seed))
    for asked, answer in turns(messages)[::2]:
        situation = talk_text.SITUATIONS[situation_of(asked)]
        assert f"- when {situation}, say '{answer.content.removesuffix('.')}'." in guidance.content


@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_shift_every_reply_has_the_plain_text_and_exactly_the_fitting_advice(seed: int) -> None:
    guidance, *messages = talk_text.shift(random.Random(seed))
    for asked, answer in turns(messages)[::2]:
        situation = situation_of(asked)
        plain = talk_text.REPLIES[situation]
        assert plain in answer.content
        advised = f"when {talk_text.SITUATIONS[situation]}," in guidance.content
        assert advised == (answer.content != plain)


def test_two_customers_of_a_shift_are_served_by_the_same_guidance() -> None:
    bare = changed = 0
    for seed in SEEDS:
        first, *messages = guided_shift(random.Random(seed))
        assert "tools:" not in first.content and messages[-1].role == "assistant"
        starts = [n for n, m in enumerate(messages) if m.role == "user" and n and messages[n - 1].role == "assistant"]
        customers = [n for n in starts if "@" not in messages[n - 1].content and not m_is_answer(messages[n].content)]
        assert len(customers) >= 1
        said = [messages[: n + 1] for n in range(len(messages) - 1) if messages[n + 1].role == "assistant"]
        alone = [reply([first, *part], ()) == messages[len(part)].content for part in said if customers[0] >= len(part)]
        if GUIDANCE in first.content:
            changed += not all(alone)
        else:
            assert all(alone)
            bare += 1
    assert bare and changed > bare


def m_is_answer(text: str) -> bool:
    """Return whether a customer goes on, rather than opens a dialogue: openings give the name."""
    return not re.match(r"(hello there, i am|good day, my name is|it is|this is|\w+ \w+ here)", text)


def test_a_clerk_notes_what_the_letter_above_says() -> None:
    told = 0
    for seed in SEEDS:
        lines = letter_book(random.Random(seed)).split("\n")
        for letter, note in zip(lines[::2], lines[1::2], strict=True):
            numbers = re.findall(r"\d{4}", letter)
            assert (numbers or ["-"])[0] in note and re.findall(r"\d{4}", note) == numbers
            told += bool(numbers)
    assert told > 100


def test_a_register_has_one_heading_for_each_matter_and_says_what_has_time() -> None:
    phrases = {phrase: topic for topic, of_topic in letters.TOPICS.items() for phrase in of_topic}
    headings: dict[str, set[str]] = {}
    for seed in SEEDS:
        for line in register(random.Random(seed)).split("\n"):
            text, _, note = line.rpartition(" / ")
            heading, _, time = note.partition(", ")
            (topic,) = {topic for phrase, topic in phrases.items() if _holds(text, phrase)}
            headings.setdefault(topic, set()).add(heading)
            if time:
                assert (time == "now") == any(
                    haste in text for haste in ("hurry.", "urgent.", "today.", "at once.") if "no hurry" not in text
                )
    assert headings.keys() == letters.TOPICS.keys()
    assert all(len(found) == 1 for found in headings.values()) and len(set.union(*headings.values())) == len(headings)


def _holds(text: str, phrase: str) -> bool:
    return re.search(r"\w+".join(map(re.escape, phrase.split("{thing}"))), text) is not None


def test_each_of_many_comparisons_names_a_difference_that_is_there() -> None:
    named = 0
    for seed in SEEDS:
        _, *messages = comparisons(random.Random(seed))
        for asked, answer in turns(messages)[::2]:
            mine, theirs = re.findall(r"^(?:mine|theirs): (.*)$", asked, re.MULTILINE)
            assert (mine == theirs) == (answer.content == SAME)
            named += answer.content in {habit.advice for habit in HABITS.values()}
            assert answer.content == SAME or answer.content in {habit.advice for habit in HABITS.values()}
    assert named > len(SEEDS)
