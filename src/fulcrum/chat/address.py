"""How an endpoint is called: the options of its name, and which of them can change an answer."""

import os
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field

from fulcrum.errors import SettingsError
from fulcrum.settings import Settings

DEFAULT_KEY = "OPENAI_API_KEY"

_CALLING = frozenset({"timeout", "concurrency", "retries", "backoff", "key_env"})
"""Options that say how a call is made; every other one belongs to the identity of the model."""


class EndpointSettings(Settings):
    """Options of an endpoint's name, `http://HOST/v1?timeout=60&concurrency=32#MODEL`.

    Attributes:
        timeout: seconds that one try of a call may take, from connecting to the last byte.
        concurrency: most calls under way at once; the true number is discovered, see `Limiter`.
        retries: further tries after a timeout, a dropped connection, a broken reply, or a status that may pass.
        backoff: seconds before the first retry, doubled each time, unless the endpoint says how long to wait.
        key_env: environment variable that holds the API key.
        thinking: `template` sends `Sampling.thinking` to the chat template; by default the server decides.
    """

    timeout: float = Field(default=120.0, gt=0)
    concurrency: int = Field(default=64, ge=1)
    retries: int = Field(default=5, ge=0)
    backoff: float = Field(default=0.5, ge=0)
    key_env: str = DEFAULT_KEY
    thinking: Literal["server", "template"] = "server"

    def identity(self) -> dict[str, str]:
        """Return the options that can change an answer and are not at their defaults."""
        return self.model_dump(exclude=set(_CALLING), exclude_defaults=True)


def split_address(name: str, way_out: str) -> SplitResult:
    """Return the parts of an endpoint's address, whatever its path and what stands behind it.

    Args:
        name: the address.
        way_out: the environment variable that its key can be put into instead.

    Raises:
        SettingsError: no address is like that, or it holds a password.
    """
    try:
        parts = urlsplit(name)
        _ = parts.port  # read only here, so that one that is no port is refused
    except ValueError as error:
        raise SettingsError(f"{name!r} has an address that cannot work: {error}") from error
    if parts.username or parts.password:
        raise SettingsError(
            f"the endpoint at {parts.hostname} is given with a password in its name, which would be written to logs "
            f"and run folders; put the key into the environment {way_out}"
        )
    return parts


def read_key(variable: str) -> str | None:
    """Return the API key in an environment variable, without the space around it; None if it is not set.

    Raises:
        SettingsError: it cannot be a key.
    """
    key = os.environ.get(variable)
    if key is None:
        return None
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError(
            f"the API key in the environment variable {variable} holds a character that no key has, such as a line "
            "break or a curly quote; set the variable again"
        )
    return key


def identity_of(name: str) -> str:
    """Return a model's name without what says only how an endpoint is called: two such names give the same answers.

    >>> identity_of("https://host/v1?timeout=60&thinking=template#model")
    'https://host/v1?thinking=template#model'
    """
    if not name.startswith(("http:", "https:")):
        return name
    address, separator, model = name.partition("#")
    place, _, query = address.partition("?")
    kept = "&".join(option for option in query.split("&") if option.partition("=")[0] not in _CALLING)
    return f"{place}{'?' * bool(kept)}{kept}{separator}{model}"
