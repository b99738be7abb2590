"""Whatever a client sends, the answer is never a 500."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from fulcrum.methods import METHODS
from serving.fakes import DEPLOYS, Notes, Proxy, Served, Upstream, write_artifact
from support.scripted import ScriptedModel

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
roles = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "", "alien"])
part = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"])}, optional={"text": st.text() | anything})
call = st.fixed_dictionaries({"id": st.text(), "function": st.fixed_dictionaries({"name": st.text()})}) | anything
message = st.fixed_dictionaries(
    {"role": roles | anything},
    optional={
        "content": st.text() | st.lists(part, max_size=3) | anything,
        "tool_calls": st.lists(call, max_size=2) | anything,
        "tool_call_id": st.text() | anything,
    },
)
body = st.fixed_dictionaries(
    {"model": st.sampled_from(["tiny-recipe", "m"]) | anything, "messages": st.lists(message, max_size=4) | anything},
    optional={
        name: anything | st.integers(-3, 300) | st.booleans()
        for name in (
            "n", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop",
            "seed", "tools", "tool_choice", "response_format", "logprobs", "user", "safety_identifier", "metadata",
        )
    },
)  # fmt: skip
contents = st.one_of(
    body.map(lambda data: json.dumps(data).encode()), anything.map(lambda data: json.dumps(data).encode()), st.binary()
)
headers = st.dictionaries(
    st.sampled_from(["x-fulcrum", "x-fulcrum-user", "x-fulcrum-conversation", "authorization", "content-type", "te"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    max_size=3,
)


@pytest.fixture(scope="module", params=["proxy", "model"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    upstream = Upstream()
    upstream.reply = lambda body: JSONResponse({"choices": []})
    with pytest.MonkeyPatch.context() as patch, Served(upstream.app) as behind:
        patch.setitem(METHODS, "fake", "serving.fakes:METHOD")
        patch.setitem(DEPLOYS, "it", lambda _: Notes() if request.param == "proxy" else ScriptedModel())
        settings: dict[str, Any] = {"upstream": behind.url, "share": 0.8} if request.param == "proxy" else {}
        log = {"log": folder / "log.jsonl", "log_content": True, "split_by": "user"}
        with Proxy(write_artifact(folder / "artifact", "it"), **settings, **log) as proxy:
            yield proxy


@pytest.mark.slow
@given(content=contents, extra=headers)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_a_body_of_any_kind(served: Proxy, content: bytes, extra: dict[str, str]) -> None:
    reply = client_of(served).post(served.url + "/chat/completions", content=content, headers=extra)
    assert reply.status_code in (200, 400, 404)
    if reply.status_code == 400 and "x-fulcrum-request" in reply.headers and reply.text.startswith('{"error"'):
        error = reply.json()["error"]
        assert error["message"] and set(error) <= {"message", "type", "param", "code"}


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "DELETE", "OPTIONS", "HEAD"]))
def test_a_path_of_any_kind(served: Proxy, path: str, method: str) -> None:
    for start in ("/", "/v1/", "/v1/models/"):
        url = httpx.URL(served.root, raw_path=(start + quote(path)).encode())
        assert client_of(served).request(method, url).status_code in (200, 400, 404, 405)


_CLIENTS: dict[str, httpx.Client] = {}


def client_of(served: Proxy) -> httpx.Client:
    """One client for all examples: a new one for each would take most of the time."""
    return _CLIENTS.setdefault(served.url, httpx.Client(timeout=60))


@pytest.fixture(scope="module", autouse=True)
def close_clients() -> Iterator[None]:
    yield
    for client in _CLIENTS.values():
        client.close()
    _CLIENTS.clear()
