"""Minutes of load on `fulcrum serve` while its upstream and what adds the help die: nothing lost, memory flat?

    python benchmarks/proxy_load.py --minutes 10

Writes benchmarks/results/proxy-load.json. The upstream is a process that is killed with SIGKILL every ten seconds and
comes back two seconds later. It writes down every request once it has handed the whole answer to the kernel: an answer
that was written down and did not reach its client, whole and the right one, is lost. The help works, fails, or hangs
beyond its deadline, in turn. A third of the requests are streams.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
from _result import record
from proxy import (
    STREAM_END,
    STREAM_HEAD,
    Answering,
    Notes,
    NotesMethod,
    chunk,
    event,
    free_port,
    process,
    run_proxy,
    whole_answer,
)

from fulcrum.artifact import Artifact, OpenModel, Rewritten
from fulcrum.chat import Request
from fulcrum.serving.settings import ServeSettings

CLIENTS = 20
PAUSE = 0.2
"""Mean seconds between two requests of a client."""

LIVES, IS_DEAD = 10.0, 2.0
"""Seconds between two deaths of the upstream, and until it is back."""


class DyingNotes(Notes):
    """Works for ten seconds, fails for five, and then once hangs."""

    def rewrite(self, requests: Sequence[Request]) -> list[Rewritten]:
        second = time.monotonic() % 20
        if 10 < second < 15:
            raise RuntimeError("the generator is dead")
        if 15 < second < 17:
            time.sleep(2)
        return super().rewrite(requests)


class DyingMethod(NotesMethod):
    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Notes:
        del artifact, open_model
        return DyingNotes()


METHOD = DyingMethod()


class Echo(Answering):
    """Answers with the first word of the question, and writes down that it did."""

    written_down = -1

    def answer(self, body: bytes, stream: bool) -> None:
        word = json.loads(body)["messages"][-1]["content"].split()[0]
        asyncio.get_running_loop().call_later(random.expovariate(20), self._say, word, stream)

    def _say(self, word: str, stream: bool) -> None:
        if self.transport.is_closing():
            return
        said = (
            STREAM_HEAD + chunk(event("re: ")) + chunk(event(word)) + STREAM_END
            if stream
            else whole_answer(f"re: {word}")
        )
        self.transport.write(said)
        assert isinstance(self.transport, asyncio.WriteTransport)
        if self.transport.get_write_buffer_size() == 0 and not self.transport.is_closing():
            os.write(self.written_down, f"{word}\n".encode())


async def run_upstream(port: int, log: str) -> None:
    Echo.written_down = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


async def upstream_that_dies(port: int, log: Path, until: float) -> int:
    """Start the upstream, kill it, and start it again, to the end; return how often it died."""
    deaths = 0
    while time.monotonic() < until:
        started = subprocess.Popen([sys.executable, __file__, "upstream", str(port), str(log)])
        await asyncio.sleep(LIVES)
        started.kill()
        started.wait()
        deaths += 1
        await asyncio.sleep(IS_DEAD)
    return deaths


class Client:
    """Asks questions with a word of their own and sees what becomes of each."""

    def __init__(self, number: int, url: str) -> None:
        self.number, self.url = number, url
        self.got: dict[str, str] = {}
        self.outcomes: collections.Counter[str] = collections.Counter()

    async def run(self, until: float) -> None:
        async with httpx.AsyncClient(timeout=60) as http:
            asked = 0
            while time.monotonic() < until:
                word = f"q{self.number}x{asked}"
                self.got[word] = await self._ask(http, word, asked % 3 == 0)
                asked += 1
                await asyncio.sleep(random.expovariate(1 / PAUSE))

    async def _ask(self, http: httpx.AsyncClient, word: str, stream: bool) -> str:
        """Return `whole` if the right answer came to its end, otherwise what came instead."""
        body = {"model": "m", "messages": [{"role": "user", "content": f"{word} and more"}], "stream": stream}
        try:
            reply = await http.post(self.url, json=body)
        except httpx.TransportError as error:
            return type(error).__name__
        self.outcomes[reply.headers.get("x-fulcrum-outcome", "none")] += 1
        if reply.status_code != 200:
            return str(reply.status_code)
        if stream:
            events = [line[6:] for line in reply.text.split("\n") if line.startswith("data: ")]
            parts = [json.loads(said) for said in events if said != "[DONE]"]
            said = "".join(part["choices"][0]["delta"].get("content") or "" for part in parts if part.get("choices"))
            return "whole" if events[-1:] == ["[DONE]"] and said == f"re: {word}" else "broken stream"
        return "whole" if reply.json()["choices"][0]["message"]["content"] == f"re: {word}" else "another answer"


async def weigh(pid: int, until: float) -> list[float]:
    """Return the proxy's memory in MB, every five seconds."""
    found: list[float] = []
    while time.monotonic() < until:
        await asyncio.sleep(5)
        found.append(psutil.Process(pid).memory_info().rss / 1e6)
    return found


async def load(minutes: float) -> None:
    upstream, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "answered"
        command = [sys.executable, __file__, "serve", f"http://127.0.0.1:{upstream}/v1", str(port)]
        with process(command, port, "/health") as proxy:
            until = time.monotonic() + minutes * 60
            clients = [Client(number, f"http://127.0.0.1:{port}/v1/chat/completions") for number in range(CLIENTS)]
            async with asyncio.TaskGroup() as group:
                dying = group.create_task(upstream_that_dies(upstream, log, until))
                weighing = group.create_task(weigh(proxy.pid, until))
                for client in clients:
                    group.create_task(client.run(until))
            deaths, memory = dying.result(), weighing.result()
        answered = log.read_text().split()
    got = {word: what for client in clients for word, what in client.got.items()}
    a_tenth = max(1, len(memory) // 10)
    record(
        "proxy-load",
        f"python benchmarks/proxy_load.py --minutes {minutes:g}",
        minutes=minutes,
        clients=CLIENTS,
        requests=len(got),
        upstream_died=deaths,
        upstream_answered=len(answered),
        lost=sum(got[word] != "whole" for word in answered),
        what_clients_got=dict(collections.Counter(got.values()).most_common()),
        help=dict(sum((client.outcomes for client in clients), collections.Counter[str]()).most_common()),
        memory_mb={
            "second_tenth": round(statistics.median(memory[a_tenth : 2 * a_tenth]), 1),
            "middle": round(statistics.median(memory[len(memory) // 2 :][:a_tenth]), 1),
            "last_tenth": round(statistics.median(memory[-a_tenth:]), 1),
        },
    )


def main() -> None:
    match sys.argv[1:]:
        case ["upstream", port, log]:
            asyncio.run(run_upstream(int(port), log))
        case ["serve", upstream, port]:
            run_proxy("proxy_load:METHOD", ServeSettings(upstream=upstream, port=int(port), deadline=0.5))
        case _:
            parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
            parser.add_argument("--minutes", type=float, default=10)
            asyncio.run(load(parser.parse_args().minutes))


if __name__ == "__main__":
    main()
