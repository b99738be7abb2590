"""The artifact changes on disk while requests are under way."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn, get_args

import httpx
import pytest

from fulcrum.artifact import Artifact, Rewritten
from fulcrum.chat import Completion, FailureKind, Request, user
from fulcrum.errors import RunError
from fulcrum.serving.editions import RETRY, Shelf, open_edition
from fulcrum.serving.metrics import Metrics
from fulcrum.serving.settings import ServeSettings
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.writer import SupplementWriter, writer_of
from serving.fakes import DEPLOYS, Notes, Proxy, Upstream, ask, is_probe, note, write_artifact
from support.scripted import ScriptedModel

CHAT = "/chat/completions"


class Library:
    """Deploys artifacts that write their own `facts.text` into requests, and keeps what it deployed."""

    def __init__(self) -> None:
        self.deployed: dict[str, Notes] = {}
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, artifact: Artifact) -> Notes:
        text = artifact.facts["text"]

        def rule(request: Request) -> Rewritten:
            if not is_probe(request):
                self.hold.wait(30)
            return note(request, text)

        self.deployed[text] = Notes(rule)
        return self.deployed[text]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setitem(DEPLOYS, "library", library)
    return library


def shelf_of(artifact: Path, upstream: str | None = "http://127.0.0.1:9/v1") -> Shelf:
    settings, metrics = ServeSettings(upstream=upstream), Metrics()

    def reopen() -> object:
        return open_edition(artifact, settings, metrics)

    return Shelf(artifact, reopen, metrics)  # type: ignore[arg-type]


def test_a_change_is_taken_over_when_it_has_settled_and_the_old_ends_with_its_last_request(
    artifact: Path, library: Library
) -> None:
    write_artifact(artifact, "library", text="old")

    async def main() -> None:
        shelf = shelf_of(artifact)
        old = shelf.current
        with old.in_use():
            write_artifact(artifact, "library", text="newer")
            await shelf.look()
            assert shelf.current is old  # it may still be being written
            await shelf.look()
            assert shelf.current is not old and shelf.current.digest != old.digest
            assert old.helper is not None
            assert (await old.helper.submit(Request((user("q"),)))).added == "\n\n[old]"
            assert not library.deployed["old"].closed.is_set()
        assert await asyncio.to_thread(library.deployed["old"].closed.wait, 10)
        assert not library.deployed["newer"].closed.is_set()
        shelf.current.retire()

    asyncio.run(main())


@pytest.mark.parametrize(
    "content", ["{", "[]", json.dumps({"format": 1}), json.dumps({"format": 99, "method": "fake"})], ids=str
)
def test_a_broken_change_is_refused_and_the_old_stays(artifact: Path, library: Library, content: str) -> None:
    write_artifact(artifact, "library", text="old")

    async def main() -> None:
        shelf = shelf_of(artifact)
        old = shelf.current
        (artifact / "artifact.json").write_text(content)
        for _ in range(4):
            await shelf.look()
        assert shelf.current is old and not library.deployed["old"].closed.is_set()
        write_artifact(artifact, "library", text="mended")
        for _ in range(2):
            await shelf.look()
        assert "mended" in library.deployed and shelf.current is not old
        shelf.current.retire()

    asyncio.run(main())


def test_a_changed_model_that_fails_at_a_first_request_is_refused_and_the_old_stays(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deploy(artifact: Artifact) -> ScriptedModel:
        if artifact.facts["text"] == "old":
            return ScriptedModel()
        return ScriptedModel(lambda _: Completion.failed("server", "no such adapter"))

    monkeypatch.setitem(DEPLOYS, "models", deploy)
    write_artifact(artifact, "models", text="old")

    async def main() -> None:
        shelf = shelf_of(artifact, upstream=None)
        old = shelf.current
        write_artifact(artifact, "models", text="newer")
        for _ in range(2):
            await shelf.look()
        assert shelf.current is old and old.model is not None
        assert (await old.model.answer(ask("hi") | {"model": "tiny-recipe"})).status == 200
        shelf.current.retire()

    asyncio.run(main())


def test_what_was_out_of_reach_is_tried_again_after_a_while(
    artifact: Path, library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, tried = [100.0], list[float]()

    def deploy(artifact: Artifact) -> Notes:
        if artifact.facts["text"] == "newer":
            tried.append(now[0])
            if len(tried) < 3:
                raise RunError("rate limited")
        return library(artifact)

    monkeypatch.setitem(DEPLOYS, "late", deploy)
    monkeypatch.setattr("fulcrum.serving.editions.monotonic", lambda: now[0])
    write_artifact(artifact, "late", text="old")

    async def main() -> None:
        shelf = shelf_of(artifact)
        old = shelf.current
        write_artifact(artifact, "late", text="newer")
        for seconds in range(100, 300, 2):
            assert (shelf.current is old) == (len(tried) < 3)
            now[0] = seconds
            await shelf.look()
        shelf.current.retire()

    asyncio.run(main())
    assert tried == [102, 102 + RETRY, 102 + 2 * RETRY], "a try may load a model, so not at every look"
    assert len([record for record in caplog.records if "rate limited" in record.message]) == 1, "nor told each time"


def test_a_change_while_the_first_edition_loads_is_taken_over(
    artifact: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(artifact: Artifact) -> Notes:
        if artifact.facts["text"] == "old":
            write_artifact(artifact.folder, "slow", text="newer")
        return library(artifact)

    monkeypatch.setitem(DEPLOYS, "slow", slow)
    write_artifact(artifact, "slow", text="old")

    async def main() -> None:
        shelf = shelf_of(artifact)
        old = shelf.current
        for _ in range(2):
            await shelf.look()
        assert "newer" in library.deployed and shelf.current is not old
        shelf.current.retire()

    asyncio.run(main())


def test_a_look_that_fails_is_told_and_the_next_one_tries_again(
    artifact: Path, library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: object) -> NoReturn:
        raise FileNotFoundError(2, "No such file or directory", "adapter")

    write_artifact(artifact, "library", text="old")

    async def main() -> None:
        shelf = shelf_of(artifact)
        old = shelf.current
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rglob", gone)
            await shelf.look()
        assert "No such file or directory: 'adapter'; the next look tries again" in caplog.text
        write_artifact(artifact, "library", text="newer")
        for _ in range(2):
            await shelf.look()
        assert shelf.current is not old
        shelf.current.retire()

    asyncio.run(main())


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_a_generator_that_does_not_answer_is_refused_and_one_that_says_nothing_is_not(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, kind: FailureKind
) -> None:
    def deploy(artifact: Artifact) -> SupplementWriter:
        generator = ScriptedModel(lambda _: Completion.failed(artifact.facts["kind"], "no model 'generator'"))
        return writer_of(generator, SupplementSettings())

    monkeypatch.setitem(DEPLOYS, "generator", deploy)
    write_artifact(artifact, "generator", kind="empty")
    answered = kind in ("refused", "truncated", "empty")

    async def main() -> None:
        shelf = shelf_of(artifact)
        old = shelf.current
        write_artifact(artifact, "generator", kind=kind, text="newer")
        for _ in range(2):
            await shelf.look()
        assert (shelf.current is not old) == answered
        shelf.current.retire()

    asyncio.run(main())
    if not answered:
        with pytest.raises(RunError, match=f"first request.*{kind}: no model 'generator'"):
            shelf_of(artifact)


def test_an_artifact_that_vanishes_stays_in_use(artifact: Path, library: Library) -> None:
    write_artifact(artifact, "library", text="old")

    async def main() -> None:
        shelf = shelf_of(artifact)
        (artifact / "artifact.json").unlink()
        artifact.rmdir()
        for _ in range(3):
            await shelf.look()
        assert not library.deployed["old"].closed.is_set()
        shelf.current.retire()

    asyncio.run(main())


def test_under_load_every_request_gets_the_old_help_or_the_new(
    artifact: Path, library: Library, upstream: Upstream, upstream_url: str
) -> None:
    write_artifact(artifact, "library", text="old")
    stop = threading.Event()

    def load(client: httpx.Client) -> list[str]:
        got: list[str] = []
        while not stop.is_set():
            reply = client.post(proxy.url + CHAT, json=ask("q"), timeout=60)
            got.append(reply.raise_for_status().json()["choices"][0]["message"]["content"])
        return got

    with Proxy(artifact, upstream=upstream_url, reload=0.05, deadline=30.0) as proxy, httpx.Client() as client:
        with ThreadPoolExecutor(6) as pool:
            results = [pool.submit(load, client) for _ in range(6)]
            until(lambda: len(upstream.bodies) > 20)
            write_artifact(artifact, "library", text="second")
            until(lambda: upstream.last_text() == "q\n\n[second]")
            (artifact / "artifact.json").write_text("{")
            until(lambda: 'reloads_total{result="refused"} 1.0' in client.get(proxy.root + "/metrics").text)
            write_artifact(artifact, "library", text="third-one")
            until(lambda: upstream.last_text() == "q\n\n[third-one]")
            stop.set()
        answers = [answer for result in results for answer in result.result()]
    assert set(answers) == {f"re: q\n\n[{text}]" for text in ("old", "second", "third-one")}
    assert len(answers) == len(upstream.bodies)
    assert all(notes.closed.wait(10) for notes in library.deployed.values())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
