"""Every command of README and docs is run, in the order of its page, on the shipped models; trainings sized down.

What a page calls by a name that a reader must replace (an id, an address, a folder) is replaced here.
"""

import io
import json
import pickle
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fulcrum
from fulcrum.atomic import read_lines, write_json
from fulcrum.chat.served import served_name
from fulcrum.cli.main import main
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.summary import summarize
from fulcrum.evaluation.table import read_evaluation
from fulcrum.serving.log import LogRow, LogWriter
from fulcrum.society.records import counts_by_kind, learned_rows
from fulcrum.task.load import load_task
from support.debating import adapter
from support.fault_server import FaultServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(?:sh|console|bash)\n(.*?)```", re.DOTALL)
SERVER = "http://localhost:8000/v1"
SMALLER = {
    "supplement": "--quick --settings.queries 16 --settings.samples 1 --settings.dev_queries 8",
    "strategies": "--quick --settings.rounds 2 --settings.dialogues 3 --settings.requests 4",
    "leverage": "--quick --settings.general_rows 200 --settings.task_rows 16 --settings.tune.dev_rows 10",
    "society": "--quick --settings.questions 24 --settings.measure 10",
}


def commands(page: str) -> list[str]:
    """Return the commands of a page, continued lines joined, comments left out."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for block in BLOCK.findall(text) for line in block.splitlines()]
    return [re.sub(r"\s+# .*", "", line) for line in lines if line.startswith("fulcrum ")]


def toml_file(page: str, name: str) -> str:
    """Return the block of a page that begins with the comment `# NAME`."""
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return next(block for block in blocks if block.startswith(f"# {name}\n"))


def walk(page: str, *changes: tuple[str, str]) -> list[str]:
    """Run a page's commands with some words replaced, and return what was run."""
    done = []
    for command in commands(page):
        for old, new in changes:
            command = command.replace(old, new)
        run(command)
        done.append(command)
    assert done, f"{page} holds no command"
    return done


def run(command: str) -> None:
    """Run a command here; one that goes on until it is stopped is started, asked for, and stopped."""
    words = shlex.split(command)[1:]
    if words[0] in ("serve", "review"):
        start_and_stop(words)
        return
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert not stopped.value.code, command


def start_and_stop(words: list[str]) -> None:
    script = "import sys; from fulcrum.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, *words, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if re.search(r"http://(127\.0\.0\.1|0\.0\.0\.0):\d+", line):
                break
        else:
            pytest.fail(f"{shlex.join(words)}:\n{said}")
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) in (0, -signal.SIGTERM)


def number(prompt: str) -> str:
    return "It is 12."


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(answer=number, model="qwen") as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recipes, as in a checkout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    return tmp_path


def test_the_pages_about_a_model_behind_an_endpoint(here: Path, server: FaultServer) -> None:
    (here / "task.toml").write_text(toml_file("README.md", "task.toml"))
    (here / "recipe.toml").write_text(toml_file("README.md", "recipe.toml").replace(SERVER, server.url))
    rows = [{"question": f"What is {n} times 3?", "answer": 3 * n} for n in range(60)]
    (here / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    walk("README.md")
    walk("docs/getting-started.md", (SERVER, server.url))
    walk("docs/your-own-endpoint.md", (SERVER, server.url))
    run("fulcrum train recipe.toml --settings.shots 2 --output runs/second")
    run("fulcrum evaluate runs/second")
    key = read_store_key(here / "runs/first")
    walk("docs/runs-and-calls.md", ("3f9a", key))
    walk("docs/reading-a-report.md")
    assert (here / "comparison.html").stat().st_size > 10_000
    page = (ROOT / "docs/your-own-task.md").read_text(encoding="utf-8")
    (here / "tickets.toml").write_text(re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)[0])
    tickets = [{"text": f"Ticket {n}", "queue": ("billing", "returns")[n % 2], "region": "north"} for n in range(60)]
    (here / "tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tickets))
    walk("docs/your-own-task.md")


def read_store_key(folder: Path) -> str:
    from fulcrum.calls import CallStore

    store = CallStore(folder / "calls.sqlite")
    try:
        return next(iter(store.calls())).key[:12]
    finally:
        store.close()


def learned(method: str, folder: Path) -> None:
    """The run went all the way: a report that names the method, and figures that survive the way between processes."""
    assert method in (folder / "report.html").read_text()
    summary = summarize(method, read_evaluation(folder / "evaluation.json"), read_results(folder), 1, 1.0)
    assert pickle.loads(pickle.dumps(summary)).before.role_of_solver == "baseline"


def test_the_page_of_leverage(here: Path) -> None:
    sizes = "--settings.sweep.task_sizes [16] --settings.sweep.seeds [0] --settings.training.checkpoint_every 100"
    walk(
        "docs/methods/leverage.md",
        ("--quick", SMALLER["leverage"]),
        ("evaluate runs/triage", "evaluate runs/triage --limit 6"),
        ("--output mix.jsonl", f"{SMALLER['leverage']} --output mix.jsonl"),
        (
            "sweep recipes/leverage-lab-triage.toml",
            f"sweep recipes/leverage-lab-triage.toml {SMALLER['leverage']} {sizes}",
        ),
    )
    learned("leverage", here / "runs/triage")


def test_the_page_of_society(here: Path) -> None:
    page = commands("docs/methods/society.md")
    train = page.index(next(command for command in page if command.startswith("fulcrum train")))
    for command in page[: train + 1]:
        run(command.replace("--quick", SMALLER["society"]))
    debates = next((here / "runs/society/stages").glob("debate-society-1-*/debates.jsonl"))
    question = next(iter(read_lines(debates)))["question_id"]
    row = next(iter(learned_rows(here / "runs/society"))).row.id
    changes = {"3808bf0f13b51ab3": question, "3f9a": row, "--limit 200": "--limit 6"}
    for command in page[train + 1 :]:
        for old, new in changes.items():
            command = command.replace(old, new)
        run(f"{command} --limit 6" if command == "fulcrum evaluate runs/society" else command)
    for stage, counts in counts_by_kind(learned_rows(here / "runs/society")).items():
        assert set(counts) <= ({"generation"} if "-generator-" in stage else {"corrected", "kept"})
    learned("society", here / "runs/society")


def test_the_pages_of_supplement_and_serving(here: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(
        "docs/methods/supplement.md",
        ("--output runs/notes", f"{SMALLER['supplement']} --output runs/notes"),
        ("evaluate runs/notes", "evaluate runs/notes --limit 6"),
        ("--limit 200", "--limit 6"),
    )
    learned("supplement", here / "runs/notes")
    with fulcrum.Lifted("runs/notes") as ask:
        assert ask("how many orders?")
    (here / "runs/supplement").symlink_to(here / "runs/notes")
    monkeypatch.setenv("UPSTREAM_KEY", "none")
    (here / "keys.txt").write_text("secret\n")
    write_log(here / "shadow.jsonl", shadow=True)
    outcomes = "".join(json.dumps({"request": f"r{n}", "value": n % 2}) + "\n" for n in range(20))
    for name in ("outcomes.jsonl", "with.jsonl", "without.jsonl"):
        (here / name).write_text(outcomes)
    write_log(here / "serve.jsonl", shadow=False)
    server.adapters = ["generator", "tuned", *write_artifacts(here / "runs")]
    walk(
        "docs/serving.md",
        (SERVER, server.url),
        ("http://localhost:8001/v1", server.url),
        ("https://api.example.com/v1", server.url),
        ("#BASE", "#qwen"),
        ("--port 8080", ""),
    )
    assert "generator" in {body["model"] for body in server.bodies}  # the trained one, not the weights in the artifact


def write_artifacts(runs: Path) -> list[str]:
    """Write what two more trainings would have left, and return the names under which a server offers the agents."""
    card = {"format": 1, "recipe": "tuned", "settings": {}}
    leverage = {"method": "leverage", "task": "lab:triage", "models": {"actor": "hf:base"}}
    facts = {"weights": "adapter", "anchor": None}
    write_json(runs / "leverage/artifact/artifact.json", {**card, **leverage, "facts": facts})
    agents = [f"{part}-{place}" for part in ("generator", "critic") for place in (1, 2, 3)]
    society = {"method": "society", "task": "lab:arithmetic", "models": {"agent": "hf:base"}}
    facts = {"agents": dict.fromkeys(agents, True), "distilled": False}
    write_json(runs / "society/artifact/artifact.json", {**card, **society, "facts": facts})
    return [served_name(adapter(runs / "society/artifact" / agent)) for agent in agents]


def write_log(path: Path, *, shadow: bool) -> None:
    """Write what a server of twenty users would have logged."""
    writer = LogWriter(path, lambda: None)
    for n in range(20):
        helped = shadow or n % 4 < 2
        writer.write(
            LogRow(
                time="2026-01-01T00:00:00+00:00",
                request=f"r{n}",
                unit=f"u{n}",
                arm="help" if helped else "plain",
                outcome="added" if helped else "control",
                shadow=shadow,
                artifact="a1",
                model="m",
                prompt="p",
                stream=False,
                status=200,
                complete=True,
                seconds={"total": 1.0},
            )
        )
    writer.close()


def test_the_pages_of_strategies_and_reviewing(here: Path) -> None:
    page = commands("docs/methods/strategies.md")
    taught = {"scenario": "the customer is in a hurry", "when": "they hurry", "do": "answer in one sentence"}
    (here / "logs.jsonl").write_text(json.dumps({"strategy": taught}) + "\n")
    train = page[0].replace("strategies-lab-desk.toml", f"strategies-lab-desk.toml {SMALLER['strategies']}")
    run(f"{train} --output runs/desk")
    strategy = next(iter(read_lines(here / "runs/desk/artifact/library.jsonl")))["strategy"]
    for command in page[1:]:
        command = command.replace("RUN", "runs/desk").replace("ID", strategy)
        if "python:fulcrum.strategies.lab:student" in command:
            command += f" {SMALLER['strategies']} --output runs/rules"
        run(f"{command} --limit 4" if command == "fulcrum evaluate runs/desk" else command)
    learned("strategies", here / "runs/desk")
    with fulcrum.Lifted("runs/desk") as ask:
        assert ask(load_task("lab:desk").questions("test")[0].messages)
    walk("docs/reviewing.md", ("runs/strategies-lab-desk-1a2b3c4d", "runs/desk"))


def test_the_pages_of_the_lab(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hi\n"))
    walk(
        "docs/lab/index.md",
        ("lab evaluate", "lab evaluate base"),
        ("large --minutes 75 --compiled --install", f"base --steps 2 --output {here / 'base'}"),
    )
    assert (here / "base" / "checkpoint" / "model.safetensors").exists()
