"""Run the endpoint until it is told to stop."""

import logging
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from fulcrum.artifact import read_artifact
from fulcrum.chat import resolve
from fulcrum.chat.address import read_key
from fulcrum.errors import SettingsError
from fulcrum.listen import address_of, take_address
from fulcrum.serving.app import Service, application
from fulcrum.serving.editions import Edition, Shelf, open_edition
from fulcrum.serving.gate import read_keys
from fulcrum.serving.local import LocalModel
from fulcrum.serving.log import LogWriter
from fulcrum.serving.metrics import Metrics
from fulcrum.serving.settings import KEYS_ENV, ServeSettings
from fulcrum.serving.upstream import Upstream

_log = logging.getLogger(__name__)

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_IDLE_SECONDS = 75
"""Longer than clients and load balancers keep an idle connection: they close it, and never write into a closing one."""


def build(folder: Path, settings: ServeSettings) -> Starlette:
    """Open an artifact, or a run that holds one, and return the web application that serves it.

    Raises:
        FulcrumError: the artifact or a setting cannot work.
    """
    metrics = Metrics()
    keys = read_keys(settings.keys)
    if settings.concurrency_per_key is not None and not keys:
        raise SettingsError(
            f"--concurrency-per-key: there are no keys to tell clients apart by; set --keys FILE or {KEYS_ENV}, or "
            "limit all clients together with --concurrency"
        )
    if settings.log is not None:
        LogWriter(settings.log, metrics.log_lost.inc).close()  # one that cannot be opened is refused before models load
    upstream = _upstream(settings, keys, metrics)

    def reopen() -> Edition:
        return open_edition(folder, settings, metrics)

    shelf = Shelf(read_artifact(folder).folder, reopen, metrics)
    return application(Service(settings, shelf, upstream, keys, metrics))


def serve(folder: Path, settings: ServeSettings) -> None:
    """Serve an artifact until SIGTERM or Ctrl-C; requests under way are finished first.

    Raises:
        FulcrumError: the artifact or a setting cannot work.
    """
    with take_address(settings.host, settings.port) as listener:  # before models are loaded for nothing
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        app = build(folder, settings)
        if settings.host not in _LOOPBACK and not read_keys(settings.keys):
            _log.warning("%s can be reached from elsewhere, and no API keys are set: everyone is let in", settings.host)
        listener.listen()
        _log.info("serving at %s/v1", address_of(listener))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=settings.drain,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _upstream(settings: ServeSettings, keys: list[str], metrics: Metrics) -> Upstream | LocalModel | None:
    if settings.upstream is None:
        return None
    if not settings.remote:
        return LocalModel(settings.upstream, resolve(settings.upstream), settings, metrics.batch_size.observe)
    key, variable = None, settings.upstream_key_env
    if variable is not None and not (key := read_key(variable)):
        raise SettingsError(f"--upstream-key-env: the environment variable {variable} is not set, or empty")
    return Upstream(
        settings.upstream,
        key=key,
        forward_key=not keys,
        timeout=settings.timeout,
        read_replies=settings.log is not None,
    )
