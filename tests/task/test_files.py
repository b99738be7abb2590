import csv
import json

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fulcrum.chat import ToolCall, user
from fulcrum.errors import TaskError
from fulcrum.task.files import Row, made_of, read_messages, read_rows, write_rows

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


@settings(max_examples=25)
@given(rows=st.lists(st.dictionaries(st.text(st.characters()), values), min_size=1, max_size=5))
def test_what_is_written_reads_back_the_same(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write_rows(path, rows)
    read = read_rows(path)
    assert [row.values for row in read] == rows
    assert [row.source for row in read] == [f"{path}:{number}" for number in range(1, len(rows) + 1)]


def test_a_lone_surrogate_reads_back_and_letters_stay_readable(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [{"text": "þýða \ud800 \U0001f600"}])
    assert "þýða" in path.read_text(encoding="utf-8")
    assert read_rows(path)[0].values == {"text": "þýða \ud800 \U0001f600"}


def test_line_separators_inside_a_text_do_not_end_a_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [{"text": "a\u2028b\x85c\x0bd\x1ce"}, {"text": "second"}])
    assert [row.values["text"] for row in read_rows(path)] == ["a\u2028b\x85c\x0bd\x1ce", "second"]


def test_csv_rows_know_the_line_they_begin_on(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('\ufefftext,label\n"two\nlines",a\n\nplain,b\n', encoding="utf-8")
    rows = read_rows(path)
    assert [(dict(row.values), row.source) for row in rows] == [
        ({"text": "two\nlines", "label": "a"}, f"{path}:2"),
        ({"text": "plain", "label": "b"}, f"{path}:5"),
    ]


def test_a_csv_cell_may_be_long_and_the_limit_of_others_stays(tmp_path):
    before = csv.field_size_limit()
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\n{'x' * 2 * before},a\n")
    assert [len(row.values["text"]) for row in read_rows(path)] == [2 * before]
    path.write_text(f'text,label\n"{"x" * 2 * before}\n')
    with pytest.raises(TaskError, match=r"rows\.csv:2: not CSV in UTF-8: unexpected end of data"):
        read_rows(path)
    assert csv.field_size_limit() == before


def test_parquet_rows_read_like_any_other(tmp_path):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "tags": [["x"], []]}), path)
    assert [dict(row.values) for row in read_rows(path)] == [{"text": "a", "tags": ["x"]}, {"text": "b", "tags": []}]


def test_parquet_values_without_a_json_form_name_their_column(tmp_path):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"raw": [b"bytes"]}), path)
    with pytest.raises(TaskError, match=r"rows\.parquet:1: column 'raw' has no form in JSON"):
        read_rows(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"x": 1}\n\n{"x": \n', r"a\.jsonl:3: not JSON: .* \(column"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1: a row is an object {...}, not list"),
        ("a.jsonl", '{"x": NaN}\n', r"a\.jsonl:1: .*NaN is not JSON"),
        ("a.jsonl", "[" * 100_000 + "\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", '{"x": ' + "9" * 5000 + "}\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", b'{"x": "\xff"}\n', r"a\.jsonl:1: not JSON"),
        ("a.jsonl", "\n \n", r"a\.jsonl: holds no rows"),
        ("a.csv", "", r"a\.csv: holds no rows"),
        ("a.csv", "x,y\n1\n", r"a\.csv:2: 1 cells, but the header names 2 columns"),
        ("a.csv", "x,x\n1,2\n", r"a\.csv:1: column names are blank or stand twice: x, x"),
        ("a.csv", 'x\n"open\n', r"a\.csv:\d: not CSV"),
        ("a.csv", b"x\n\xff\n", r"a\.csv:\d: not CSV in UTF-8"),
        ("a.parquet", "no", r"a\.parquet: not a Parquet file"),
        ("a.xlsx", "no", r"a\.xlsx: cannot read \.xlsx; use \.jsonl, \.csv, \.parquet"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TaskError, match=message) as error:
        read_rows(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["a\nb", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]])
def test_the_parts_of_a_content_are_joined(content):
    assert read_messages([{"role": "user", "content": content}]) == (user("a\nb"),)


def test_a_message_that_calls_a_tool_has_no_content():
    call = ToolCall("1", "refund", "{}")
    said = {"role": "assistant", "content": None, "tool_calls": [call.to_json()]}
    answered = {"role": "tool", "tool_call_id": "1", "content": "done"}
    called, done = read_messages([said, answered])
    assert (called.content, called.tool_calls, done.tool_call_id) == ("", (call,), "1")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "messages are a list"),
        (["hello"], "a message is an object"),
        ([{"content": "hello"}], "role None is none of system, user, assistant, tool"),
        ([{"role": ["user"], "content": "hello"}], "role .* is none of"),
        ([{"role": "user", "content": 5}], "content is a text or a list of text parts, not int"),
        ([{"role": "user", "content": ["hello"]}], "a part of a content is .* not 'hello'"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "a part of a content is .*image_url"),
        ([{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}], "a tool call is not as .*'function'"),
    ],
)
def test_what_is_no_conversation_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        read_messages(data)


def test_a_missing_file_names_the_nearest_one(tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps({"x": 1}))
    with pytest.raises(TaskError, match=r"trian\.jsonl: no such file; did you mean 'train\.jsonl'\?"):
        read_rows(tmp_path / "trian.jsonl")
    (tmp_path / "data").mkdir()
    with pytest.raises(TaskError, match=r"there is no folder .*/dta; did you mean 'data'\?"):
        read_rows(tmp_path / "dta" / "deep" / "rows.jsonl")


@given(content=st.binary(max_size=200), suffix=st.sampled_from([".jsonl", ".csv", ".parquet"]))
def test_any_bytes_give_rows_or_a_task_error(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("fuzz") / f"rows{suffix}"
    path.write_bytes(content)
    try:
        rows = read_rows(path)
    except TaskError:
        return
    assert rows


def test_ten_reasons_are_told_and_the_others_counted():
    def refuse(row):
        raise TaskError(f"{row.source}: {row.values['why']}")

    rows = [Row({"why": f"reason {number}"}, f"rows.jsonl:{number}") for number in range(1, 13)]
    with pytest.raises(TaskError) as caught:
        made_of(rows, refuse)
    lines = str(caught.value).splitlines()
    assert lines[0] == "rows.jsonl:1: reason 1"
    assert lines[9:] == ["rows.jsonl:10: reason 10", "reasons left out here: 2"]
