import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fulcrum.cli.main import application, main
from support.sums import write_sums

HEAVY = ("torch", "transformers", "peft", "trl", "accelerate", "pyarrow", "openai", "datasets", "pandas")


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_sums(tmp_path)


def run(*arguments: str) -> int:
    """Run a command in this process and return its exit code."""
    try:
        main(arguments)
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(*arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_from_recipe_to_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "train", "recipe.toml", "--output", "run", "--json")
    assert code == 0 and json.loads(out)["run"] == "run"
    code, out, _ = outcome(capsys, "evaluate", "run", "--json")
    rows = json.loads(out)
    assert code == 0 and [row["n"] for row in rows] == [32] * 4
    vote = next(row for row in rows if row["solver"] == "self-consistency@5")
    assert vote["difference"] == pytest.approx(vote["mean"] - rows[0]["mean"])
    code, out, _ = outcome(capsys, "runs", "show", "run")
    assert code == 0 and "evaluated" in out
    code, out, _ = outcome(capsys, "calls", "stats", "run", "--json")
    assert json.loads(out)["calls"][0]["calls"] == 32 * 7


def test_calls_can_be_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run("train", "recipe.toml", "--output", "run")
    run("evaluate", "run", "--limit", "2")
    capsys.readouterr()
    _, out, _ = outcome(capsys, "calls", "export", "run")
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 2 * 7 and {line["role"] for line in lines} == {"actor"}
    code, out, _ = outcome(capsys, "calls", "show", "run", lines[0]["key"][:12])
    assert code == 0 and "What is" in out and "The sum is" in out
    code, _, err = outcome(capsys, "calls", "show", "run", "zz")
    assert code == 2 and "no call with a key that begins with 'zz'" in err


def test_every_key_is_a_flag_and_quick_is_below_flags(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--method", "baseline", "--task", "task.toml", "--models.actor", "python:bots:sloppy", "--quick")
    assert run("train", *flags, "--settings.shots", "1", "--output", "flags") == 0
    settings = json.loads(Path("flags/resolved.json").read_text())["settings"]
    assert (settings["shots"], settings["votes"]) == (1, 3)
    assert run("train", *flags, "--settings.votes", "7", "--output", "more") == 0
    assert json.loads(Path("more/resolved.json").read_text())["settings"]["votes"] == 7
    capsys.readouterr()


def test_flags_reach_tables_of_any_depth() -> None:
    flags = ["--settings.training.epochs", "3", "--settings.training.optimizer.rate=1e-3", "--settings.rounds", "-2"]
    _, bound, _ = application().parse_args(["train", *flags], exit_on_error=False, print_error=False)
    expected = {"training.epochs": "3", "training.optimizer.rate": "1e-3", "rounds": "-2"}
    assert bound.arguments["flags"].settings == expected


def test_plan_counts_what_evaluation_then_makes(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = outcome(capsys, "plan", "recipe.toml", "--json")
    planned = json.loads(out)
    run("train", "recipe.toml", "--output", "run")
    run("evaluate", "run")
    capsys.readouterr()
    _, out, _ = outcome(capsys, "calls", "stats", "run", "--json")
    assert planned["calls"] == json.loads(out)["calls"][0]["calls"]
    assert planned["minutes"] is not None and planned["cost"] == 0


def test_doctor_finds_a_model_that_does_not_count_or_score(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "doctor", "recipe.toml", "--json")
    said = {finding["what"]: finding["level"] for finding in json.loads(out)}
    assert code == 0
    assert said["every gold answer scores 1.0"] == "good"
    assert said["python:bots:sloppy: does not count tokens"] == "warning"
    assert said["python:bots:sloppy: gives no log-probabilities"] == "warning"


def test_doctor_names_a_dead_endpoint_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(
        capsys, "doctor", "recipe.toml", "--models.actor", "http://127.0.0.1:9/v1?backoff=100#qwen", "--json"
    )
    bad = [finding for finding in json.loads(out) if finding["level"] == "bad"]
    assert code == 1 and len(bad) == 1 and "start the server" in bad[0]["remedy"]


def test_doctor_says_which_key_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--models.actor", "http://127.0.0.1:9/v1?key_env=FULCRUM_NO_SUCH_KEY#qwen", "--json")
    code, out, _ = outcome(capsys, "doctor", "recipe.toml", *flags)
    assert code == 1 and "FULCRUM_NO_SUCH_KEY, which is not set" in json.loads(out)[-1]["what"]


def test_validate_passes_gold_and_names_what_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "validate", "task.toml")
    assert code == 0 and "every gold answer scores 1.0" in out
    rows = Path("rows.jsonl").read_text().splitlines()
    rows[4] = json.dumps({"a": 4, "b": 2, "answer": "plenty"})
    Path("rows.jsonl").write_text("\n".join(rows) + "\n")
    code, out, err = outcome(capsys, "validate", "task.toml")
    assert code in (1, 2) and "rows.jsonl:5" in out + err


BAD_INPUT = {
    "missing recipe": (("train", "recip.toml"), "recip.toml: no such file; did you mean 'recipe.toml'?"),
    "malformed TOML": (("train", "broken.toml"), "broken.toml:2: not TOML"),
    "misspelt key": (("train", "recipe.toml", "--settings.vote", "3"), "did you mean 'votes'?"),
    "unknown table": (("train", "recipe.toml", "--settings.deep.er", "3"), "--settings.deep.er: deep: no such key"),
    "table without key": (("train", "recipe.toml", "--settings", "3"), "name a key of it after a dot"),
    "method no text": (("train", "recipe.toml", "--method", "[1]"), "there is no method [1]"),
    "no question": (("evaluate", "run", "--limit", "0"), "--limit"),
    "misspelt flag": (("train", "recipe.toml", "--taks", "x"), "Did you mean --task?"),
    "misspelt command": (("trian", "recipe.toml"), 'Did you mean "train"?'),
    "unknown method": (("train", "recipe.toml", "--method", "baselin"), "did you mean 'baseline'?"),
    "unknown scorer": (("validate", "scorer.toml"), "numbr"),
    "missing task": (("validate", "tusk.toml"), "did you mean 'task.toml'"),
    "duplicate example": (("validate", "double.toml"), "double.jsonl:3"),
    "empty split": (("evaluate", "empty"), "split 'test' is empty"),
    "missing target": (("validate", "untargeted.toml"), "untargeted.jsonl:2"),
    "unknown model": (("plan", "recipe.toml", "--models.actor", "htp://x"), "did you mean 'http'?"),
    "budget below one step": (("plan", "recipe.toml", "--budget.calls", "3"), "budget.calls: 3 is below one step"),
    "output is a file": (("train", "recipe.toml", "--output", "rows.jsonl"), "rows.jsonl: File exists"),
    "not a run": (("evaluate", "."), "is not a run folder"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_clear_line_and_exit_code_2(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_bad_tasks()
    arguments, expected = BAD_INPUT[case]
    if case == "empty split":
        run(
            "train",
            "--method",
            "baseline",
            "--task",
            "empty.toml",
            "--models.actor",
            "python:bots:sloppy",
            "-o",
            "empty",
        )
        capsys.readouterr()
    code, _, err = outcome(capsys, *arguments)
    assert code == 2
    assert expected in err
    assert len(err.strip().splitlines()) == 1 and "Traceback" not in err


def write_bad_tasks() -> None:
    """Write tasks that each have one fault."""
    good = Path("task.toml").read_text()
    Path("broken.toml").write_text('method = "baseline"\ntask = = 3\n')
    Path("scorer.toml").write_text(good.replace('"number"', '"numbr"'))
    Path("empty.toml").write_text(good.replace("dev = 0.2, test = 0.5", "dev = 0.7, test = 0.0"))
    for name, line in (("double", '{"a": 0, "b": 0, "answer": 0}'), ("untargeted", '{"a": 5, "b": 6}')):
        Path(f"{name}.toml").write_text(good.replace("rows.jsonl", f"{name}.jsonl"))
        rows = Path("rows.jsonl").read_text().splitlines()
        rows.insert(2 if name == "double" else 1, line)
        Path(f"{name}.jsonl").write_text("\n".join(rows) + "\n")


def test_an_endpoint_that_is_down_is_never_scored_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    run("train", "recipe.toml", "--models.actor", "http://127.0.0.1:9/v1?retries=0#qwen", "--output", "down")
    capsys.readouterr()
    code, _, err = outcome(capsys, "evaluate", "down")
    assert code == 2 and "calls failed" in err and "fulcrum doctor" in err
    assert not Path("down/evaluation.json").exists()


def test_compare_pools_seeds_whatever_their_folders_are_called(capsys: pytest.CaptureFixture[str]) -> None:
    for folder, *flags in (["one"], ["two", "--seed", "1"], ["more", "--settings.shots", "2"]):
        run("train", "recipe.toml", "--settings.votes", "0", *flags, "--output", folder)
        run("evaluate", folder, "--limit", "6")
    capsys.readouterr()
    code, out, _ = outcome(capsys, "compare", "one", "two", "more", "--json")
    rows = {row["solver"]: row["seed"] for row in json.loads(out)["rows"]}
    assert code == 0
    assert rows == {"one: direct": None, "one: few-shot@4": None, "more: few-shot@2": 0}
    code, _, err = outcome(capsys, "compare", "one", "two")
    assert code == 2 and "differ in nothing but the seed" in err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_any_terminal_can_show_any_answer(encoding: str) -> None:
    answer = "Zwölf \U0001f600 \ud83d"
    Path("bots.py").write_text(f"def sloppy(request):\n    return {answer!a}\n")
    fulcrum = [sys.executable, "-c", "from fulcrum.cli.main import main; main()"]
    flags = ["--settings.votes", "0", "--settings.shots", "0", "--output", "run"]
    subprocess.run([*fulcrum, "train", "recipe.toml", *flags], check=True, capture_output=True)
    for command in (["evaluate", "run", "--limit", "2"], ["calls", "export", "run", "--keys"]):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        assert subprocess.run([*fulcrum, *command], env=environment, capture_output=True).returncode == 0
    shown = subprocess.run([*fulcrum, "calls", "export", "run"], env=environment, capture_output=True, check=True)
    texts = {json.loads(line)["completion"]["text"] for line in shown.stdout.decode(encoding).splitlines()}
    assert texts == {answer}


@pytest.mark.slow
def test_a_killed_evaluation_continues_and_repeats_no_call() -> None:
    run("train", "recipe.toml", "--output", "whole")
    run("evaluate", "whole")
    Path("asked.txt").unlink()
    command = [sys.executable, "-c", "from fulcrum.cli.main import main; main()"]
    run("train", "recipe.toml", "--output", "killed")
    codes: list[int] = []
    for fuse in ("30", "50", "90", None):
        if fuse:
            Path("fuse.txt").write_text(fuse)
        codes.append(subprocess.run([*command, "evaluate", "killed"], capture_output=True).returncode)
    assert codes == [-9, -9, -9, 0]
    asked = Path("asked.txt").read_text().splitlines()
    assert len(asked) == len(set(asked))
    assert Path("killed/rollouts.jsonl").read_bytes() == Path("whole/rollouts.jsonl").read_bytes()


def test_a_run_evaluated_from_another_folder_says_where_its_task_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("train", "recipe.toml", "--output", "run")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    capsys.readouterr()
    code, _, err = outcome(capsys, "evaluate", "../run")
    assert code == 2 and len(err.splitlines()) == 1
    assert "../run: its task task.toml cannot be loaded" in err and "start this one where the run was started" in err


def test_ctrl_c_exits_with_130_and_the_same_command_continues(capsys: pytest.CaptureFixture[str]) -> None:
    bots = Path("bots.py").read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt")
    Path("stopped_bots.py").write_text(bots)
    run("train", "recipe.toml", "--models.actor", "python:stopped_bots:sloppy", "--output", "run")
    Path("fuse.txt").write_text("50")
    capsys.readouterr()
    code, out, err = outcome(capsys, "evaluate", "run", "--json")
    assert (code, out) == (130, "") and "the same command continues" in err and "Traceback" not in err
    code, out, _ = outcome(capsys, "evaluate", "run", "--json")
    assert code == 0 and [row["n"] for row in json.loads(out)] == [32] * 4
    asked = Path("asked.txt").read_text().splitlines()
    assert len(asked) == len(set(asked)) == 32 * 7


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = f"""
import atexit, sys
from fulcrum.cli.main import main
atexit.register(lambda: print(sorted(set({HEAVY}) & sys.modules.keys()), file=sys.stderr))
main({arguments})
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stderr.strip() == "[]" and shown.stdout.strip()


def test_the_first_screen_fits_and_names_only_commands_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = outcome(capsys, "--help")
    assert outcome(capsys)[1] == out
    commands = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert 5 < len(commands) <= 15
    assert max(map(len, out.splitlines())) <= 80
    for command in commands:
        code, said, _ = outcome(capsys, command, "--help")
        assert code == 0 and f"fulcrum {command}" in said


def test_runs_are_compared_on_another_task_than_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    for run_folder, votes in (("three", "3"), ("five", "5")):
        run("train", "recipe.toml", "--settings.votes", votes, "--settings.shots", "0", "--output", run_folder)
        run("evaluate", run_folder)
    other = Path("task.toml").read_text().replace("What is {a} + {b}?", "Add {a} and {b}")
    Path("other.toml").write_text(other.replace('name = "sums"', 'name = "other"'))
    capsys.readouterr()
    for flags, task in (((), "sums"), (("--task", "other.toml"), "other")):
        code, out, _ = outcome(capsys, "compare", "three", "five", *flags, "--json")
        rows = json.loads(out)["rows"]
        assert code == 0 and {row["task"] for row in rows} == {task}
        assert [row["role_of_solver"] for row in rows] == ["baseline", "control", "control"]
        assert all(row["n"] == 32 for row in rows)
    # What was measured on another task leaves the run's own evaluation alone.
    assert json.loads(Path("three/evaluation.json").read_text())[0]["task"] == "sums"
    assert outcome(capsys, "compare", "three", "five")[0] == 0


def test_brackets_in_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    task = Path("task.toml").read_text(encoding="utf-8")
    Path("task.toml").write_text(task.replace('name = "sums"', 'name = "sums [/INST]"'), encoding="utf-8")
    for name, votes in (("exp[a]", "3"), ("exp[b]", "5")):
        _, out, _ = outcome(capsys, "train", "recipe.toml", "--settings.votes", votes, "--output", name)
        assert f"Next: fulcrum evaluate {name}" in out
        _, out, err = outcome(capsys, "evaluate", name, "--limit", "4")
        assert "sums [/INST] · test" in out and f"written: {name}/report.html" in err
    code, out, _ = outcome(capsys, "compare", "exp[a]", "exp[b]")
    against = next(line for line in out.splitlines() if "exp[a]:" in line and "exp[b]:" in line)
    assert code == 0 and against.startswith("exp[a]:")
