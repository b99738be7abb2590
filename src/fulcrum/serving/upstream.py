"""The upstream over HTTP: requests go out and answers come back as they are, byte for byte."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from fulcrum.serving.errors import ApiError, BrokenOff
from fulcrum.serving.replies import RawHeaders, Reply

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers about one connection, not about the message (RFC 9110, section 7.6.1)."""

_OURS_TO_SET = frozenset({b"host", b"content-length", b"expect"})
_IDLE_SECONDS = 4.0
"""Shorter than the 5 s after which uvicorn, and so vLLM, closes idle connections: we never write into a closing one."""

_LARGE = 1 << 20


class Upstream:
    """A server that speaks the OpenAI protocol.

    Args:
        url: its base address, such as `http://localhost:8000/v1`.
        key: API key shown to it in place of the client's.
        forward_key: true if the client's own key is for the upstream, not for us.
        timeout: seconds that it may be silent.
        read_replies: true if we want to read its answers: then it is not offered to compress them.
    """

    def __init__(self, url: str, *, key: str | None, forward_key: bool, timeout: float, read_replies: bool) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._forward_key = forward_key
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(timeout, 10.0), sock_read=timeout)
        self._dropped = _OURS_TO_SET | ({b"accept-encoding"} if read_replies else set[bytes]())
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Get ready to connect."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=self._timeout,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def send(
        self, method: str, path: str, query: str, headers: RawHeaders, content: bytes | None = None
    ) -> AsyncGenerator[Reply, None]:
        """Send a request on and return the answer as soon as it begins; leaving early closes the connection.

        Raises:
            ApiError: 502 or 504, if there is no answer.
        """
        assert self._session is not None
        url = URL(f"{self._url}{path}" + (f"?{query}" if query else ""), encoded=True)
        # A body that is not small goes out piece by piece, so that others get their turn on the event loop.
        data = io.BytesIO(content) if content is not None and len(content) > _LARGE else content
        try:
            response = await self._session.request(
                method, url, headers=self._outgoing(headers), data=data, allow_redirects=False
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _no_answer(error) from error
        async with response:
            yield Reply(response.status, end_to_end(response.raw_headers, {b"date"}), _body_of(response))

    def _outgoing(self, headers: RawHeaders) -> list[tuple[str, str]]:
        # aiohttp writes headers as UTF-8.
        kept = [
            (name.decode(), value.decode(errors="replace"))
            for name, value in end_to_end(headers, self._dropped)
            if not name.startswith(b"x-fulcrum") and (name != b"authorization" or self._forward_key)
        ]
        if self._key is not None:
            kept = [(name, value) for name, value in kept if name != "authorization"]
            kept.append(("authorization", f"Bearer {self._key}"))
        return kept


def end_to_end(headers: Iterable[tuple[bytes, bytes]], dropped: Iterable[bytes] = ()) -> RawHeaders:
    """Return the headers that belong to the message, names in lower case.

    Args:
        headers: all headers.
        dropped: names, in lower case, to leave out besides those that belong to the connection.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    unwanted = _HOP_BY_HOP.union(dropped)
    for name, value in lowered:
        if name == b"connection":
            unwanted |= {word.strip().lower() for word in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in unwanted]


async def _body_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise BrokenOff(f"{type(error).__name__} in the middle of the answer") from error


def _no_answer(error: Exception) -> ApiError:
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return ApiError(504, "The upstream did not answer in time", "upstream_timeout")
    told = f"The upstream could not be reached, or broke off before it answered ({type(error).__name__})"
    return ApiError(502, told, "upstream_unavailable")
