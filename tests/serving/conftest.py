from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fulcrum.artifact import Deployed
from fulcrum.methods import METHODS
from serving.fakes import DEPLOYS, Notes, Proxy, Served, Upstream, write_artifact


@pytest.fixture(autouse=True)
def fake_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "fake", "serving.fakes:METHOD")
    monkeypatch.delenv("FULCRUM_API_KEYS", raising=False)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def upstream_url(upstream: Upstream) -> Iterator[str]:
    with Served(upstream.app) as served:
        yield served.url
        upstream.go_on.set()


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return tmp_path / "artifact"


@pytest.fixture
def serve(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """Serve an artifact until the end of the test."""
    with ExitStack() as stack:

        def start(deployed: Deployed | None = None, **settings: Any) -> Proxy:
            monkeypatch.setitem(DEPLOYS, "it", lambda _: deployed or Notes())
            write_artifact(artifact, "it")
            return stack.enter_context(Proxy(artifact, **settings))

        yield start
