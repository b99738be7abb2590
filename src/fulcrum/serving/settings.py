"""What an operator can set."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from fulcrum.chat.address import split_address
from fulcrum.settings import Settings

KEYS_ENV = "FULCRUM_API_KEYS"
"""Environment variable that holds the keys clients must show, separated by white space."""


class ServeSettings(Settings):
    """How an artifact is served.

    Attributes:
        upstream: Who answers the requests that help was added to: a base URL such as http://localhost:8000/v1, or a
            model in this process, such as lab:large. Not for an artifact that answers itself.
        upstream_key_env: Environment variable with the API key that the upstream wants.
        host: Address to listen at; 0.0.0.0 is every one.
        port: Port to listen at.
        keys: File with the API keys that clients may show, one a line; the environment variable FULCRUM_API_KEYS
            adds to it. With neither, everyone is let in and a client's own key goes through to the upstream.
        models: Other models for the artifact's roles: --models.generator http://localhost:8001/v1#generator
        deadline: Seconds that adding help may take; then a request goes through as it came.
        batch: Most requests that the artifact is given at once.
        workers: Batches under way at once; more than one only if its models run on another server.
        concurrency: Most requests under way; beyond it clients are told to come back later (503).
        concurrency_per_key: The same for one API key (429); wants keys.
        max_body: Largest request in bytes (413).
        timeout: Seconds that the upstream may be silent, before its answer and within it (504).
        drain: Seconds that requests under way get to finish after a stop.
        reload: Seconds between two looks whether the artifact changed on disk; 0 never looks.
        shadow: Work out the help, log it, and send every request as it came.
        share: Share of conversations, or users, that get help; the others are the comparison. Needs a log.
        split_by: What the share is drawn over.
        experiment: Name of the split; another name draws anew.
        log: JSONL file with a line for each request; texts are left out.
        log_content: Log the texts too: messages, help, reply.
        max_tokens: Limit of an answer of a model in this process, if the request names none.
    """

    upstream: str | None = None
    upstream_key_env: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    keys: Path | None = None
    models: dict[str, str] = Field(default_factory=dict[str, str])
    deadline: float = Field(default=5.0, gt=0)
    batch: int = Field(default=16, ge=1)
    workers: int = Field(default=1, ge=1)
    concurrency: int = Field(default=256, ge=1)
    concurrency_per_key: int | None = Field(default=None, ge=1)
    max_body: int = Field(default=20_000_000, ge=1)
    timeout: float = Field(default=600.0, gt=0)
    drain: int = Field(default=60, ge=0)
    reload: float = Field(default=2.0, ge=0)
    shadow: bool = False
    share: float = Field(default=1.0, ge=0, le=1)
    split_by: Literal["conversation", "user"] = "conversation"
    experiment: str = "fulcrum"
    log: Path | None = None
    log_content: bool = False
    max_tokens: int = Field(default=512, ge=1)

    @property
    def remote(self) -> bool:
        """True if the upstream is reached over HTTP."""
        return self.upstream is not None and self.upstream.startswith(("http://", "https://"))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.remote:
            parts = split_address(self.upstream or "", "variable that upstream_key_env names")
            if parts.fragment:
                raise ValueError(f"upstream {self.upstream!r}: leave out #{parts.fragment}; clients name the model")
            if not parts.hostname or parts.query:
                raise ValueError(f"upstream {self.upstream!r} is not a base URL such as http://localhost:8000/v1")
        elif self.upstream_key_env:
            raise ValueError("upstream_key_env is for an upstream over HTTP")
        if self.share < 1 and self.log is None:
            raise ValueError("share splits the requests, but nothing would tell how they fared; set log too")
        if self.share < 1 and self.shadow:
            raise ValueError("shadow sends no help to anyone, so there is nothing to split; set share or shadow")
        if self.log_content and self.log is None:
            raise ValueError("log_content has no log to write to; set log too")
        return self
