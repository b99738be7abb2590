import itertools
import sqlite3

import pytest

from fulcrum.errors import TaskError
from fulcrum.lab import words
from fulcrum.lab.shop import TERMS_OF_KIND, Shop
from fulcrum.lab.world import MEASURE_KIND


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def dump(connection):
    return list(connection.iterdump())


def test_the_same_seed_gives_the_same_shop_and_another_seed_another():
    one, same, other = Shop(3), Shop(3), Shop(4)
    assert (one.schema, one.terms, one.queue_codes, one.practice) == (
        same.schema,
        same.terms,
        same.queue_codes,
        same.practice,
    )
    assert one.terms != other.terms
    assert one.queue_codes != other.queue_codes
    assert one.practice != other.practice
    with one.connect() as first, other.connect() as second:
        assert dump(first) != dump(second)


def test_the_cached_file_has_what_fill_writes_and_is_read_only():
    shop = Shop(5)
    memory = sqlite3.connect(":memory:")
    shop.fill(memory)
    with shop.connect() as connection:
        assert dump(connection) == dump(memory)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("delete from orders")
    memory.close()


def test_every_kind_has_its_terms_with_different_meanings_to_guess_among():
    shop = Shop(0)
    assert len({term.phrase for term in shop.terms}) == len(shop.terms) == 30
    for kind, count in TERMS_OF_KIND.items():
        meanings = [term.meaning for term in shop.terms if term.kind == kind]
        assert len(set(meanings)) == count
        assert set(meanings) <= set(shop.schema.meanings(kind))
        assert 4 <= len(shop.schema.meanings(kind)) <= 8


def test_every_meaning_is_sql_that_selects_some_rows_and_not_all():
    shop = Shop(1)
    with shop.connect() as connection:
        for kind in shop.schema.kinds:
            if kind == MEASURE_KIND:
                continue
            table = shop.schema.table_of(kind).name
            (rows,) = connection.execute(f"select count(*) from {table}").fetchone()
            for condition in shop.schema.meanings(kind):
                (some,) = connection.execute(f"select count(*) from {table} where {condition.sql()}").fetchone()
                assert 0 < some < rows


def test_shop_jargon_shares_no_word_with_the_training_worlds():
    shop_words = set(words.SHOP_ADJECTIVES.split()) | set(words.SHOP_NOUNS.split())
    world_words = set(words.WORLD_ADJECTIVES.split()) | set(words.WORLD_NOUNS.split())
    values = set(itertools.chain.from_iterable(values.split() for _, values in words.CATEGORIES.values()))
    assert not shop_words & (world_words | values)


@pytest.mark.parametrize("seed", [-1, 1000])
def test_a_seed_of_the_training_worlds_is_refused(seed):
    with pytest.raises(TaskError, match="from 0 to 999"):
        Shop(seed)
