import json
import sys

import pytest

from fulcrum.errors import SettingsError, TaskError
from fulcrum.task import SPLITS, Task
from fulcrum.task.files import write_rows
from fulcrum.task.load import LOADERS, load_task
from fulcrum.task.scorers import ChoiceScorer, SqlRowsScorer

TOML = """\
name = "tickets"
data = "tickets.jsonl"
target = "queue"
fields = ["text"]
max_tokens = 16

[prompt]
user = "{text}"
system = "Name the queue."

[scorer]
kind = "choice"
labels = ["billing", "returns"]
"""


@pytest.fixture
def folder(tmp_path):
    rows = [
        {"text": f"ticket {number}", "queue": ("billing", "returns")[number % 2], "slice": number}
        for number in range(60)
    ]
    write_rows(tmp_path / "tickets.jsonl", rows)
    return tmp_path


def load(folder, toml, options=""):
    (folder / "task.toml").write_text(toml)
    return load_task(f"{folder / 'task.toml'}{options}")


def sizes(task):
    return {split: len(task.splits.get(split, ())) for split in SPLITS}


def test_a_task_file_names_everything(folder):
    task = load(folder, TOML)
    assert (task.name, task.max_tokens, sum(sizes(task).values())) == ("tickets", 16, 60)
    assert isinstance(task.scorer, ChoiceScorer)
    example = next(example for example in task.examples("train") if example.fields["text"] == "ticket 7")
    assert (dict(example.fields), example.target, dict(example.metadata)) == (
        {"text": "ticket 7"},
        "returns",
        {"slice": 7},
    )
    assert example.source == f"{folder / 'tickets.jsonl'}:8"
    assert [message.content for message in task.question(example).messages] == ["Name the queue.", "ticket 7"]


def test_the_columns_that_the_prompt_shows_are_the_fields_unless_said(folder):
    implicit = TOML.replace('fields = ["text"]\n', "")
    assert load(folder, implicit).splits == load(folder, TOML).splits
    both = load(folder, implicit.replace('"{text}"', '"{text} {slice}"'))
    assert both.examples("train")[0].fields.keys() == {"text", "slice"}
    bare = load(folder, implicit.replace('"{text}"', '"guess"'))
    assert bare.examples("train")[0].fields.keys() == {"text", "slice"}


def test_the_same_question_under_two_ids_is_the_same_input(folder):
    rows = [{"id": number, "text": f"ticket {number // 2}", "queue": "billing"} for number in range(4)]
    write_rows(folder / "tickets.jsonl", rows)
    with pytest.raises(TaskError, match=r"the same input stands twice.*tickets\.jsonl:1\).*tickets\.jsonl:2\)"):
        load(folder, TOML.replace('fields = ["text"]\n', ""))


def test_shares_and_seed_divide_one_file(folder):
    divided = TOML.replace("target =", "shares = { train = 0.5, dev = 0.0, test = 0.5 }\nseed = SEED\ntarget =")
    first, second = (load(folder, divided.replace("SEED", seed)) for seed in "12")
    assert sizes(first)["dev"] == 0
    assert {example.id for example in first.examples("test")} != {example.id for example in second.examples("test")}


def test_a_table_names_one_file_for_each_split(folder):
    write_rows(folder / "more.jsonl", [{"text": "another", "queue": "billing"}])
    files = TOML.replace('data = "tickets.jsonl"\n', "") + '[data]\ntrain = "tickets.jsonl"\ntest = "more.jsonl"\n'
    task = load(folder, files)
    assert sizes(task) == {"train": 60, "dev": 0, "test": 1}


def test_sizes_are_drawn_nested(folder):
    small, large = (load(folder, TOML, f"?train={count}&seed=5") for count in (5, 20))
    assert len(small.examples("train")) == 5
    assert {example.id for example in small.examples("train")} < {example.id for example in large.examples("train")}
    assert small.splits["test"] == large.splits["test"]
    with pytest.raises(TaskError, match=r"train: 999 examples wanted, but there are \d+"):
        load(folder, TOML, "?train=999")


def test_a_database_stands_beside_the_task_file(folder, monkeypatch):
    (folder / "shop.sqlite").touch()
    monkeypatch.chdir("/")
    scorer = load(
        folder, TOML[: TOML.index("[scorer]")] + '[scorer]\nkind = "sql_rows"\ndatabase = "shop.sqlite"\n'
    ).scorer
    assert isinstance(scorer, SqlRowsScorer)
    assert scorer.database == folder / "shop.sqlite"


def test_all_problems_of_a_task_file_are_named_at_once_with_their_lines(folder):
    broken = (
        TOML.replace("max_tokens = 16", "max_tokns = 16")
        .replace('user = "{text}"', 'user = "{"')
        .replace('labels = ["billing", "returns"]', 'lables = ["billing"]')
    )
    with pytest.raises(SettingsError) as error:
        load(folder, broken)
    lines = str(error.value).replace(str(folder), "").splitlines()
    assert [line.split(": ")[0] for line in lines] == ["/task.toml:8", "/task.toml:5", "/task.toml:11", "/task.toml:13"]
    assert "write {{ and }}" in lines[0]
    assert "did you mean 'max_tokens'?" in lines[1]
    assert "labels: is missing" in lines[2]
    assert "did you mean 'labels'?" in lines[3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'kind = "choice"',
            'kind = "chioce"',
            r"task\.toml:12: no scorer 'chioce'; did you mean 'choice'\?; there are",
        ),
        ('kind = "choice"', "", r"task\.toml:11: scorer\.kind: is missing"),
        ('target = "queue"\n', "", r"target: is missing; the scorer 'choice' needs"),
        ('data = "tickets.jsonl"', 'data = "ticket.jsonl"', r"ticket\.jsonl: no such file; did you mean 'tickets"),
        (
            'target = "queue"',
            'target = "quue"',
            r"tickets\.jsonl:1: the target is missing: no column 'quue'; did you mean 'queue'\?",
        ),
        ('fields = ["text"]', 'fields = ["txt"]', r"tickets\.jsonl:1: no column 'txt'; did you mean 'text'\?"),
        ('fields = ["text"]', 'fields = ["queue"]', r"'queue' is the target and cannot be one of the fields"),
        (
            'fields = ["text"]\nmax_tokens = 16\n\n[prompt]\nuser = "{text}"',
            '[prompt]\nuser = "{txt}"',
            r"jsonl:1: the prompt shows \{txt\}; the inputs are text, slice; did you mean 'text'\?",
        ),
        ('"{text}"', '"{queue}"', r"tickets\.jsonl:1: the prompt shows \{queue\}; the inputs are text"),
        ('data = "tickets.jsonl"\n', "", r"task\.toml: data: is missing|task\.toml: .*data.* is missing"),
        (
            "fields =",
            "shares = { train = 0.5, dev = 0.1 }\nfields =",
            r"task\.toml:4: shares: train, dev and test add up to 0\.7",
        ),
        ("fields =", "shares = { tran = 0.5 }\nfields =", r"shares\.tran: no such key; did you mean 'train'\?"),
        ("name =", "name", r"task\.toml:1: not TOML"),
    ],
)
def test_a_task_that_cannot_work_says_where_and_why(folder, old, new, message):
    with pytest.raises((SettingsError, TaskError), match=message):
        load(folder, TOML.replace(old, new, 1))


@pytest.mark.parametrize("row", ['{"text": "x"}', '{"text": "x", "queue": null}', '{"text": "x", "queue": ""}'])
def test_a_row_without_its_target_is_named(folder, row):
    with (folder / "tickets.jsonl").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(TaskError, match=r"tickets\.jsonl:61: .*'queue'"):
        load(folder, TOML)


def test_all_rows_that_cannot_work_are_named_at_once(folder):
    rows = ['{"text": "x"}', '{"text": null, "queue": "orders"}', *['{"text": "x", "queue": ""}'] * 13]
    with (folder / "tickets.jsonl").open("a") as file:
        file.write("\n".join(rows) + "\n")
    with pytest.raises(TaskError) as caught:
        load(folder, TOML)
    missing, null, blank = str(caught.value).splitlines()
    assert "tickets.jsonl:61: the target is missing" in missing and "also" not in missing
    assert "tickets.jsonl:62: the prompt shows {text}, which is null here" in null
    assert "tickets.jsonl:63: the target 'queue' is blank" in blank
    assert blank.endswith("(also in 64, 65, 66, 67, 68, 69, 70, 71, 72, 73 and 2 more)")


def test_a_null_that_the_prompt_shows_is_named_and_any_other_is_a_value(folder):
    with (folder / "tickets.jsonl").open("a") as file:
        file.write('{"text": "", "queue": "billing", "slice": null}\n{"text": null, "queue": "billing", "slice": 1}\n')
    task = TOML.replace('["text"]', '["text", "slice"]')
    with pytest.raises(TaskError, match=r"tickets\.jsonl:62: the prompt shows \{text\}, which is null here; write"):
        load(folder, task)
    rows = (folder / "tickets.jsonl").read_text().splitlines()
    (folder / "tickets.jsonl").write_text("\n".join(rows[:-1]))
    examples = [example for split in load(folder, task).splits.values() for example in split]
    assert [example.fields["slice"] for example in examples if not example.fields["text"]] == [None]


def test_a_train_file_of_its_own_may_hold_questions_alone_and_a_test_file_may_not(folder):
    write_rows(
        folder / "questions.jsonl", [{"text": "a"}, {"text": "b", "queue": ""}, {"text": "c", "queue": "billing"}]
    )
    files = TOML.replace('"tickets.jsonl"', '{ train = "questions.jsonl", test = "tickets.jsonl" }')
    assert [example.target for example in load(folder, files).examples("train")] == [None, None, "billing"]
    with pytest.raises(TaskError, match=r"questions\.jsonl:1: .*'queue'"):
        load(folder, files.replace("test =", "dev =").replace("tickets.jsonl", "questions.jsonl"))


def test_duplicate_rows_are_named_with_both_places(folder):
    with (folder / "tickets.jsonl").open("a") as file:
        file.write(json.dumps({"text": "ticket 3", "queue": "billing", "slice": 1}) + "\n")
    with pytest.raises(TaskError, match=r"tickets\.jsonl:4\).*tickets\.jsonl:61"):
        load(folder, TOML)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gsm8", "did you mean 'gsm8k'?"),
        ("bnking77:x", "did you mean 'banking77'?"),
        ("what", "understood are: TASK.toml"),
        ("missing.toml", "missing.toml: no such file"),
        ("gsm8k:nowhere", "nowhere/train.jsonl: no such file: there is no folder nowhere"),
        ("gsm8k:x?trian=3", "gsm8k:x?trian=3: trian: no such key; did you mean 'train'?"),
        ("gsm8k:x?train=-3", "train"),
        ("gsm8k:x?train", "options are written ?key=value"),
        ("python:nothing", "write MODULE:FUNCTION"),
    ],
)
def test_a_spec_that_cannot_work_is_named(spec, message):
    with pytest.raises((SettingsError, TaskError)) as error:
        load_task(spec)
    assert message in str(error.value)


def test_a_task_file_without_its_suffix_is_found_as_the_nearest(folder):
    (folder / "task.toml").write_text(TOML)
    with pytest.raises(TaskError, match=r"did you mean '.*task\.toml'\?"):
        load_task(str(folder / "task"))


def test_a_function_of_the_user_makes_a_task(tmp_path, monkeypatch):
    (tmp_path / "own_tasks.py").write_text(
        "from fulcrum.task import Example, PromptTemplate, Task\n"
        "from fulcrum.task.scorers import ExactScorer\n"
        "def words(count='1'):\n"
        "    items = [Example({'text': str(i)}, str(i)) for i in range(int(count))]\n"
        "    return Task('words', {'test': items}, PromptTemplate('{text}'), ExactScorer())\n"
        "def nothing():\n"
        "    return None\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    task = load_task("python:own_tasks:words?count=3")
    assert isinstance(task, Task)
    assert len(task.examples("test")) == 3
    with pytest.raises(TaskError, match=r"does not take these options: .*'size'"):
        load_task("python:own_tasks:words?size=3")
    with pytest.raises(TaskError, match="returned NoneType"):
        load_task("python:own_tasks:nothing")


def test_every_loader_has_its_form_in_the_message():
    with pytest.raises(TaskError) as error:
        load_task("what")
    assert all(f"{scheme}:" in str(error.value) for scheme in LOADERS)


@pytest.mark.parametrize(
    ("spec", "name", "content", "message"),
    [
        ("gsm8k", "train.jsonl", '{"question": "x", "answer": "5"}', r"train\.jsonl:1: not a row of GSM8K"),
        ("gsm8k", "train.jsonl", '{"question": 3, "answer": "#### 5"}', r"train\.jsonl:1: not a row of GSM8K"),
        ("banking77", "test.csv", "text,label\nhello,a", r"test\.csv:2: not a row of BANKING77"),
        ("banking77", "categories.json", "{", r"categories\.json: not JSON"),
        ("banking77", "categories.json", "[1]", r"categories\.json: not a list of labels"),
    ],
)
def test_a_public_data_set_in_another_format_is_refused(tmp_path, spec, name, content, message):
    for split in ("train", "test"):
        write_rows(tmp_path / f"{split}.jsonl", [{"question": split, "answer": "so\n#### 5"}])
        (tmp_path / f"{split}.csv").write_text(f"text,category\n{split},a\n")
    (tmp_path / "categories.json").write_text('["a", "b"]')
    assert load_task(f"{spec}:{tmp_path}").examples("test")
    (tmp_path / name).write_text(content)
    with pytest.raises(TaskError, match=message):
        load_task(f"{spec}:{tmp_path}")


def test_banking77_messages_that_differ_in_spaces_alone_stand_once(tmp_path):
    (tmp_path / "test.csv").write_text("text,category\nwhere is it,a\nwhere  is it,a\n")
    (tmp_path / "train.csv").write_text('text,category\nnew,a\n"new\n",a\n where is it,a\nother,b\n')
    (tmp_path / "categories.json").write_text('["a", "b{}"]')
    task = load_task(f"banking77:{tmp_path}")
    assert [example.fields["text"] for example in task.examples("test")] == ["where is it", "where  is it"]
    kept = {example.fields["text"] for split in ("train", "dev") for example in task.splits[split]}
    assert kept == {"new", "other"}
    assert task.questions("test")[0].messages[0].content.endswith("\na\nb{}")
