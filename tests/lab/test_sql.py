import itertools
import random
import re
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.errors import SettingsError, TaskError
from fulcrum.lab.corpus import random_query
from fulcrum.lab.notes import FORMS, header, write_note
from fulcrum.lab.pages import diary
from fulcrum.lab.shop import Shop
from fulcrum.lab.skills import is_valid
from fulcrum.lab.sql import SIZES
from fulcrum.lab.worlds import random_schema
from fulcrum.task import SPLITS
from fulcrum.task.load import load_task

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield load_task("lab:sql?seed=7")


def pairs(task, split):
    return {
        pair
        for example in task.examples(split)
        for pair in itertools.combinations(sorted(example.metadata["terms"]), 2)
    }


def test_splits_have_their_sizes_and_a_quarter_needs_no_jargon(task):
    for split in SPLITS:
        examples = task.examples(split)
        assert len(examples) == SIZES[split]
        plain = sum(not example.metadata["jargon"] for example in examples) / len(examples)
        assert 0.2 <= plain <= 0.3


def test_gold_answers_are_right(task):
    for split in SPLITS:
        for example in task.examples(split):
            assert task.scorer.score(example, task.scorer.gold(example)).solved


def test_test_pairs_terms_as_training_never_does_and_training_shows_every_term(task):
    assert pairs(task, "test")
    assert not pairs(task, "test") & (pairs(task, "train") | pairs(task, "dev"))
    known = {term for example in task.examples("train") for term in example.metadata["terms"]}
    assert known == {term.phrase for term in Shop(7).terms}


def test_a_prompt_shows_the_terms_of_its_question_and_no_meaning_of_any(task):
    for example in task.examples("train")[:60]:
        prompt = task.question(example).messages[-1].content
        assert example.metadata["terms"] == [t.phrase for t in Shop(7).terms if t.phrase in prompt] or set(
            example.metadata["terms"]
        ) == {t.phrase for t in Shop(7).terms if t.phrase in prompt}
        assert not any(term.meaning.sql() in prompt for term in Shop(7).terms)


def test_a_wrong_reading_of_a_house_word_is_mostly_scored_wrong(task):
    by_phrase = {term.phrase: term for term in Shop(7).terms}
    right = total = 0
    rng = random.Random(0)
    for example in task.examples("test")[:200]:
        for phrase in example.metadata["terms"]:
            term = by_phrase[phrase]
            others = [meaning for meaning in Shop(7).schema.meanings(term.kind) if meaning != term.meaning]
            misread = example.target.replace(term.meaning.sql(), rng.choice(others).sql())
            total += 1
            right += task.scorer.score(example, misread).solved
    assert total > 100
    assert right / total < 0.1


@given(st.integers(0, 10**6), st.integers(0, 2))
def test_questions_about_random_worlds_are_sql_that_runs(seed, terms):
    rng = random.Random(seed)
    schema = random_schema(rng)
    query, meanings = random_query(rng, schema, terms)
    assert set(query.terms) == set(meanings)
    connection = sqlite3.connect(":memory:")
    for table in schema.tables:
        keys = [thing.key for thing in schema.things] if table == schema.events else []
        columns = ", ".join(f'"{name}"' for name in ("id", *keys, *(column.name for column in table.columns)))
        connection.execute(f'create table "{table.name}" ({columns})')
    connection.execute(query.sql(schema))
    connection.close()


@given(st.integers(0, 10**6), st.sampled_from(FORMS))
def test_notes_have_the_shape_of_their_form_and_state_what_they_are_told(seed, form):
    rng = random.Random(seed)
    schema = random_schema(rng)
    query, meanings = random_query(rng, schema, 2)
    note = write_note(rng, form, schema, query, meanings)
    assert is_valid(form, f"{header(form)}\n{note}")
    stated = [meaning.plain() if form == "rephrase" else meaning.sql() for meaning in meanings.values()]
    assert all(meaning in note for meaning in stated)
    assert not any(is_valid(other, f"{header(form)}\n{note}") for other in FORMS if other != form)


def test_unknown_tasks_and_seeds_are_refused():
    with pytest.raises(TaskError, match="did you mean 'sql'"):
        load_task("lab:sqll")
    with pytest.raises(SettingsError, match="seed"):
        load_task("lab:sql?seed=1000")


def test_what_comes_back_in_a_diary_is_what_stood_there_before() -> None:
    for seed in range(100):
        (page,) = diary(random.Random(seed))
        lines = page.content.split("\n")
        orders = [re.findall(r"order (\d+)", line)[0] for line in lines]
        boxes = {(order, *re.findall(r"box (\w\d\d)", line)) for order, line in zip(orders, lines, strict=True)}
        known = [pair for pair in boxes if len(pair) == 2]
        assert len(set(orders)) < len(orders) and len(known) == len(set(orders))
