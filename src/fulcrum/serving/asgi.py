"""The few things between a request and its connection."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fulcrum.serving.errors import ApiError, ClientGone
from fulcrum.serving.replies import RawHeaders, Reply

_BODY_SECONDS = 60.0
"""A client that sends more slowly holds a place for nothing."""


class Raw:
    """An ASGI application as endpoint of a route: Starlette takes a plain method for a function of one request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        await self._app(scope, receive, send)


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """Return the whole body of a request.

    Args:
        headers: of the request.
        receive: its channel.
        limit: most bytes.

    Raises:
        ApiError: 413 if it is larger, 408 if it does not come.
        ClientGone: the client left before its end.
    """
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as error:
        raise ApiError(408, f"The body did not arrive within {_BODY_SECONDS:g} s", "timeout") from error


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, and cancel it when the client leaves; only for a request whose body has been read.

    Raises:
        ClientGone: the client left first.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_departure(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        task.result()
    finally:
        for either in (task, gone):
            either.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def send_reply(send: Send, reply: Reply, extra: RawHeaders | None = None) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, *(extra or ())]})
    async for chunk in reply.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def send_error(send: Send, error: ApiError, extra: RawHeaders | None = None) -> None:
    """Send an error in the protocol's shape."""
    content = error.encoded()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        *((name.encode(), value.encode()) for name, value in error.headers.items()),
        *(extra or ()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_large(limit: int) -> ApiError:
    told = f"The body is larger than {limit} bytes, which is the limit of this server"
    return ApiError(413, told, "request_too_large", None, {"connection": "close"})
