"""What the page on tasks shows must work as it stands."""

import re
import sys
import tomllib
from pathlib import Path

from fulcrum.settings import Document
from fulcrum.task.load import load_task
from fulcrum.task.scorers import SCORERS, make_scorer
from fulcrum.task.validate import validate

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-task.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_task_of_the_page_is_sound(tmp_path):
    (tmp_path / "tickets.jsonl").write_text(blocks("jsonl")[0])
    (tmp_path / "tickets.toml").write_text(blocks("toml")[0])
    task = load_task(str(tmp_path / "tickets.toml"))
    assert sum(map(len, task.splits.values())) == 2
    assert validate(task) == []


def test_every_scorer_has_settings_on_the_page_that_work():
    tables = [table for block in blocks("toml") if (table := tomllib.loads(block).get("scorer"))]
    for table in tables:
        make_scorer(table.pop("kind"), Document(table))
    assert set(re.findall(r'^kind = "(\w+)"', PAGE, re.MULTILINE)) == SCORERS.keys()


def test_the_python_task_of_the_page_is_sound(tmp_path, monkeypatch):
    (tmp_path / "page_tasks.py").write_text(blocks("python")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert validate(load_task("python:page_tasks:load?size=50")) == []
