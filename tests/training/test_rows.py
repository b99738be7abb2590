import json

import pytest

from fulcrum.chat.message import Message, Tool, ToolCall, system, user
from fulcrum.errors import TrainingError
from fulcrum.training.rows import ChatRow, PreferenceRow, PromptRow, read_rows, write_rows

PROMPT = (
    system("be kind"),
    user("wo ist mein Paket?\u2028"),
    Message("assistant", "", (ToolCall("1", "find", '{"id": 3}'),)),
    Message("tool", "in Köln", tool_call_id="1"),
)


@pytest.mark.parametrize(
    "row",
    [
        ChatRow(PROMPT, "in Köln\nmorgen"),
        ChatRow(PROMPT, "", (Tool("find", "finds a parcel", {"type": "object"}),)),
        PreferenceRow(PROMPT, "in Köln", ""),
        PromptRow(PROMPT),
    ],
)
def test_rows_come_back_from_disk_as_they_went(tmp_path, row):
    write_rows(tmp_path / "rows.jsonl", [row, row])
    assert read_rows(tmp_path / "rows.jsonl", type(row)) == [row, row]


def test_rows_on_disk_are_in_the_form_that_trl_reads(tmp_path):
    from trl.data_utils import is_conversational

    for row in (ChatRow(PROMPT, "a"), PreferenceRow(PROMPT, "a", "b"), PromptRow(PROMPT)):
        assert is_conversational(json.loads(json.dumps(row.to_json())))


def test_a_broken_row_is_named_by_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [ChatRow(PROMPT, "a")])
    path.write_text(path.read_text() + '{"prompt": []}\n')
    with pytest.raises(TrainingError, match=r"rows.jsonl:2: not a ChatRow as JSON: KeyError\('completion'\)"):
        read_rows(path, ChatRow)
    with pytest.raises(TrainingError, match="cannot read the training rows"):
        read_rows(tmp_path / "none.jsonl", ChatRow)
