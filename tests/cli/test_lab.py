import io
import json
from pathlib import Path

import pytest

from fulcrum.cli.main import main
from fulcrum.lab.shop import Shop
from support.sums import write_sums


def run(*arguments: str) -> int:
    try:
        main(arguments)
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_a_shop_is_opened_and_keeps_its_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lab", "shop", "--seed", "3") == 0
    out = capsys.readouterr().out
    for shown in ("customers", "orders", "products", "lab:sql?seed=3", "lab:triage?seed=3", "a dialogue"):
        assert shown in out
    assert not [code for code in Shop(3).queue_codes if code in out]


def test_a_shop_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lab", "shop", "--seed", "1000") == 2
    assert "a shop has a seed from 0 to 999" in capsys.readouterr().err


def test_the_lab_lists_its_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lab", "info", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["tasks"]) == {"lab:arithmetic", "lab:desk", "lab:sql", "lab:triage"}


def test_a_checkpoint_that_is_none_is_named_with_its_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lab", "pretrain", "larg") == 2
    assert "did you mean lab:large?" in capsys.readouterr().err


def test_a_talk_goes_on_until_an_empty_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sums(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("What is 2 + 3?\nAnd 4 + 5?\n\nWhat is 1 + 1?\n"))
    assert run("chat", "python:bots:sloppy") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    asked = (tmp_path / "asked.txt").read_text().splitlines()
    assert [line.startswith(start) for line, start in zip(asked, ("(1, ", "(3, "), strict=True)] == [True, True]


def test_what_got_no_answer_leaves_no_turn_and_the_exit_code_tells_of_the_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "moody.py").write_text(
        "from fulcrum.chat import Completion\n"
        "def model(request):\n"
        "    if 'fail' in request.messages[-1].content:\n"
        "        return Completion.failed('server', 'down')\n"
        "    return f'{len(request.messages)} messages'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for said, code in (("hello\nfail\nagain\n", 0), ("hello\nagain\nfail\n", 1)):
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        assert run("chat", "python:moody:model") == code
        printed = capsys.readouterr()
        assert printed.out == "1 messages\n3 messages\n" and "server: down" in printed.err
