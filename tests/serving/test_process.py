"""`fulcrum serve` as a process: it starts, finishes what is under way when told to stop, and keeps no memory."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from fulcrum.cli.main import main
from serving.fakes import Upstream, ask, write_artifact

HERE = Path(__file__).parent
# A shell's background job ignores SIGINT, and so would the processes that tests start from there.
LAUNCH = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fulcrum.methods import METHODS
METHODS["fake"] = "serving.fakes:METHOD"
from serving import fakes
fakes.DEPLOYS["flaky"] = lambda artifact: fakes.Notes(fakes.flaky_note)
from fulcrum.cli.main import main
main(sys.argv[1:])
"""
CHAT = "/chat/completions"


@contextmanager
def process(artifact: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `fulcrum serve` at a free port and return the process and its address."""
    write_artifact(artifact, "flaky")
    command = [sys.executable, "-c", LAUNCH, "serve", str(artifact), "--port", "0", *flags]
    path = str(HERE.parent)
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"}
    )
    assert started.stderr is not None
    said = ""
    for line in started.stderr:
        said += line
        if found := re.search(r"serving at (http://[\d.:]+/v1)", line):
            break
    else:
        raise AssertionError(said)
    drain = threading.Thread(target=started.stderr.read, daemon=True)
    drain.start()
    try:
        yield started, found[1]
    finally:
        started.kill()
        started.wait()
        drain.join()
        started.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=lambda told: told.name)
def test_told_to_stop_it_finishes_what_is_under_way(
    artifact: Path, upstream: Upstream, upstream_url: str, told: signal.Signals
) -> None:
    upstream.go_on.clear()
    with process(artifact, "--upstream", upstream_url, "--drain", "50") as (server, url), ThreadPoolExecutor(6) as pool:
        whole = [pool.submit(httpx.post, url + CHAT, json=ask(f"q{i}"), timeout=60) for i in range(4)]
        streams = [pool.submit(httpx.post, url + CHAT, json=ask("s", stream=True), timeout=60) for _ in range(2)]
        while len(upstream.raw) < 6:
            pass
        server.send_signal(told)
        while accepts(url):
            pass
        upstream.go_on.set()
        assert [reply.result().status_code for reply in whole] == [200] * 4
        assert all(stream.result().content.endswith(b"data: [DONE]\n\n") for stream in streams)
        server.wait(60)
        assert server.returncode == (130 if told == signal.SIGINT else -signal.SIGTERM)


def accepts(url: str) -> bool:
    try:
        httpx.get(url.removesuffix("/v1") + "/health", timeout=5)
    except httpx.TransportError:
        return False
    return True


@pytest.mark.slow
def test_under_thousands_of_requests_memory_stays_flat_and_no_answer_is_lost(
    artifact: Path, upstream: Upstream, upstream_url: str, tmp_path: Path
) -> None:
    flags = ("--upstream", upstream_url, "--log", str(tmp_path / "log.jsonl"), "--deadline", "1")

    def load(start: int, count: int) -> None:
        with httpx.Client(timeout=120) as client:
            for i in range(start, start + count):
                reply = client.post(url + CHAT, json=ask(f"q{i}", stream=i % 3 == 0))
                assert reply.status_code == 200
                answer = reply.text if i % 3 == 0 else reply.json()["choices"][0]["message"]["content"]
                assert answer.endswith("[DONE]\n\n") if i % 3 == 0 else answer.startswith(f"re: q{i}")
        upstream.raw.clear()
        upstream.bodies.clear()
        upstream.headers.clear()

    def memory_after(start: int) -> int:
        with ThreadPoolExecutor(4) as pool:
            for result in [pool.submit(load, start + 100_000 * worker, 250) for worker in range(4)]:
                result.result()
        return psutil.Process(server.pid).memory_info().rss

    with process(artifact, *flags) as (server, url):
        memory_after(0)  # caches and pools fill
        before, after = memory_after(1000), memory_after(2000)
    assert after - before < 3_000_000, f"{(after - before) / 1000:.0f} bytes a request stay"


def test_what_cannot_work_is_one_line_and_exit_code_2(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLANK", " \n")
    monkeypatch.setenv("CURLY", "\u201csk-1234\u201d")
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, told in (
        ([str(tmp_path / "none")], "there is no such folder"),
        ([str(empty)], "holds no artifact"),
        ([str(artifact), "--port", "99999"], "less than or equal to 65535"),
        ([str(artifact), "--host", "203.0.113.7"], "give another one"),
        ([str(write_artifact(artifact, "flaky")), "--upstream", "lab:none"], "lab:none"),
        ([str(artifact), "--upstream", "http://h/v1#m"], "leave out #m"),
        ([str(artifact), "--upstream", "http://h/v1", "--upstream-key-env", "NOT_SET"], "NOT_SET is not set"),
        ([str(artifact), "--upstream", "http://h/v1", "--upstream-key-env", "BLANK"], "BLANK is not set, or empty"),
        ([str(artifact), "--upstream", "http://h/v1", "--upstream-key-env", "CURLY"], "CURLY holds a character"),
        ([str(artifact), "--upstream", "http://me:secret@h/v1"], "a password in its name"),
        ([str(artifact), "--keys", str(tmp_path / "keys")], "cannot be read"),
        ([str(artifact), "--upstream", "http://h/v1", "--concurrency-per-key", "2"], "no keys to tell clients"),
        ([str(artifact), "--share", "2"], "share"),
        ([str(artifact), "--upstream", "http://h/v1", "--log", str(tmp_path)], "Is a directory"),
        ([str(artifact), "--upstream", "http://h/v1", "--log", f"{artifact}/artifact.json/log"], "cannot be opened"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["serve", *arguments])
        said = capsys.readouterr().err
        assert caught.value.code == 2 and told in said and "Traceback" not in said, (arguments, said)
        assert "pydantic" not in said and "secret" not in said and said.count("\n") == 1, said
