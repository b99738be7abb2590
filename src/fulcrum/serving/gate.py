"""Who is let in, and how many at once."""

import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fulcrum.errors import SettingsError
from fulcrum.serving.errors import ApiError
from fulcrum.serving.settings import KEYS_ENV

_RETRY_AFTER = {"retry-after": "1"}


def read_keys(path: Path | None) -> list[str]:
    """Return the keys of a file (one a line; `#` begins a remark) and of the environment.

    Raises:
        SettingsError: the file cannot be read, or holds no key.
    """
    keys = os.environ.get(KEYS_ENV, "").split()
    if path is not None:
        try:
            lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"--keys {path}: cannot be read: {error}") from error
        if not any(lines):
            raise SettingsError(f"--keys {path}: holds no key; write one a line")
        keys += [line for line in lines if line]
    return keys


class Gate:
    """Lets requests in: those with a known key, and only so many.

    Only digests of the keys are kept. A given key is compared with every one of them in constant time, so that the
    time of a refusal tells nothing about the keys.

    Args:
        keys: the keys that open it; with none it is open to all.
        limit: most requests inside.
        limit_per_key: most requests inside that came with the same key.
    """

    def __init__(self, keys: Sequence[str], limit: int, limit_per_key: int | None = None) -> None:
        self.locked = bool(keys)
        self.inside = 0
        self._digests = [_digest(key.encode()) for key in dict.fromkeys(keys)]
        self._limit = limit
        self._limit_per_key = limit_per_key
        self._inside_by_key: Counter[int] = Counter()

    def identify(self, authorization: str | None) -> int:
        """Return which key an `Authorization` header shows.

        Raises:
            ApiError: 401, if none is shown or it is unknown.
        """
        if not self.locked:
            return 0
        scheme, _, token = (authorization or "").partition(" ")
        given, found = _digest(token.strip().encode("utf-8", "surrogateescape")), None
        for number, digest in enumerate(self._digests):
            if hmac.compare_digest(digest, given):
                found = number
        if found is None or scheme.lower() != "bearer":
            told = "The API key is unknown" if authorization else "An API key is missing"
            raise ApiError(401, f"{told}; send it as 'Authorization: Bearer KEY'", "invalid_api_key", None, _CHALLENGE)
        return found

    @contextmanager
    def admit(self, authorization: str | None) -> Generator[None]:
        """Hold a place for one request.

        Raises:
            ApiError: 401 without a known key, 429 if the key has too many requests under way, 503 if all have.
        """
        key = self.identify(authorization)
        if self._limit_per_key is not None and self._inside_by_key[key] >= self._limit_per_key:
            told = f"{self._limit_per_key} requests of this API key are under way, which is its limit; wait for one"
            raise ApiError(429, told, "rate_limit_exceeded", None, _RETRY_AFTER)
        if self.inside >= self._limit:
            told = f"{self._limit} requests are under way, which is the limit of this server; try again"
            raise ApiError(503, told, "overloaded", None, _RETRY_AFTER)
        self.inside += 1
        self._inside_by_key[key] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._inside_by_key[key] -= 1


_CHALLENGE = {"www-authenticate": "Bearer"}


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
