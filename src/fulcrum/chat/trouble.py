"""Why a try of a call brought no answer, read from the words of the many servers of the one protocol."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from fulcrum.chat.completion import FailureKind, Usage

_KIND_OF_CODE: Mapping[str, FailureKind] = {
    "content_filter": "refused",
    "context_length_exceeded": "too_long",
    "invalid_prompt": "invalid",
}
_BAD_REQUEST = frozenset({400, 403, 422})
_OVERLOAD = frozenset({429, 503, 529})
_PASSING = frozenset({408, 409, 425, 429})
_LONGEST_WAIT = 120.0
_SHOWN = 300

_FIELDS = ("max_tokens", "logprobs", "seed", "temperature", "top_p")
"""Fields of a request that some servers do not take."""
_NO = (
    r"(?:unsupported|(?:not|n.t) (?:a |be )?(?:support|allow|permit|enable|available)\w*|deprecated|extra_forbidden"
    r"|(?:unknown|unrecognized|unexpected|extra) (?:\w+ )?(?:name|param|arg|field|keyword|property|input)\w*"
    r"|only .{0,30}(?:allowed|supported|set))"
)
_OUT_OF_RANGE = re.compile(
    r"\b(?:range|between|above|below|\w+er than|less than|at most|at least|maximum|minimum|exceed\w*)\b"
)
_TOO_LONG = re.compile(
    r"maximum (?:context|model) length|prompt is too long"
    r"|(?:longer than|exceeds?) [^.]{0,30}context (?:length|size|window)"
)
_ECHO = re.compile(r"""['"](?:input|body)['"]\s*:""")
"""Where a validation error begins to repeat what it was sent, a prompt with any words included."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a try of a call brought no answer of the model.

    Attributes:
        kind: the failure that it is, if no other try goes better.
        detail: the server's own words where there are any, at whatever length.
        status: HTTP status; None if there was no reply, or one with status 200 that is not the protocol.
        wait: seconds that the endpoint asks everybody to wait.
        lasting: whether the server said that waiting will not help.
        unsupported: the field of the request that the server does not take, whatever its value; `top_p=1` if it takes
            no `top_p` beside a temperature, so that one that cuts nothing can be left out.
        misread: whether this is a whole reply that does not fit the protocol: paid for, as another would be.
        usage: tokens that the reply took all the same.
    """

    kind: FailureKind
    detail: str
    status: int | None = None
    wait: float | None = None
    lasting: bool = False
    unsupported: str | None = None
    misread: bool = False
    usage: Usage = field(default_factory=Usage)

    @property
    def passing(self) -> bool:
        """True if another try may go better."""
        if self.lasting or (self.wait is not None and self.wait > _LONGEST_WAIT):
            return False
        return self.status is None or self.status in _PASSING or self.status >= 500

    @property
    def overload(self) -> bool:
        """True if the endpoint was too busy to take the call."""
        return self.status in _OVERLOAD


def read_error(status: int, headers: Mapping[str, str], text: str) -> Trouble:
    """Return what a reply with an error status amounts to."""
    code, parameter, message = _error_of(text)
    said = message.strip() or "no content"
    detail = f"HTTP {status}: {said}"
    if code in _KIND_OF_CODE:
        return Trouble(_KIND_OF_CODE[code], detail, status)
    if status in _BAD_REQUEST and _TOO_LONG.search(_own_words(message)):
        return Trouble("too_long", detail, status)
    if status == 429:
        wait = retry_after(headers, datetime.now(UTC))
        if wait is not None and wait > _LONGEST_WAIT:
            detail = f"HTTP {status} (asks to wait {wait:.0f} s): {said}"
        return Trouble("rate_limit", detail, status, wait, lasting=code == "insufficient_quota")
    kind: FailureKind = "timeout" if status in (408, 504) else "server"
    unsupported = _unsupported(f"{code} {parameter}: {message}") if status in _BAD_REQUEST else None
    return Trouble(kind, detail, status, retry_after(headers, datetime.now(UTC)), unsupported=unsupported)


def _own_words(message: str) -> str:
    return _ECHO.split(message)[0].lower()


def _unsupported(message: str) -> str | None:
    """Return the field that a refusal says is not taken at all; a value that is out of range is the caller's error."""
    said = _own_words(message)
    if "max_completion_tokens" in said:
        return "max_tokens"
    if "cannot both" in said and "top_p" in said:
        return "top_p=1"
    if _OUT_OF_RANGE.search(said):
        return None
    near = r"[^{}]{0,60}"  # braces hold what the server repeats
    for name in _FIELDS:
        if re.search(rf"\b{name}\b{near}{_NO}|{_NO}(?: parameters: {{)?{near}\b{name}\b", said):
            return name
    return None


def _error_of(text: str) -> tuple[str, str, str]:
    """Return code, parameter and message of an error reply, in the forms that servers give it."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return "", "", text
    if isinstance(data, list):
        data = next(iter(cast("list[Any]", data)), None)  # Gemini gives a list of one
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    error: Any = fields.get("error", fields)
    if not isinstance(error, dict):
        return "", "", str(error)
    known = cast("dict[str, Any]", error)
    message = known.get("message") or known.get("detail")
    return str(known.get("code")), str(known.get("param")), message if isinstance(message, str) else text


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait, given as seconds or as an HTTP date, or None."""
    given = headers.get("retry-after")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            until = parsedate_to_datetime(given)
        except ValueError:
            return None
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    return None if math.isnan(seconds) else max(0.0, seconds)


def shorten(text: str) -> str:
    """Return a server's words on one line, fit for a failure's detail."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."
