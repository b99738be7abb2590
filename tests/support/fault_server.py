"""A loopback server that speaks the OpenAI chat protocol, breaks it at a seeded rate, and counts what it did."""

import asyncio
import contextlib
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

FAULTS = ("rate_limit", "server_error", "hang", "drop", "truncated_json", "empty_choices", "slow_drip")
LASTING_FAULTS = ("wrong_model",)
"""Faults that another try would not mend."""
HANG_SECONDS = 60.0
_PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """What to send back: a JSON payload, or bytes as they are."""

    payload: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return self.payload if isinstance(self.payload, bytes) else json.dumps(self.payload).encode()


def reversed_prompt(prompt: str) -> str:
    return prompt[::-1]


def prompt_of(body: Body) -> str:
    """The last message's text: requests are counted by it."""
    return body["messages"][-1]["content"]


def chat_completion(
    text: str | None, finish_reason: str = "stop", model: str = "tiny", **message: Any
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    return Reply({"error": {"message": message, "type": "error", "code": code}}, status, headers)


class FaultServer:
    """Runs in a thread of its own between `with` and the end of the block.

    Args:
        answer: from the prompt to the right answer.
        respond: replaces the whole answer to a request; None from it means the usual answer.
        fault_rate: share of requests that meet a fault; which ones depends on seed, prompt and how often the
            prompt was asked before, not on the order of arrival.
        faults: kinds of fault to choose from, each as likely.
        retry_after: the header of injected `rate_limit` faults, in seconds.
        model: the one model that it has, but for adapters; any other is answered with 404.
        adapters: adapters of that model, each a model of its own name.
        key: the API key that it wants, if any.
        latency: seconds that an answer takes.
        max_concurrent: requests that it serves at once; beyond that it answers 429.
        requests_per_second: answers that it gives per second; beyond that it answers 429.
    """

    def __init__(
        self,
        *,
        answer: Callable[[str], str] = reversed_prompt,
        respond: Callable[[Body], Reply | None] = lambda body: None,
        fault_rate: float = 0.0,
        faults: tuple[str, ...] = FAULTS,
        retry_after: float = 0.05,
        seed: int = 0,
        model: str = "tiny",
        adapters: Sequence[str] = (),
        key: str | None = None,
        latency: float = 0.0,
        max_concurrent: int | None = None,
        requests_per_second: float | None = None,
    ) -> None:
        self.answer = answer
        self.respond = respond
        self.fault_rate = fault_rate
        self.faults = faults
        self.retry_after = retry_after
        self.seed = seed
        self.model = model
        self.adapters = adapters
        self.key = key
        self.latency = latency
        self.max_concurrent = max_concurrent
        self.requests_per_second = requests_per_second
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.arrivals: list[float] = []
        self.in_service = 0
        self.most_in_service = 0
        self.busy_seconds = 0.0
        self.abandoned = 0
        self._changed = threading.Condition()
        self._next_free = 0.0
        self._since = time.monotonic()
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fault-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def stats(self) -> dict[str, Any]:
        """The counters, as `GET /stats` gives them to another process."""
        return {
            "requests": dict(self.requests),
            "answered": dict(self.answered),
            "injected": dict(self.injected),
            "in_service": self.in_service,
            "abandoned": self.abandoned,
            "busy_seconds": self.busy_seconds,
        }

    def wait_until(self, condition: Callable[[Self], bool], timeout: float = 30.0) -> bool:
        """Wait until a condition on the counters holds; False if it did not come true in time."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while request := await _read_request(reader):
                await self._respond(*request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # The server stops; a cancelled connection task would be reported as an error.
        finally:
            self._connections.discard(task)
            writer.close()

    async def _respond(
        self, route: str, key: str, content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if route == "GET /stats":
            await _send(writer, Reply(self.stats()))
        elif self.key is not None and key != f"Bearer {self.key}":
            await _send(writer, error(401, "Incorrect API key provided", "invalid_api_key"))
        elif route == "GET /v1/models":
            names = (self.model, *self.adapters)
            await _send(writer, Reply({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}))
        elif route == "POST /v1/chat/completions":
            body: dict[str, Any] = json.loads(content)
            prompt = prompt_of(body)
            with self._counting():
                self.requests[prompt] += 1
                self.arrivals.append(time.monotonic())
                self.bodies.append(body)
            await self._chat(prompt, body, reader, writer)
        else:
            await _send(writer, error(404, f"there is no {route}"))

    async def _chat(self, prompt: str, body: Body, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if body["model"] not in (self.model, *self.adapters):
            await _send(writer, error(404, f"The model `{body['model']}` does not exist.", "model_not_found"))
            return
        if self._over_capacity():
            with self._counting():
                self.injected["over_capacity"] += 1
            await _send(writer, error(429, "too many requests at once"))
            return
        fault = self._fault_for(prompt)
        self._enter(1)
        gone = asyncio.ensure_future(_closed(reader))
        work = asyncio.ensure_future(self._work(fault, prompt, body, writer))
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                with self._counting():
                    self.abandoned += 1
                raise ConnectionAbortedError
            work.result()
        finally:
            for task in (gone, work):
                task.cancel()
            await asyncio.gather(gone, work, return_exceptions=True)
            self._enter(-1)

    async def _work(self, fault: str | None, prompt: str, body: Body, writer: asyncio.StreamWriter) -> None:
        reply = self.respond(body) or Reply(chat_completion(self.answer(prompt), model=body["model"]))
        if fault:
            with self._counting():
                self.injected[fault] += 1
        if fault != "rate_limit":
            await asyncio.sleep(self.latency)
        match fault:
            case None:
                await _send(writer, reply)
                if reply.status == 200:
                    with self._counting():
                        self.answered[prompt] += 1
            case "rate_limit":
                await _send(writer, error(429, "slow down", **{"Retry-After": f"{self.retry_after:g}"}))
            case "wrong_model":
                await _send(writer, error(404, f"The model `{self.model}` does not exist", "model_not_found"))
            case "server_error":
                await _send(writer, error(500, "out of memory"))
            case "hang":
                await asyncio.sleep(HANG_SECONDS)
            case "drop":
                raise ConnectionResetError
            case "truncated_json":
                await _send(writer, Reply(reply.encoded()[: len(reply.encoded()) // 2]))
            case "empty_choices":
                await _send(writer, Reply({**chat_completion(""), "choices": []}))
            case "slow_drip":
                await _drip(writer, reply)
            case _:
                raise ValueError(f"unknown fault {fault!r}")

    def _fault_for(self, prompt: str) -> str | None:
        key = f"{self.seed}:{prompt}:{self.requests[prompt]}"
        dice = random.Random(hashlib.sha256(key.encode()).digest())
        return dice.choice(self.faults) if dice.random() < self.fault_rate else None

    def _over_capacity(self) -> bool:
        if self.max_concurrent is not None and self.in_service >= self.max_concurrent:
            return True
        if self.requests_per_second is not None:
            now = time.monotonic()
            if now < self._next_free - 1 / self.requests_per_second:  # A burst of two evens out the arrivals.
                return True
            self._next_free = max(now, self._next_free) + 1 / self.requests_per_second
        return False

    def _enter(self, calls: int) -> None:
        with self._counting():
            now = time.monotonic()
            self.busy_seconds += self.in_service * (now - self._since)
            self._since = now
            self.in_service += calls
            self.most_in_service = max(self.most_in_service, self.in_service)

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes] | None:
    """Return route, authorization and content of the next request, or None at the end of the connection."""
    head = await reader.readline()
    if not head:
        return None
    method, path, _ = head.decode().split()
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return f"{method} {path}", headers.get("authorization", ""), content


async def _closed(reader: asyncio.StreamReader) -> None:
    """Wait until the client closes the connection; to read for it could take a byte of the next request."""
    while not (reader.at_eof() or reader.exception()):
        await asyncio.sleep(0.01)


def _head(reply: Reply, length: int) -> bytes:
    phrase = _PHRASES.get(reply.status, "Error")
    headers = {"Content-Type": "application/json", "Content-Length": str(length), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    content = reply.encoded()
    writer.write(_head(reply, len(content)) + content)
    await writer.drain()


async def _drip(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """Send one byte a tenth of a second: each read of the client succeeds, and the whole never ends in time."""
    content = reply.encoded()
    writer.write(_head(reply, len(content)))
    for byte in content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)
