import sqlite3
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.sandbox import QueryError, Sandbox
from fulcrum.task.scorers import SqlRowsScorer
from fulcrum.task.scorers.sql_rows import extract_sql, has_outer_order

FOREVER = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "the shop?.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE orders (id INTEGER, city TEXT, price REAL);
        INSERT INTO orders VALUES (1, 'rome', 10.1), (2, 'rome', 0.2), (3, 'oslo', 5), (4, NULL, 5);
        """
    )
    connection.close()
    return path


@pytest.fixture(scope="module")
def scorer(database):
    return SqlRowsScorer(database=database, timeout=0.3, row_limit=50)


def example(target):
    return Example({"question": "x"}, target, source="train.jsonl:3")


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("SELECT id FROM orders", "select id from orders order by id desc", "right"),
        ("SELECT id FROM orders ORDER BY id", "SELECT id FROM orders ORDER BY id DESC", "wrong"),
        ("SELECT id FROM orders ORDER BY id", "SELECT id FROM orders ORDER BY price * 0, id;", "right"),
        ("SELECT city FROM orders", "SELECT DISTINCT city FROM orders", "wrong"),
        ("SELECT DISTINCT city FROM orders", "SELECT city FROM orders", "wrong"),
        (
            "SELECT city FROM orders WHERE id IN (1, 3) UNION ALL SELECT 'oslo'",
            "SELECT 'rome' UNION ALL SELECT 'rome' UNION ALL SELECT 'oslo'",
            "wrong",
        ),
        ("SELECT id, city FROM orders", "SELECT city, id FROM orders", "wrong"),
        ("SELECT id FROM orders", "SELECT id, city FROM orders", "wrong"),
        ("SELECT 10.3", "SELECT sum(price) FROM orders WHERE city = 'rome'", "right"),
        ("SELECT 2", "SELECT 2.0", "right"),
        ("SELECT 2", "SELECT '2'", "wrong"),
        ("SELECT 1000000", "SELECT 1000001", "wrong"),
        ("SELECT 9e999", "SELECT 5", "wrong"),
        ("SELECT 9e999", "SELECT 9e999", "right"),
        ("SELECT NULL", "SELECT 0", "wrong"),
        ("SELECT id FROM orders WHERE 0", "SELECT city, id FROM orders WHERE 1 = 2", "right"),
        # rows that differ in the last digit of their first number still meet their partner
        ("VALUES (0.3, 1), (0.30000000000000004, 2)", "VALUES (0.30000000000000004, 1), (0.3, 2)", "right"),
        # rows that hold the same values in other columns
        ("VALUES (NULL, 1), (1, NULL), ('a', 1)", "VALUES ('a', 1), (1, NULL), (NULL, 1)", "right"),
        ("VALUES (NULL, 1), (NULL, 1)", "VALUES (NULL, 1), (1, NULL)", "wrong"),
        ("SELECT 1", "SELEC 1", "unparsable"),
        ("SELECT 1", "SELECT nothing FROM orders", "wrong"),
        ("SELECT 1", "I do not know", "unparsable"),
        ("SELECT 1", "SELECT ?", "wrong"),
    ],
)
def test_rows_decide(scorer, gold, answer, verdict):
    assert scorer.score(example(gold), answer).verdict == verdict


@pytest.mark.parametrize(
    ("attack", "feedback"),
    [
        ("DELETE FROM orders", "only reading is allowed"),
        ("UPDATE orders SET id = 9", "only reading is allowed"),
        ("INSERT INTO orders VALUES (9, 'x', 1)", "only reading is allowed"),
        ("DROP TABLE orders", "only reading is allowed"),
        ("CREATE TEMP TABLE t (x)", "only reading is allowed"),
        ("ATTACH DATABASE 'other.sqlite' AS other", "only reading is allowed"),
        ("VACUUM INTO 'copy.sqlite'", "only reading is allowed"),
        ("PRAGMA query_only = OFF", "only reading is allowed"),
        ("SELECT load_extension('x')", "only reading is allowed"),
        ("SELECT * FROM pragma_table_info('orders')", "only reading is allowed"),
        ("SELECT 1; DROP TABLE orders", "more than one statement"),
        (f"{FOREVER} count(*) FROM n", "longer than 0.3 s"),
        (f"{FOREVER} x FROM n", "more than 50 rows"),
        (f"{FOREVER} x FROM n ORDER BY x", "longer than 0.3 s"),
        (f"{FOREVER} zeroblob(900000) FROM n", "larger than 32 MB"),
        ("SELECT zeroblob(1000000000)", "too big"),
        (f"SELECT like('%{'a%' * 2000}b', '{'a' * 5000}')", "LIKE or GLOB pattern too complex"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, ""),
        ("SELECT '\0'", ""),
    ],
)
def test_an_attack_ends_as_a_wrong_answer_soon(scorer, database, tmp_path, monkeypatch, attack, feedback):
    monkeypatch.chdir(tmp_path)
    before = database.read_bytes()
    began = time.thread_time()
    score = scorer.score(example("SELECT id FROM orders"), f"```sql\n{attack}\n```")
    assert time.thread_time() - began < 3
    assert score.verdict == "wrong"
    assert feedback in score.feedback
    assert database.read_bytes() == before
    assert list(tmp_path.iterdir()) == []
    assert [file.name for file in database.parent.iterdir()] == [database.name]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("SQL: select 1", "select 1"),
        ("The query you want is: SELECT 1;\nIt gives one.", "SELECT 1"),
        ("Sure!\n```sql\nSELECT 1;\n```\nThat is it.", "SELECT 1"),
        ("```sql\nSELECT 1\n```\nbetter:\n```\nSELECT 2\n```", "SELECT 2"),
        ("```sqlite\nSELECT 1", "SELECT 1"),
        ("```SQLite\nSELECT 1\n```\nThat is it.", "SELECT 1"),
        ("```sql\n-- one\nSELECT 1\n```\nIt returns:\n```\n1\n```\n", "-- one\nSELECT 1"),
        ("```sql\nSELECT 1\n```\nIt returns:\n```text\n1\n```\n", "SELECT 1"),
        ("```sql\nSELEC 1\n```", "SELEC 1"),
        (
            "Select-free prose\n\nWITH t AS (SELECT 1) SELECT * FROM t\n\nIt counts.",
            "WITH t AS (SELECT 1) SELECT * FROM t",
        ),
        ("With care I write:\nSELECT 1", "SELECT 1"),
        ("SELECT ';' AS x; and so on", "SELECT ';' AS x"),
        ("SELECT 1; DELETE FROM t", "SELECT 1; DELETE FROM t"),
        ("no query", None),
        ("", None),
        (";", None),
        ("```\n```", None),
    ],
)
def test_the_query_in_a_text(text, query):
    assert extract_sql(text) == query


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order\n by a", True),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY 1", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False),
        ("WITH x AS (SELECT a FROM t ORDER BY a) SELECT * FROM x", False),
        ("SELECT rank() OVER (ORDER BY a) FROM t", False),
        ("SELECT 'it''s (' || \"order by\" FROM t -- ORDER BY a", False),
        ("SELECT ')' FROM (SELECT 1 /* ( ORDER BY */) ORDER BY 1", True),
    ],
)
def test_only_the_outer_order_counts(query, ordered):
    assert has_outer_order(query) is ordered


@given(
    rows=st.lists(
        st.tuples(st.integers(-9, 9), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
        min_size=1,
        max_size=8,
    )
)
def test_gold_scores_one_and_votes_for_itself_in_any_order(scorer, rows):
    def literal(row):
        return f"({row[0]}, '{row[1].replace(chr(39), chr(39) * 2)}')"

    gold = f"VALUES {', '.join(map(literal, rows))}"
    turned = f"VALUES {', '.join(map(literal, reversed(rows)))}"
    item = example(gold)
    assert scorer.score(item, scorer.gold(item)).value == 1.0
    assert scorer.answer_key(scorer.gold(item)) == scorer.answer_key(f"```sql\n{turned}\n```") is not None


def test_votes_count_rows_not_words(scorer):
    key = scorer.answer_key
    assert key("VALUES (NULL, 1), (1, NULL)") == key("VALUES (1, NULL), (NULL, 1)")
    assert key("SELECT count(*) FROM orders") == key("SELECT 4.0") != key("SELECT 5")
    assert key("SELECT x FROM nowhere") is None
    assert key("no idea") is None


@given(text=st.text() | st.text("SELECT wihas()';\"-*`\n0x\0\ud800"))
def test_any_text_is_scored(scorer, text):
    assert scorer.score(example("SELECT 1"), text).value is not None
    assert scorer.score(example("SELECT 1"), f"```sql\n{text}\n```").value is not None


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ("SELECT nowhere FROM orders", "the target query fails .*no such column"),
        ("DELETE FROM orders", "the target query fails .*only reading"),
        (f"{FOREVER} x FROM n", "more than 50 rows"),
        (None, "the scorer needs a query"),
        (" ", "the scorer needs a query"),
    ],
)
def test_a_target_that_fails_is_a_fault_of_the_data(scorer, gold, message):
    with pytest.raises(TaskError, match=rf"^train\.jsonl:3: .*{message}"):
        scorer.score(example(gold), "SELECT 1")


def test_a_database_that_cannot_be_read_is_no_wrong_answer(tmp_path):
    path = tmp_path / "shop.sqlite"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(TaskError, match=r"shop\.sqlite: cannot be read"):
        SqlRowsScorer(database=path).score(example("SELECT 1 FROM t"), "SELECT 1")


def test_a_database_locked_by_a_writer_is_no_wrong_answer(database, tmp_path):
    path = tmp_path / "busy.sqlite"
    path.write_bytes(database.read_bytes())
    writer = sqlite3.connect(path)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TaskError, match="database is locked"):
        Sandbox(path, 0.05, 10).rows("SELECT id FROM orders")
    writer.close()


def test_the_fingerprint_follows_the_database_not_its_place(database, tmp_path):
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(database.read_bytes())
    first = SqlRowsScorer(database=copy).fingerprint()
    assert first == SqlRowsScorer(database=database).fingerprint()
    connection = sqlite3.connect(copy)
    connection.execute("INSERT INTO orders VALUES (9, 'x', 1)")
    connection.commit()
    connection.close()
    assert SqlRowsScorer(database=copy).fingerprint() != first


def test_a_missing_database_is_named(tmp_path):
    (tmp_path / "shop.sqlite").touch()
    with pytest.raises(TaskError, match=r"shp\.sqlite: no such file; did you mean 'shop\.sqlite'"):
        SqlRowsScorer(database="shp.sqlite").located(tmp_path)


def test_an_empty_query_is_an_error_of_the_query(database):
    with pytest.raises(QueryError, match="no statement"):
        Sandbox(database, 1, 10).rows("-- nothing")
