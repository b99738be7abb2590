"""Errors of the served API, in the shape that clients of the OpenAI protocol read."""

import json
from collections.abc import Mapping
from typing import Any

_TYPES = {429: "rate_limit_error"}


class ApiError(Exception):
    """A request that cannot be answered.

    Args:
        status: HTTP status.
        message: what was given, why it cannot work, what to change.
        code: short name for programs.
        param: the field of the body that is to blame.
        headers: sent along, such as `retry-after`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """Return the body of the reply."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def encoded(self) -> bytes:
        """Return the body of the reply as it is sent."""
        return json.dumps(self.to_json()).encode()


class BrokenOff(Exception):
    """The upstream broke its answer off after it had begun; all there is to do is to break ours off too."""


class ClientGone(Exception):
    """The client closed the connection before its answer was complete."""
