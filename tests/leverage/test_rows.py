"""Where rows come from and what is refused: leaks, rows that do not fit, anchors that eat the context."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.chat import Tool, user
from fulcrum.errors import SettingsError, TaskError, TrainingError
from fulcrum.leverage.anchor import Anchor
from fulcrum.leverage.general import load_general, task_rows
from fulcrum.leverage.tokens import TokenCounter
from fulcrum.task import PromptTemplate
from fulcrum.task.leakage import find_leakage, task_leakage
from fulcrum.task.load import load_task
from fulcrum.training.rows import ChatRow
from leverage.world import write_world
from support.tiny import TEMPLATE, shared_model, tiny_model, tiny_tokenizer


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_world(tmp_path)
    monkeypatch.chdir(tmp_path)
    return load_task("task.toml")


def add(path: Path, *rows: dict[str, object]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_the_cut_into_training_and_held_out_is_the_same_for_any_order(task, tmp_path: Path) -> None:
    rows = load_general("general.jsonl", task, 6)
    assert len(rows.held_out) == 6 and len(rows.rows) == 34
    assert not set(rows.held_out) & set(rows.rows)
    lines = (tmp_path / "general.jsonl").read_text().splitlines()
    (tmp_path / "turned.jsonl").write_text("\n".join([*reversed(lines), lines[0]]) + "\n")
    assert load_general("turned.jsonl", task, 6) == rows


def test_rows_that_hold_test_inputs_are_refused_or_dropped(task, tmp_path: Path) -> None:
    leaked = task.examples("test")[0].fields["text"]
    seen = task.examples("train")[0].fields["text"]
    row = {"messages": [{"role": "user", "content": f"who writes? {leaked.upper()}!"}]}
    row["messages"].append({"role": "assistant", "content": "somebody"})
    add(tmp_path / "general.jsonl", row, {"prompt": seen, "completion": "of the train split, which is no leak"})
    with pytest.raises(SettingsError, match="1 of 42 general rows hold dev or test inputs of parcels") as refused:
        load_general("general.jsonl", task, 6)
    assert leaked[:20] in str(refused.value) and "\n" not in str(refused.value)
    rows = load_general("general.jsonl", task, 6, "drop")
    assert rows.dropped == 1 and len(rows.rows) == 35


def test_what_a_template_says_of_every_input_is_no_leak(task) -> None:
    task = replace(task, template=PromptTemplate("answer in one word, and think of the desk: {text}"))
    assert task_leakage(task, [((user("answer in one word, and think of the desk: what?"),), "late")]).clean
    whole = task.examples("dev")[3].fields["text"]
    assert task_leakage(task, [((user(whole),), "x")]).rows == {0}
    assert task_leakage(task, [((user(whole),), "x")], ("test",)).clean


@pytest.mark.parametrize(
    ("shown", "said", "leaks"),
    [
        ("good morning", "Good morning!", True),
        ("good morning", "Translate to German:\ngood morning", True),
        ("good morning", "she said good morning to him", False),
        ("我想退掉昨天买的鞋子", "请把下面的句子翻译成英文:我想退掉昨天买的鞋子", True),
        ("我想退掉昨天买的鞋子", "请把下面的句子翻译成英文:我想退掉昨天买的帽子和手套", False),
    ],
)
def test_a_short_input_is_found_on_a_line_of_its_own_and_scripts_without_spaces_anywhere(
    shown: str, said: str, leaks: bool
) -> None:
    assert bool(find_leakage([((user(said),), "x")], [shown]).rows) == leaks


def test_a_column_that_no_prompt_shows_hides_no_leak(task, tmp_path: Path) -> None:
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("")
    add(tmp_path / "rows.jsonl", *({"id": f"x{place}", **json.loads(line)} for place, line in enumerate(lines)))
    marked = load_task("task.toml")
    assert [example.id for example in marked.examples("test")] == [example.id for example in task.examples("test")]
    toml = (tmp_path / "task.toml").read_text()
    (tmp_path / "task.toml").write_text(toml.replace("target =", 'fields = ["id", "text"]\ntarget ='))
    whole = task.examples("test")[0].fields["text"]
    for said in (marked, load_task("task.toml")):
        assert task_leakage(said, [((user(whole),), "x")], ("train", "dev", "test")).rows == {0}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "general.jsonl:41: not JSON"),
        ("7", "general.jsonl:41: a row is an object"),
        ('{"prompt": "a"}', r"general.jsonl:41: no row \(completion is missing\)"),
        ('{"prompt": 5, "completion": "a"}', r"general.jsonl:41: no row \(messages are a list \[...\], not int\)"),
        ('{"prompt": "a", "completion": ""}', "it must end with what an assistant says"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "it must end with what an assistant says"),
        (
            '{"messages": [{"role": "human", "content": "a"}, {"role": "assistant", "content": "b"}]}',
            r"general.jsonl:41: no row \(role 'human' is none of system, user",
        ),
    ],
)
def test_lines_that_are_no_rows_are_named(task, tmp_path: Path, line: str, said: str) -> None:
    with (tmp_path / "general.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(SettingsError, match=said):
        load_general("general.jsonl", task, 6)


def test_a_general_file_is_read_as_any_data_file_is(task, tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "copy this"}, {"type": "text", "text": "line\u2028end"}]
    asked = {"role": "user", "content": parts}
    row = {"messages": [asked, {"role": "assistant", "content": "line\x85end\x0c"}]}
    lines = (tmp_path / "general.jsonl").read_text()
    line = json.dumps(row, ensure_ascii=False)
    (tmp_path / "general.jsonl").write_text("\ufeff" + lines + line + "\n", encoding="utf-8")
    rows = load_general("general.jsonl", task, 6)
    assert ChatRow((user("copy this\nline\u2028end"),), "line\x85end\x0c") in (*rows.rows, *rows.held_out)


def test_a_set_that_is_not_there_or_too_small_is_refused(task) -> None:
    with pytest.raises(SettingsError, match="did you mean 'lab:general'"):
        load_general("lab:generl", task, 6)
    with pytest.raises(SettingsError, match="has 40 rows, and held_out wants 40"):
        load_general("general.jsonl", task, 40)


def test_fewer_task_rows_are_part_of_more_and_seeds_differ(task) -> None:
    for order in ("shuffled", "given"):
        full = task_rows(task, None, 1, order)
        assert task_rows(task, 3, 1, order) == full[:3]
        assert sorted(row.prompt[0].content for row in full) == sorted(
            task.question(example).messages[0].content for example in task.examples("train")
        )
        assert task_rows(task, 3, 0, order) != full[:3]
    given = [task.question(example).messages for example in task.examples("train")]
    assert [row.prompt for row in task_rows(task, None, 0, "given")] == given
    with pytest.raises(TaskError, match="999 task rows asked for"):
        task_rows(task, 999, 0, "given")


def test_a_row_holds_the_tools_that_its_question_offers(task) -> None:
    tools = (Tool("find", "finds a parcel", {"type": "object"}),)
    rows = task_rows(replace(task, tools=tools), 3, 0, "given")
    assert all(one.tools == Anchor("parcel desk:").row(one).tools == tools for one in rows)
    assert len(set(rows)) == 3  # the tools do not keep a row from being counted


def row(words: int) -> ChatRow:
    return ChatRow((user("parcel " * words),), "late")


def test_rows_longer_than_the_context_are_refused_by_number() -> None:
    counter = TokenCounter(str(shared_model()))
    assert counter.context == 256
    counter.check("general", [row(3), row(9)])
    with pytest.raises(SettingsError, match=r"1 of 2 general rows are longer than the 256 tokens .*row 2 has"):
        counter.check("general", [row(3), row(300)])


def test_an_anchor_that_eats_the_context_is_refused() -> None:
    counter = TokenCounter(str(shared_model()))
    anchor = Anchor("zq " * 120)
    with pytest.raises(SettingsError, match=r"the anchor 'zq .*' takes \d+ of the 256 tokens .*shorten it"):
        counter.check("task", [row(3)], anchor)


def test_the_stop_token_bears_loss(tmp_path: Path) -> None:
    counter = TokenCounter(str(shared_model()))
    short, longer = counter.sizes([ChatRow((user("parcel"),), "late"), ChatRow((user("parcel"),), "late late")])
    assert short.loss == counter.text("late") + 1
    assert longer.read - short.read == longer.loss - short.loss
    assert counter.parameters > 10_000


def test_a_template_that_hides_the_answer_is_refused(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    unmarked = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    tiny_tokenizer(model, unmarked)  # with thinking off, the prompt is rendered otherwise once an answer follows
    with pytest.raises(TrainingError, match=r"mark them in the template with {% generation %}"):
        TokenCounter(str(model)).sizes([row(2)])
