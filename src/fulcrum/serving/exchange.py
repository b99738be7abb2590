"""One request and its answer, as far as they have come: what headers, metrics and log are made from."""

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers

from fulcrum.serving.capture import Capture
from fulcrum.serving.helping import Help
from fulcrum.serving.log import LogRow
from fulcrum.serving.metrics import Metrics
from fulcrum.serving.replies import RawHeaders
from fulcrum.serving.split import Arm
from fulcrum.serving.wire import Body

_LONGEST_FACTS = 2000
_CLIENT_GONE = 499


class Exchange:
    """What is known of one chat request; filled in as it goes.

    Args:
        headers: of the request.
    """

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.request = uuid.uuid4().hex
        self.body: Body = {}
        self.unit = ""
        self.arm: Arm = "help"
        self.shadow: asyncio.Task[None] | None = None
        self.prompt = ""
        self.artifact = ""
        self.help: Help | None = None
        self.status = _CLIENT_GONE
        self.complete = False
        self.first_byte: float | None = None
        self.capture: Capture | None = None
        self._time = datetime.now(UTC)
        self._started = time.perf_counter()
        self._total = 0.0

    def said(self) -> RawHeaders:
        """Return the response headers that say what was done.

        In shadow mode nothing was added, so nothing is said of it; facts that make too long a header stay in the log.
        """
        said = {"request": self.request, "artifact": self.artifact}
        if self.shadow is not None:
            said |= {"outcome": "shadow"}
        elif self.help is not None:
            said |= {"outcome": self.help.outcome, "arm": self.arm}
            if self.help.outcome == "added":
                said["added-characters"] = str(len(self.help.added))
            facts = json.dumps(self.help.facts)
            if self.help.facts and len(facts) <= _LONGEST_FACTS:
                said["facts"] = facts
        return [(f"x-fulcrum-{name}".encode(), value.encode()) for name, value in said.items() if value]

    def begin_answer(self, status: int) -> None:
        """Note that the answer begins."""
        self.status = status
        self.first_byte = time.perf_counter() - self._started

    def end(self, metrics: Metrics) -> None:
        """Note that all is over, and count it."""
        self._total = time.perf_counter() - self._started
        metrics.requests.labels(str(self.status)).inc()
        if self.first_byte is not None:
            metrics.first_byte_seconds.observe(self.first_byte)

    def count_help(self, metrics: Metrics) -> None:
        """Count what became of the help."""
        if self.help is not None:
            metrics.help.labels(self.help.outcome, "shadow" if self.shadow is not None else self.arm).inc()
            if self.help.seconds is not None:
                metrics.help_seconds.observe(self.help.seconds)

    def row(self, with_content: bool) -> LogRow:
        """Return the line of the log.

        Args:
            with_content: the texts too.
        """
        assert self.help is not None  # set as soon as the arm is drawn
        help_ = self.help
        messages, model = self.body.get("messages"), self.body.get("model")
        seconds = {"help": help_.seconds, "first_byte": self.first_byte, "total": self._total}
        answer = self.capture.read() if self.capture is not None else None
        content: dict[str, Any] | None = None
        if with_content:
            content = {"messages": messages, "help": help_.added, "reply": answer.text if answer else None}
        return LogRow(
            time=self._time.isoformat(timespec="milliseconds"),
            request=self.request,
            unit=self.unit,
            arm=self.arm,
            outcome=help_.outcome,
            shadow=self.shadow is not None,
            artifact=self.artifact,
            model=model if isinstance(model, str) else "",
            prompt=self.prompt,
            stream=self.body.get("stream") is True,
            status=self.status,
            complete=self.complete,
            seconds={name: round(value, 6) for name, value in seconds.items() if value is not None},
            usage=answer.usage if answer else {},
            finish_reason=answer.finish_reason if answer else None,
            added=len(help_.added),
            facts=help_.facts,
            content=content,
        )
