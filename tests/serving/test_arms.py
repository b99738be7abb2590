import json
import random
from pathlib import Path
from typing import Any

import pytest

from fulcrum.cli.main import main
from fulcrum.errors import RunError
from fulcrum.serving.arms import compare_arms, compare_replayed, summarise, unpaired_difference
from fulcrum.serving.log import LogRow, LogWriter, read_log, read_outcomes


def row(request: str, unit: str, arm: str = "help", **fields: Any) -> LogRow:
    known: dict[str, Any] = {
        "time": "2026-01-01T00:00:00+00:00",
        "outcome": "added" if arm == "help" else "control",
        "shadow": False,
        "artifact": "a1",
        "model": "m",
        "prompt": "p",
        "stream": False,
        "status": 200,
        "complete": True,
        "seconds": {"total": 1.0},
    }
    return LogRow(request=request, unit=unit, arm=arm, **known | fields)


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [row("r1", "u1"), row("r2", "u2", "plain", content={"reply": "caf\xe9 \ud83d"}, finish_reason="stop")]
    path = tmp_path / "logs" / "serve.jsonl"
    writer = LogWriter(path, lambda: None)
    for each in rows:
        writer.write(each)
    writer.close()
    assert read_log(path) == (rows, [])


def test_a_torn_line_costs_that_line_and_not_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "serve.jsonl"
    for request in ("r1", "r2"):
        writer = LogWriter(path, lambda: None)
        writer.write(row(request, "u1"))
        writer.close()
        with path.open("a") as file:
            file.write('{"time": "cut')  # as a kill leaves it
    rows, unreadable = read_log(path)
    assert [each.request for each in rows] == ["r1", "r2"] and unreadable == [f"{path}:2", f"{path}:4"]
    assert path.read_text().count("\n") == 3  # none was begun where the last was whole
    for flags, told in ([], "no rows"), (["--json"], '"unreadable": 2'):
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", "--from-log", str(path), *flags])
        assert not stop.value.code and told in capsys.readouterr().out


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"request": "r", "value": 1}\n')
    with pytest.raises(RunError, match=r"outcomes\.jsonl:1: not a row of a log"):
        read_log(path)


def test_a_line_that_cannot_be_written_is_counted_and_costs_no_other(tmp_path: Path) -> None:
    lost: list[None] = []
    circle: dict[str, Any] = {}
    circle["it"] = circle
    writer = LogWriter(tmp_path / "log", lambda: lost.append(None))
    writer.write(row("r1", "u1", facts=circle))
    writer.write(row("r2", "u2"))
    writer.close()
    assert [each.request for each in read_log(tmp_path / "log")[0]] == ["r2"] and len(lost) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    lost: list[None] = []
    writer = LogWriter(Path("/dev/full"), lambda: lost.append(None))
    writer.write(row("r1", "u1"))
    writer.close()
    assert lost


@pytest.mark.parametrize(
    "line", ['{"request": "r"}', '{"request": "r", "value": 2}', "[]", "x", '{"request": "r", "value": "good"}']
)
def test_an_outcome_that_is_none_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"request": "q", "value": 1}\n' + line + "\n")
    with pytest.raises(RunError, match=r"outcomes\.jsonl:2"):
        read_outcomes(path)


def test_a_unit_counts_once_in_the_arm_it_was_drawn_for() -> None:
    rows = [row(f"talk{i}", "talker", "help") for i in range(100)]
    rows += [row("late", "unlucky", "help", outcome="late"), row("plain", "other", "plain")]
    rows += [row("declined", "another", "help", outcome="off")]
    good = {f"talk{i}" for i in range(100)} | {"declined"}
    result = compare_arms(rows, lambda each: float(each.request in good))
    assert result.help.mean is not None and result.help.mean.estimate == 0.5  # one talker, one unlucky
    assert (result.help.units, result.help.requests, result.help.scored) == (2, 101, 101)
    assert result.help.helped == 100 / 101
    assert result.difference is not None and result.difference.estimate == 0.5
    assert not result.difference.clear_of_zero  # three units prove nothing


def test_the_shadow_is_in_neither_arm_and_its_replay_is_compared() -> None:
    split = [row("plain", "u1", "plain"), row("help", "u2")]
    shadow = [row(f"shadow{i}", f"u{i}", shadow=True) for i in range(9)]
    good = {"plain": 0.0, "help": 1.0} | {each.request: 0.0 for each in shadow}
    result = compare_arms(shadow + split, lambda each: good[each.request])
    assert result.help.requests == 1 and result.help.helped == 1.0
    assert result.difference is not None and result.difference.estimate == 1.0
    replayed = compare_replayed(shadow + split, good, {each.request: 1.0 for each in shadow})
    assert replayed is not None and replayed.estimate == 1.0


def test_without_values_there_is_no_difference() -> None:
    result = compare_arms([row("a", "a"), row("b", "b", "plain", status=500)], lambda each: None)
    assert result.difference is None and result.help.mean is None
    assert (result.help.failed, result.plain.failed) == (0.0, 1.0)


def test_replayed_answers_are_paired() -> None:
    rows = [row(f"r{i}", f"u{i}") for i in range(60)]
    before = {f"r{i}": float(i % 2) for i in range(60)}
    after = {f"r{i}": float(i % 2 or i % 3 == 0) for i in range(60)} | {"unknown": 1.0}
    paired = compare_replayed(rows, before, after)
    unpaired = unpaired_difference(list(before.values()), list(after.values())[:60])
    assert paired is not None and paired.clear_of_zero
    assert (
        paired.estimate == pytest.approx(unpaired.estimate) and paired.high - paired.low < unpaired.high - unpaired.low
    )
    assert compare_replayed(rows, {}, after) is None


@pytest.mark.parametrize("before", [[0.0] * 5, [1.0] * 5])
def test_few_equal_values_have_a_wide_interval(before: list[float]) -> None:
    interval = unpaired_difference(before, [1.0] * 5)
    assert interval.high - interval.low > 0.4 and interval.low <= interval.estimate <= interval.high


@pytest.mark.parametrize(
    ("n", "m", "p", "q"), [(8, 8, 0.1, 0.1), (10, 40, 0.5, 0.9), (30, 30, 0.02, 0.05), (100, 50, 0.5, 0.6)]
)
def test_the_interval_holds_the_truth_as_often_as_it_says(n: int, m: int, p: float, q: float) -> None:
    dice = random.Random(7)
    held = 0
    for _ in range(600):
        before = [float(dice.random() < p) for _ in range(n)]
        after = [float(dice.random() < q) for _ in range(m)]
        interval = unpaired_difference(before, after)
        held += interval.low <= q - p <= interval.high
    assert held / 600 >= 0.93


def test_a_log_is_counted() -> None:
    rows = [row(str(i), str(i), outcome="late" if i < 3 else "added", seconds={"total": i / 100}) for i in range(101)]
    summary = summarise(rows)
    assert summary.requests == 101 and summary.outcomes == {"late": 3, "added": 98} and summary.statuses == {200: 101}
    assert summary.seconds["total"] == (pytest.approx(0.5), pytest.approx(0.99))
    json.dumps(summary.outcomes)


def test_a_log_is_evaluated_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter(tmp_path / "log", lambda: None)
    for place in range(40):
        writer.write(row(f"r{place}", f"u{place}", "help" if place % 2 else "plain"))
    writer.close()
    for name, good in (("after", lambda place: place % 2), ("before", lambda _: 0)):
        lines = [{"request": f"r{place}", "value": float(good(place))} for place in range(40)]
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(*flags: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", "--from-log", str(tmp_path / "log"), *flags])
        assert not stop.value.code
        return capsys.readouterr().out

    assert "not known" in run()
    arms = json.loads(run("--outcomes", str(tmp_path / "after"), "--json"))
    assert arms["log"]["requests"] == 40 and arms["arms"]["help"]["mean"]["estimate"] == 1.0
    assert arms["difference"]["estimate"] == 1.0 and arms["difference"]["low"] > 0.5
    replayed = run("--outcomes", str(tmp_path / "after"), "--outcomes-without", str(tmp_path / "before"))
    assert "+50.0" in replayed and "on the same requests" in replayed
    (tmp_path / "after").write_text((tmp_path / "after").read_text().rstrip("\n"))
    assert json.loads(run("--outcomes", str(tmp_path / "after"), "--json"))["arms"]["help"]["scored"] == 20
    (tmp_path / "strange").write_text('{"request": "r99", "value": 1}')
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--from-log", str(tmp_path / "log"), "--outcomes", str(tmp_path / "strange")])
    assert stopped.value.code == 2 and "1 outcomes are of no request" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["run", "--from-log", "log"], ["run", "--outcomes", "log"]])
def test_a_run_or_a_log_is_evaluated_but_not_both(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *flags])
    assert stop.value.code == 2 and "either a run, or --from-log" in capsys.readouterr().err
