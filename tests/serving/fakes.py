"""A fake method whose artifacts do what a test wants, a scripted upstream, and servers in threads."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fulcrum.artifact import Artifact, Deployed, OpenModel, Rewritten
from fulcrum.atomic import write_json
from fulcrum.chat import Message, Request
from fulcrum.serving.server import build
from fulcrum.serving.settings import ServeSettings

DEPLOYS: dict[str, Callable[[Artifact], Deployed]] = {}
"""What an artifact with `facts.deploy = NAME` becomes."""


class FakeMethod:
    name = "fake"

    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Deployed:
        del open_model
        return DEPLOYS[artifact.facts["deploy"]](artifact)


METHOD = FakeMethod()


def note(request: Request, text: str = "note") -> Rewritten:
    """Add a note below the last message."""
    *front, last = request.messages
    added = f"\n\n[{text}]"
    helped = replace(request, messages=(*front, replace(last, content=last.content + added)))
    return Rewritten(helped, added, {"form": text})


class Notes:
    """A rewriter for tests: `rule` maps each request; `batches` holds the sizes of what it was given."""

    def __init__(self, rule: Callable[[Request], Rewritten] = note) -> None:
        self.rule = rule
        self.batches: list[int] = []
        self.closed = threading.Event()

    def rewrite(self, requests: Sequence[Request]) -> list[Rewritten]:
        self.batches.append(len(requests))
        return [self.rule(request) for request in requests]

    def close(self) -> None:
        self.closed.set()


def is_probe(request: Request) -> bool:
    return request.messages[-1].content.startswith("Hello, is anybody")


def write_artifact(folder: Path, deploy: str, recipe: str = "tiny-recipe", **facts: Any) -> Path:
    """Write a card as `fulcrum.artifact.write_card` does."""
    card = {
        "format": 1,
        "fulcrum": "0",
        "recipe": recipe,
        "method": "fake",
        "task": "lab:sql",
        "models": {"generator": "lab:small"},
        "settings": {},
        "facts": {"deploy": deploy, **facts},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "artifact.json", card)
    return folder


class Served:
    """An ASGI application in a uvicorn server in a thread."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app, port=0, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5
        )
        self.server = uvicorn.Server(config)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.server.run()
        self._ready.set()

    def __enter__(self) -> "Served":
        original = self.server.startup

        async def startup(sockets: Any = None) -> None:
            await original(sockets)
            self.loop = asyncio.get_running_loop()
            self._ready.set()

        self.server.startup = startup
        self._thread.start()
        assert self._ready.wait(30) and self.server.started
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Proxy(Served):
    """`fulcrum serve` in a thread."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(build(folder, ServeSettings(**{"reload": 0.0, **settings})))


class Upstream:
    """An upstream of which a test holds every string: what it got, what it answers, and when."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.left = threading.Event()
        self.pieces: list[bytes] = [sse({"role": "assistant", "content": "Hel"}), sse({"content": "lo"}), DONE]
        self.break_after: int | None = None
        self.reply: Callable[[dict[str, Any]], Response] = self.answer

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", lambda _: JSONResponse({"object": "list", "data": [{"id": "m"}]})),
            ]
        )

    def last_text(self) -> str:
        return self.bodies[-1]["messages"][-1]["content"]

    def answer(self, body: dict[str, Any]) -> Response:
        text = body["messages"][-1]["content"] if body.get("messages") else ""
        choices = [
            {"index": i, "message": {"role": "assistant", "content": f"re: {text}"}, "finish_reason": "stop"}
            for i in range(body.get("n") or 1)
        ]
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        head = {"id": "up-1", "object": "chat.completion", "created": 1, "model": body.get("model")}
        return JSONResponse({**head, "choices": choices, "usage": usage}, headers={"x-upstream": "yes"})

    async def chat(self, request: HttpRequest) -> Response:
        content = await request.body()
        self.raw.append(content)
        self.headers.append(dict(request.headers))
        try:
            body = json.loads(content)
        except ValueError:
            return JSONResponse({"error": {"message": "no JSON"}}, 400)
        self.bodies.append(body)
        if isinstance(body, dict) and body.get("stream"):
            return StreamingResponse(self._stream(), media_type="text/event-stream")
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)
            if await request.is_disconnected():
                self.left.set()
                return Response()
        return self.reply(body)

    async def _stream(self) -> AsyncIterator[bytes]:
        try:
            for index, piece in enumerate(self.pieces):
                if index == self.break_after:
                    raise ConnectionResetError
                yield piece
                while not self.go_on.is_set():
                    await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.left.set()
            raise


def sse(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    chunk = {
        "id": "up-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


DONE = sse({}, "stop") + b"data: [DONE]\n\n"


@contextlib.contextmanager
def deploying(name: str, deployed: Deployed | Callable[[Artifact], Deployed]) -> Iterator[None]:
    DEPLOYS[name] = deployed if callable(deployed) else lambda _: deployed
    try:
        yield
    finally:
        del DEPLOYS[name]


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [Message("user", text).to_json()], **fields}


def shout(request: Request) -> str:
    return request.messages[-1].content.upper()


def flaky_note(request: Request) -> Rewritten:
    """Add a note to four requests of five, and fail at the fifth."""
    if request.messages[-1].content.endswith(("4", "9")):
        raise RuntimeError("the generator is out of order")
    return note(request)
