"""The client against two independent servers that others wrote, each with a tiny real model."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fulcrum.chat import Request, Sampling, Tool, assistant, complete, system, user
from fulcrum.chat.endpoint import EndpointModel, open_model
from support.tiny import tiny_model

pytestmark = pytest.mark.slow

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

LLAMA_CPP = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), 1024, 4
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
sys.stdin.read()
"""

NEEDS = {
    "transformers": ("fastapi", "uvicorn"),
    "llama.cpp": ("xllamacpp", "gguf"),
}


@dataclass(frozen=True)
class Served:
    server: str
    url: str
    model: str


@pytest.fixture(scope="module", params=list(NEEDS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    missing = [package for package in NEEDS[request.param] if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"{request.param} serves only with {' and '.join(missing)} installed: pip install fulcrum[dev]")
    folder = tiny_model(tmp_path_factory.mktemp("served") / "tiny", context=256)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    # `transformers serve` draws only if the model's own settings say so, whatever the temperature.
    (folder / "generation_config.json").write_text('{"do_sample": true}', encoding="utf-8")
    port = _free_port()
    if request.param == "transformers":
        model = str(folder)
        command = ["-m", "transformers.cli.transformers", "serve", model, "--port", str(port), "--device", "cpu"]
    else:
        from support.gguf_model import write_gguf

        model = str(write_gguf(folder, folder.parent / "tiny.gguf", TEMPLATE))
        command = ["-c", LLAMA_CPP, model, str(port)]
    log = tmp_path_factory.mktemp("log") / "server.log"
    with _running(command, port, log):
        yield Served(request.param, f"http://127.0.0.1:{port}/v1", model)


@pytest.fixture
def model(served: Served) -> Iterator[EndpointModel]:
    endpoint = open_model(f"{served.url}?timeout=60#{served.model}")
    yield endpoint
    endpoint.close()


def test_a_greedy_answer_counts_its_tokens_and_is_truncated_where_it_was_cut(model: EndpointModel) -> None:
    request = Request((system("be brief"), user("where is my parcel?")), Sampling(max_tokens=6))
    first, second = complete(model, [request, request])
    assert first.failure is not None
    assert first.failure.kind == "truncated"
    assert first.text
    assert first.text == second.text
    assert first.usage.completion_tokens == 6
    assert first.usage.prompt_tokens > 10
    assert first.finish_reason == "length"


def test_many_calls_at_once_give_each_prompt_its_own_answer(model: EndpointModel) -> None:
    requests = [Request((user(f"order {number}"),), Sampling(max_tokens=8)) for number in range(24)]
    together = complete(model, requests)
    alone = [complete(model, [request])[0] for request in requests[:3]]
    assert [completion.text for completion in together[:3]] == [completion.text for completion in alone]
    assert len({completion.text for completion in together}) > 3
    assert {completion.failure.kind for completion in together if completion.failure} <= {"truncated", "empty"}


def test_every_setting_is_accepted(model: EndpointModel, served: Served) -> None:
    request = Request(
        (user("where is order 7?"), assistant("in rome"), user("and order 8?")),
        Sampling(temperature=1.0, top_p=0.9, max_tokens=6, stop=("zzzz",), seed=3, logprobs=True),
        (Tool("look_up", "Finds an order.", {"type": "object", "properties": {"id": {"type": "integer"}}}),),
    )
    (completion,) = complete(model, [request])
    assert completion.failure is None or completion.failure.kind in ("truncated", "empty"), completion.failure
    if served.server == "llama.cpp":
        assert completion.logprobs is not None
        # Pieces of one character are counted apart and scored together.
        assert 0 < len(completion.logprobs) <= completion.usage.completion_tokens
        assert all(value <= 0 for value in completion.logprobs)
    else:
        assert completion.logprobs is None


def test_a_seed_repeats_a_draw_and_the_sample_index_changes_it(model: EndpointModel) -> None:
    def draw(sample: int) -> str:
        sampling = Sampling(temperature=1.0, max_tokens=12, seed=1)
        return complete(model, [Request((user("tell me"),), sampling, sample=sample)])[0].text

    assert draw(0) == draw(0)
    assert len({draw(sample) for sample in range(5)}) > 1


def test_a_wrong_model_name_or_address_is_a_failure_with_the_servers_words(served: Served) -> None:
    endpoint = open_model(f"{served.url}/nowhere?retries=0#{served.model}")
    (completion,) = complete(endpoint, [Request((user("hello"),))])
    endpoint.close()
    assert completion.failure is not None
    assert completion.failure.kind == "server"
    assert "404" in completion.failure.detail


def test_ping_reaches_the_server(model: EndpointModel, served: Served) -> None:
    assert model.ping() is None
    # `transformers serve` lists its hub cache only, not the folder that it was told to serve.
    assert model.list_models() == ([served.model] if served.server == "llama.cpp" else [])


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    cache = log.parent / "hub"
    cache.mkdir()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment
        )
        try:
            _wait_for(port, process, log)
            yield
        finally:
            process.kill()
            process.communicate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
