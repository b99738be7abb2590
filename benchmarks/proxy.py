"""What `fulcrum serve` adds to a request, against no proxy and against the LiteLLM proxy in the same run.

    python benchmarks/proxy.py
    python -m venv ../litellm && ../litellm/bin/pip install 'litellm[proxy]'
    python benchmarks/proxy.py --litellm ../litellm/bin/litellm

Writes benchmarks/results/proxy.json. Every part is a process of its own: an upstream that answers after a fifth of a
second, the proxies, and 50 clients. The rounds of all of them are interleaved, so that a busy machine is as unkind to
each. Clients start one after another and answers take a twentieth more or less, as in life: clients in step would send
fifty requests at once and then none, and what was measured would be their own queue.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from _result import record

from fulcrum.artifact import Artifact, OpenModel, Rewritten
from fulcrum.atomic import write_json
from fulcrum.chat import Request
from fulcrum.methods import METHODS
from fulcrum.serving.server import serve
from fulcrum.serving.settings import ServeSettings

CLIENTS = 50
THINKING = 0.2
"""Seconds after which the upstream answers: 50 clients then ask 250 times a second."""

ROUNDS = 5
SECONDS = 4.0


class Notes:
    """Help that costs nothing: what is left is what the proxy itself costs."""

    def rewrite(self, requests: Sequence[Request]) -> list[Rewritten]:
        return [self._note(request) for request in requests]

    def close(self) -> None:
        pass

    def _note(self, request: Request) -> Rewritten:
        *front, last = request.messages
        return Rewritten(
            replace(request, messages=(*front, replace(last, content=last.content + "\n\nA note."))), "A note."
        )


class NotesMethod:
    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Notes:
        del artifact, open_model
        return Notes()


METHOD = NotesMethod()


def run_proxy(method: str, settings: ServeSettings) -> None:
    """Serve, in this process, an artifact of a method, given as `module:NAME`."""
    METHODS["notes"] = method
    card = {"format": 1, "recipe": "notes", "method": "notes", "task": "", "models": {}, "settings": {}, "facts": {}}
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "artifact.json", card)
        serve(Path(folder), settings)


class Answering(asyncio.Protocol):
    """As little of an HTTP server as will do: what it costs itself is small beside any proxy."""

    seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.got = transport, b""

    def data_received(self, data: bytes) -> None:
        self.got += data
        while (end := self.got.find(b"\r\n\r\n")) >= 0:
            length = int(self.got[:end].lower().partition(b"content-length:")[2].partition(b"\r")[0] or 0)
            if len(self.got) < end + 4 + length:
                return
            body, self.got = self.got[end + 4 : end + 4 + length], self.got[end + 4 + length :]
            self.answer(body, b'"stream":true' in body.replace(b" ", b""))

    def answer(self, body: bytes, stream: bool) -> None:
        """Answer one request."""
        del body
        loop = asyncio.get_running_loop()
        if stream:
            self.transport.write(STREAM_HEAD + chunk(event("Hello")))
            loop.call_later(_about(THINKING), self.transport.write, chunk(event(" you")) + STREAM_END)
        else:
            loop.call_later(_about(self.seconds), self.transport.write, _WHOLE)


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.95, 1.05)


def event(text: str) -> bytes:
    """Return the event of a stream that brings a text."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()


def chunk(data: bytes) -> bytes:
    """Return a piece of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def whole_answer(text: str) -> bytes:
    """Return a whole HTTP answer with this text."""
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 150, "completion_tokens": 60, "total_tokens": 210}
    reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [message], "usage": usage}
    body = json.dumps(reply).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = chunk(event("").replace(b"null", b'"stop"') + b"data: [DONE]\n\n") + b"0\r\n\r\n"
_WHOLE = whole_answer("hello " * 60)


async def run_upstream(port: int, seconds: float) -> None:
    """Answer every request after so many seconds."""
    Answering.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    await server.serve_forever()


async def ask(port: int, seconds: float, *, stream: bool, headers: str, times: list[float]) -> None:
    """Ask again and again for so long, and note the seconds to the whole answer or to a stream's first event."""
    text = "How many parcels went to Rome last week? " * 15
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\n{headers}content-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(random.uniform(0, THINKING))
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        writer.write(request)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert answer.startswith(b"http/1.1 200"), answer
        first = None
        if b"content-length:" in answer:
            await reader.readexactly(int(answer.partition(b"content-length:")[2].partition(b"\r")[0]))
        else:
            while size := int(await reader.readline(), 16):
                first = first or time.perf_counter()
                await reader.readexactly(size + 2)
            await reader.readline()
        times.append((first if stream and first else time.perf_counter()) - started)
    writer.close()


def measure(port: int, seconds: float, *, stream: bool = False, headers: str = "") -> list[float]:
    """Return the times that 50 clients saw."""
    times: list[float] = []

    async def clients() -> None:
        asks = (ask(port, seconds, stream=stream, headers=headers, times=times) for _ in range(CLIENTS))
        await asyncio.gather(*asks)

    asyncio.run(clients())
    return times


@dataclass(frozen=True)
class Way:
    """A way to the upstreams: the ports where the thinking and the instant one are reached, and headers to send."""

    slow: int
    fast: int
    headers: str = ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(
    command: Sequence[str], port: int, ready: str | None = None, **variables: str
) -> Generator[subprocess.Popen[bytes]]:
    """Run a part of the benchmark until the end of the block; ready when its port answers."""
    started = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **variables}
    )
    try:
        end = time.monotonic() + 600
        while not _answers(port, ready):
            assert started.poll() is None and time.monotonic() < end, f"{command[:3]} does not come up"
            time.sleep(0.2)
        yield started
    finally:
        started.terminate()
        started.wait(60)


def _answers(port: int, path: str | None) -> bool:
    try:
        if path is None:
            socket.create_connection(("127.0.0.1", port), 1).close()
        else:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
    except OSError:
        return False
    return True


def part(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def litellm_command(executable: str, upstream: int, port: int, folder: Path) -> list[str]:
    settings = {
        "model_list": [
            {
                "model_name": "m",
                "litellm_params": {
                    "model": "openai/m", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"
                },
            }
        ],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }  # fmt: skip
    path = folder / f"litellm-{port}.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML
    return [executable, "--config", str(path), "--port", str(port), "--host", "127.0.0.1"]


def quantiles(times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49] * 1e3, 2), "p99": round(cuts[98] * 1e3, 2)}


def compare(litellm: str | None, rounds: int, seconds: float) -> None:
    slow, fast = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(process(part("upstream", slow, THINKING), slow))
        stack.enter_context(process(part("upstream", fast, 0), fast))
        ports = {upstream: free_port() for upstream in (slow, fast)}
        for upstream, port in ports.items():
            command = part("serve", f"http://127.0.0.1:{upstream}/v1", port)
            stack.enter_context(process(command, port, "/health"))
        ways = {
            "no proxy": Way(slow, fast),
            "fulcrum, passed through": Way(ports[slow], ports[fast], "x-fulcrum: off\r\n"),
            "fulcrum, help added": Way(ports[slow], ports[fast]),
        }
        if litellm:
            ports = {upstream: free_port() for upstream in (slow, fast)}
            for upstream, port in ports.items():
                command = litellm_command(litellm, upstream, port, folder)
                local = {
                    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # here nobody shows a key
                }
                stack.enter_context(process(command, port, "/health/liveliness", **local))
            ways["litellm"] = Way(ports[slow], ports[fast])
        whole: dict[str, list[float]] = {name: [] for name in ways}
        first: dict[str, list[float]] = {name: [] for name in ways}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in range(-1, rounds):  # the first round warms up
            for name, way in ways.items():
                answers = measure(way.slow, seconds, headers=way.headers)
                streams = measure(way.slow, seconds, headers=way.headers, stream=True)
                rate = len(measure(way.fast, seconds, headers=way.headers)) / seconds
                if round_ >= 0:
                    whole[name] += answers
                    first[name] += streams
                    rates[name].append(rate)
    report(whole, first, rates, f"python benchmarks/proxy.py --rounds {rounds} --seconds {seconds:g}", bool(litellm))


def report(
    whole: dict[str, list[float]],
    first: dict[str, list[float]],
    rates: dict[str, list[float]],
    command: str,
    with_litellm: bool,
) -> None:
    base, base_first = quantiles(whole["no proxy"]), quantiles(first["no proxy"])
    rows = {
        name: {
            "requests_per_second": round(statistics.median(rates[name]), 1),
            "answer_ms": quantiles(whole[name]),
            "first_token_ms": quantiles(first[name]),
            "added_ms": {key: round(value - base[key], 2) for key, value in quantiles(whole[name]).items()},
            "added_first_token_ms": {
                key: round(value - base_first[key], 2) for key, value in quantiles(first[name]).items()
            },
        }
        for name in whole
    }
    figures: dict[str, object] = {"clients": CLIENTS, "upstream_seconds": THINKING, "ways": rows}
    if with_litellm:
        command += " --litellm LITELLM"
        figures["requests_per_second_times_litellm"] = {
            name: round(statistics.median(rates[name]) / statistics.median(rates["litellm"]), 2)
            for name in rates
            if name.startswith("fulcrum")
        }
    load = os.getloadavg()[1]
    record("proxy", command, load_average_5_minutes=round(load, 2), **figures)


def main() -> None:
    match sys.argv[1:]:
        case ["upstream", port, seconds]:
            asyncio.run(run_upstream(int(port), float(seconds)))
        case ["serve", upstream, port]:
            run_proxy("proxy:METHOD", ServeSettings(upstream=upstream, port=int(port)))
        case _:
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("--litellm", help="the executable of an installed LiteLLM proxy")
            parser.add_argument("--rounds", type=int, default=ROUNDS)
            parser.add_argument("--seconds", type=float, default=SECONDS)
            given = parser.parse_args()
            compare(given.litellm, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
