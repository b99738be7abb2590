"""Models behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`, hosted APIs."""

import random
import threading
from collections.abc import Awaitable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlunsplit

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from fulcrum.chat.address import DEFAULT_KEY, EndpointSettings, read_key, split_address
from fulcrum.chat.completion import Completion, Failure, Usage
from fulcrum.chat.limiter import Limiter
from fulcrum.chat.model import Finished, Request
from fulcrum.chat.options import split_options
from fulcrum.chat.protocol import Dialect, read_models, read_reply, request_body
from fulcrum.chat.trouble import Trouble, read_error, shorten
from fulcrum.errors import ModelError, SettingsError
from fulcrum.settings import Document, nearest, read_settings

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai._legacy_response import LegacyAPIResponse

_LONGEST_BACKOFF = 30.0
_SHORTEST_SECRET = 8
"""Characters; a shorter key, such as "EMPTY", opens nothing and may be a word of the server's."""


def open_model(name: str) -> "EndpointModel":
    """Return the model that `http(s)://HOST[:PORT]/v1[?OPTIONS]#MODEL` names; nothing is sent yet.

    Raises:
        ModelError: the name is not of this form, or an option cannot work.
    """
    form = "http(s)://HOST[:PORT]/v1[?OPTIONS]#MODEL"
    try:
        parts = split_address(name, f"variable {DEFAULT_KEY}, or into another and name it: ?key_env=NAME")
    except SettingsError as error:
        raise ModelError(f"{error}; the form is {form}") from error
    if not parts.hostname or not parts.fragment:
        missing = "host" if not parts.hostname else "model after #"
        raise ModelError(f"{name!r} names no {missing}; the form is {form}")
    _, options = split_options(name.partition("#")[0], EndpointSettings.model_fields)
    try:
        settings = read_settings(EndpointSettings, Document(dict(options), f"model {name!r}"))
    except SettingsError as error:
        raise ModelError(str(error)) from error
    url = urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))
    return EndpointModel(name, url, parts.fragment, settings)


class EndpointModel:
    """A model behind an OpenAI-compatible server, called through the `openai` SDK.

    All calls of all threads share one event loop in the background, one pool of connections and one limiter.

    Args:
        name: name that `fulcrum.chat.resolve` understands.
        url: base address, such as `http://localhost:8000/v1`.
        model: the server's name for the model.
        settings: time limits and retries.
    """

    def __init__(self, name: str, url: str, model: str, settings: EndpointSettings | None = None) -> None:
        self.url = url
        self.model = model
        self.settings = settings or EndpointSettings()
        self._name = name
        self._dialect = Dialect(thinking=self.settings.thinking == "template")
        self._limiter = Limiter(self.settings.concurrency)
        self._opening = threading.Lock()
        self._stack = ExitStack()
        self._opened: tuple[BlockingPortal, AsyncOpenAI] | None = None
        self._key = ""

    @property
    def name(self) -> str:
        """The full name, options included."""
        return self._name

    def identity(self, request: Request) -> dict[str, str]:
        """Return the address, the model (or adapter) and who switches thinking."""
        return {"endpoint": self.url, "model": self._model_of(request), **self.settings.identity()}

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer every request; `requests` is read in the caller's thread, as places for calls become free.

        Closing the iterator early cancels the calls that are under way.

        Raises:
            ModelError: the API key is missing, or cannot be one.
        """
        portal, _ = self._open()
        news: SimpleQueue[int | None] = SimpleQueue()
        resting = _Resting(news)
        pending: dict[int, Future[Completion]] = {}
        source = enumerate(requests)
        more = True
        try:
            while True:
                while more and self._has_room(len(pending), resting.count):
                    if (item := next(source, None)) is None:
                        more = False
                        break
                    index, request = item
                    pending[index] = portal.start_task_soon(self._answer, request, resting)
                    pending[index].add_done_callback(lambda _, index=index: news.put(index))
                if not pending:
                    return
                if done := _arrived(news):
                    yield [(index, pending.pop(index).result()) for index in done]
        finally:
            for future in pending.values():
                future.cancel()

    def list_models(self) -> list[str]:
        """Return the names of the models that the server offers.

        Raises:
            ModelError: the server cannot be reached, or does not list models.
        """
        portal, _ = self._open()
        names = portal.call(self._list_models)
        if isinstance(names, Trouble):
            raise ModelError(f"{self.url} does not list its models: {self._failure(names).detail}")
        return names

    def ping(self) -> Failure | None:
        """Return why the server cannot be used, as far as its list of models tells, or None if it can.

        An empty list tells nothing: `transformers serve` gives one for a model that it loads from a folder.
        """
        portal, _ = self._open()
        names = portal.call(self._list_models)
        if isinstance(names, Trouble):
            return self._failure(names)
        if not names or self.model in names:
            return None
        offered = ", ".join(names[:20])
        return Failure(
            "server", f"{self.url} lists no model {self.model!r}{nearest(self.model, names)}; it has {offered}"
        )

    def close(self) -> None:
        """Cancel what is under way, close the connections and end the background thread."""
        with self._opening:
            self._opened = None
            self._stack.close()

    def _model_of(self, request: Request) -> str:
        # A server offers a loaded adapter as a model of its own name.
        return request.adapter or self.model

    def _open(self) -> "tuple[BlockingPortal, AsyncOpenAI]":
        with self._opening:
            if self._opened is None:
                from openai import AsyncOpenAI

                self._key = self._read_key()
                client = AsyncOpenAI(
                    base_url=self.url,
                    api_key=self._key or "none",  # local servers want no key; the SDK insists on one
                    max_retries=0,
                    timeout=self.settings.timeout,
                )
                portal = self._stack.enter_context(start_blocking_portal("asyncio", name="fulcrum-endpoint"))
                self._stack.callback(portal.call, portal.stop, True)
                self._stack.callback(portal.call, client.close)
                self._opened = portal, client
            return self._opened

    def _read_key(self) -> str:
        variable = self.settings.key_env
        try:
            key = read_key(variable)
        except SettingsError as error:
            raise ModelError(f"{self.name!r}: {error}") from error
        if key is None and variable != DEFAULT_KEY:
            raise ModelError(
                f"{self.name!r} takes its API key from the environment variable {variable}, which is not set"
            )
        return key or ""

    def _failure(self, trouble: Trouble) -> Failure:
        """Return the failure that is kept of a trouble: short, and without the key that a server may repeat."""
        secret = self._key if len(self._key) >= _SHORTEST_SECRET else None
        return Failure(trouble.kind, shorten(trouble.detail.replace(secret, "***") if secret else trouble.detail))

    def _has_room(self, pending: int, resting: int) -> bool:
        limit = self._limiter.limit
        return pending - resting < limit and pending < 2 * limit

    async def _answer(self, request: Request, resting: "_Resting") -> Completion:
        retry, misread, usage = 0, 0, Usage()
        while True:
            async with self._limiter.slot() as slot:
                completion, trouble = await self._try(request)
                completion = replace(completion, usage=(usage := usage + completion.usage))
                if trouble is None or not trouble.passing:
                    slot.answered()
                    return completion
                if trouble.overload:
                    slot.refused()
                if trouble.wait is not None:
                    self._limiter.pause(trouble.wait)
            misread += trouble.misread
            if retry == self.settings.retries or misread > 1:
                return completion
            if not trouble.wait:
                await resting.sleep(_jittered(self.settings.backoff, retry))
            retry += 1

    async def _try(self, request: Request) -> tuple[Completion, Trouble | None]:
        model, dialect = self._model_of(request), self._dialect
        begin = anyio.current_time()
        reply = await self._send(request_body(request, model, dialect))
        while isinstance(reply, Trouble) and (other := dialect.after_refusal(reply)):
            self._dialect = dialect = other
            reply = await self._send(request_body(request, model, dialect))
        seconds = anyio.current_time() - begin
        if isinstance(reply, str):
            reply = read_reply(reply, model, seconds)
        if isinstance(reply, Trouble):
            failure = self._failure(reply)
            return Completion("", "error", reply.usage, seconds, model, failure), reply
        return reply, None

    async def _send(self, body: dict[str, Any]) -> str | Trouble:
        _, client = self._open()
        rest = {key: value for key, value in body.items() if key not in ("model", "messages")}
        return await self._exchange(
            client.chat.completions.with_raw_response.create(
                model=body["model"], messages=body["messages"], extra_body=rest
            )
        )

    async def _list_models(self) -> list[str] | Trouble:
        _, client = self._open()
        reply = await self._exchange(client.models.with_raw_response.list())
        return read_models(reply) if isinstance(reply, str) else reply

    async def _exchange(self, call: "Awaitable[LegacyAPIResponse[Any]]") -> str | Trouble:
        """Wait for one reply, from connecting to its last byte, and return its text."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        late = Trouble("timeout", f"no complete answer from {self.url} within {self.settings.timeout:g} s")
        try:
            with anyio.fail_after(self.settings.timeout):
                return (await call).http_response.text
        except (TimeoutError, APITimeoutError):
            return late
        except UnicodeEncodeError as error:
            return Trouble("invalid", f"not sent, because it cannot be written as UTF-8: {error}", lasting=True)
        except APIConnectionError as error:
            return Trouble("server", f"no answer from {self.url}: {error.__cause__ or error}")
        except APIStatusError as error:
            return read_error(error.status_code, error.response.headers, error.response.text)


class _Resting:
    """Counts calls that wait between two tries: they take no place, so others may go ahead."""

    def __init__(self, news: "SimpleQueue[int | None]") -> None:
        self.count = 0
        self._news = news

    async def sleep(self, seconds: float) -> None:
        self.count += 1
        self._news.put(None)
        try:
            await anyio.sleep(seconds)
        finally:
            self.count -= 1


def _arrived(news: "SimpleQueue[int | None]") -> list[int]:
    """Wait for news and return the calls that have finished; there is none if a call only began to rest."""
    heard = [news.get()]
    while not news.empty():
        heard.append(news.get())
    return [index for index in heard if index is not None]


def _jittered(first: float, retry: int) -> float:
    """Return the seconds to wait before a retry; random, so that calls that failed together do not return together."""
    return min(first * 2**retry, _LONGEST_BACKOFF) * random.uniform(0.5, 1.0)
