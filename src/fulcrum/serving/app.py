"""The endpoint: what happens to a request, from the door to the last byte of its answer."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fulcrum.hashing import content_hash
from fulcrum.serving.asgi import Raw, read_body, send_error, send_reply, while_connected
from fulcrum.serving.capture import Capture
from fulcrum.serving.editions import Edition, Shelf
from fulcrum.serving.errors import ApiError, BrokenOff, ClientGone
from fulcrum.serving.exchange import Exchange
from fulcrum.serving.gate import Gate
from fulcrum.serving.helping import Help, add_help_in_time
from fulcrum.serving.local import LocalModel
from fulcrum.serving.log import LogWriter
from fulcrum.serving.metrics import Metrics
from fulcrum.serving.replies import Reply, json_reply, model_entry
from fulcrum.serving.settings import ServeSettings
from fulcrum.serving.split import draw, unit_of
from fulcrum.serving.upstream import Upstream
from fulcrum.serving.wire import parse_body

_OPT_OUT_HEADER = "x-fulcrum"

_log = logging.getLogger(__name__)


class Service:
    """Serves one artifact.

    Args:
        settings: what the operator set.
        shelf: the artifact in use.
        upstream: who answers requests with help; None if the artifact answers itself.
        keys: API keys that clients may show.
        metrics: told of everything.
    """

    def __init__(
        self,
        settings: ServeSettings,
        shelf: Shelf,
        upstream: Upstream | LocalModel | None,
        keys: list[str],
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.shelf = shelf
        self.upstream = upstream
        self.gate = Gate(keys, settings.concurrency, settings.concurrency_per_key)
        self.metrics = metrics
        self._log: LogWriter | None = None
        self._under_way: set[asyncio.Task[Any]] = set()
        self._cut_off = 0
        self._shadows: set[asyncio.Task[None]] = set()
        metrics.in_flight.set_function(lambda: self.gate.inside)

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncGenerator[None, None]:
        """Open the upstream and the log, watch the artifact, and put all of it away after the last request."""
        del app
        settings = self.settings
        if isinstance(self.upstream, Upstream):
            await self.upstream.open()
        if settings.log is not None:
            self._log = LogWriter(settings.log, self.metrics.log_lost.inc)
        watch = asyncio.create_task(self.shelf.watch(settings.reload)) if settings.reload else None
        try:
            yield
        finally:
            if watch is not None:
                watch.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            if self._cut_off:
                _log.warning(
                    "stopped; %d requests were cut off after --drain %d seconds", self._cut_off, settings.drain
                )
            else:
                _log.info("stopped; every request under way was finished first")
            await asyncio.gather(*self._shadows)
            if self._log is not None:
                self._log.close()
            if isinstance(self.upstream, Upstream):
                await self.upstream.close()
            elif self.upstream is not None:
                self.upstream.close()
            self.shelf.current.retire()

    async def chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/chat/completions`."""
        exchange = Exchange(Headers(scope=scope))
        try:
            with self._inside(exchange.headers):
                content = await read_body(exchange.headers, receive, self.settings.max_body)
                await while_connected(receive, self._chat(exchange, content, scope, send))
        except ApiError as error:
            if exchange.first_byte is None:
                exchange.begin_answer(error.status)
                await send_error(send, error, exchange.said())
        except BrokenOff as error:
            _log.warning("request %s: %s; the client's connection is closed", exchange.request, error)
        except ClientGone:
            pass
        except Exception:
            if exchange.first_byte is None:
                exchange.begin_answer(500)  # which Starlette sends
            raise
        finally:
            exchange.end(self.metrics)
            self._record(exchange)

    async def models(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `GET /v1/models` and `GET /v1/models/NAME`."""
        headers = Headers(scope=scope)
        try:
            with self._inside(headers):
                await while_connected(receive, self._models(scope, send))
        except ApiError as error:
            await send_error(send, error)
        except (BrokenOff, ClientGone) as error:
            _log.info("list of models not sent: %s", error)

    async def health(self, request: HttpRequest) -> Response:
        """Say that the server is there, and with what."""
        del request
        edition = self.shelf.current
        about = {"method": edition.artifact.method, "recipe": edition.artifact.recipe, "artifact": edition.digest}
        reply = json_reply({"status": "ok", **about})
        return Response(b"".join([chunk async for chunk in reply.chunks]), media_type="application/json")

    async def show_metrics(self, request: HttpRequest) -> Response:
        """Show the counters."""
        del request
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @contextmanager
    def _inside(self, headers: Headers) -> Generator[None]:
        """Hold a place for the request of this task, whose cancelling means that a stop has waited long enough for it.

        Raises:
            ApiError: it is not let in, or it is cut off.
        """
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        with self.gate.admit(headers.get("authorization")):
            try:
                yield
            except asyncio.CancelledError as error:
                self._cut_off += 1
                told = "The server stops, and the answer was not there in time"
                raise ApiError(503, told, "stopped", None, {"retry-after": "1"}) from error

    async def _chat(self, exchange: Exchange, content: bytes, scope: Scope, send: Send) -> None:
        exchange.body = body = parse_body(content)
        if self._log is not None:
            exchange.capture = Capture()
        with self.shelf.current.in_use() as edition:
            exchange.artifact = edition.digest
            self._draw(exchange)
            if edition.model is not None:
                exchange.help = Help("answered")
                await self._relay(exchange, await edition.model.answer(body), send)
                return
            content = await self._helped(exchange, edition, content)
            if isinstance(self.upstream, LocalModel):
                await self._relay(exchange, await self.upstream.answer(parse_body(content)), send)
                return
            assert self.upstream is not None
            query = scope["query_string"].decode("latin-1")
            async with self.upstream.send("POST", "/chat/completions", query, scope["headers"], content) as reply:
                await self._relay(exchange, reply, send)

    def _draw(self, exchange: Exchange) -> None:
        settings = self.settings
        if settings.log is None:
            return  # nobody would know of it, and to hash long conversations takes time
        try:
            unit = unit_of(exchange.body, exchange.headers, settings.split_by)
            exchange.prompt = content_hash(exchange.body.get("messages"))
        except RecursionError as error:
            raise ApiError(400, "The messages are nested too deeply", "invalid_value", "messages") from error
        exchange.unit, exchange.arm = draw(unit, settings.share, settings.experiment)

    async def _helped(self, exchange: Exchange, edition: Edition, content: bytes) -> bytes:
        """Return the body to send: the one that came, unless help was added to it."""
        assert edition.helper is not None
        exchange.help = Help("late")  # what it stays if the client leaves, or a stop cuts it off, before the help comes
        if exchange.headers.get(_OPT_OUT_HEADER, "").lower() == "off":
            exchange.help = Help("off")
        elif exchange.arm == "plain":
            exchange.help = Help("control")
        elif self.settings.shadow:
            exchange.shadow = asyncio.create_task(self._shadow(exchange, edition))
            self._shadows.add(exchange.shadow)
        else:
            exchange.help = await add_help_in_time(edition.helper, exchange.body, self.settings.deadline)
            return exchange.help.content or content
        return content

    async def _shadow(self, exchange: Exchange, edition: Edition) -> None:
        assert edition.helper is not None
        with edition.in_use():
            exchange.help = await add_help_in_time(edition.helper, exchange.body, self.settings.deadline)

    async def _relay(self, exchange: Exchange, reply: Reply, send: Send) -> None:
        exchange.begin_answer(reply.status)
        headers = [*reply.headers, *exchange.said()]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        async for chunk in reply.chunks:
            if exchange.capture is not None:
                exchange.capture.add(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        exchange.complete = True
        await send({"type": "http.response.body", "body": b""})

    async def _models(self, scope: Scope, send: Send) -> None:
        name: str | None = scope["path_params"].get("name")
        local = self.shelf.current.model or self.upstream
        if isinstance(local, LocalModel):
            entry = model_entry(local.name, local.created)
            if name is not None:
                local.check_name(name)
            reply = json_reply({"object": "list", "data": [entry]} if name is None else entry)
            await send_reply(send, reply)
            return
        assert local is not None
        if name is not None and not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise ApiError(404, f"There is no model {name[:100]!r}", "model_not_found")  # nor a way out of /models
        path = "/models" if name is None else f"/models/{quote(name)}"
        query = scope["query_string"].decode("latin-1")
        async with local.send("GET", path, query, scope["headers"]) as reply:
            await send_reply(send, reply)

    def _record(self, exchange: Exchange) -> None:
        """Count and log a chat request; if its help is worked out in the shadow, when that has come to its end."""
        if exchange.shadow is not None and not exchange.shadow.done():
            exchange.shadow.add_done_callback(lambda _: self._record(exchange))
            return
        if exchange.shadow is not None:
            self._shadows.discard(exchange.shadow)
        exchange.count_help(self.metrics)
        if self._log is not None and exchange.unit:
            self._log.write(exchange.row(self.settings.log_content))


def application(service: Service) -> Starlette:
    """Return the web application."""
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", Raw(service.chat), methods=["POST"]),
            Route("/v1/models", Raw(service.models), methods=["GET"]),
            Route("/v1/models/{name:path}", Raw(service.models), methods=["GET"]),
            Route("/health", service.health),
            Route("/metrics", service.show_metrics),
        ],
        exception_handlers={HTTPException: _in_protocol},
        lifespan=service.running,
    )
    app.router.redirect_slashes = False
    return app


async def _in_protocol(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = f"There is no {request.method} {request.url.path[:200]} here; see /v1/chat/completions and /v1/models"
    refused = ApiError(error.status_code, told, "unknown_url")
    return Response(refused.encoded(), error.status_code, error.headers, "application/json")
