"""The artifact in use: opened, tried, replaced while requests are under way, and closed when the last has gone."""

import asyncio
import logging
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import cast

from fulcrum.artifact import Artifact, Deployed, Rewriter, Rewritten, read_artifact
from fulcrum.chat import ChatModel, Request, Sampling, complete, resolve, user
from fulcrum.errors import FulcrumError, RunError, SettingsError
from fulcrum.hashing import file_hash
from fulcrum.methods import METHODS, load_method
from fulcrum.serving.batching import Batcher
from fulcrum.serving.local import LocalModel
from fulcrum.serving.metrics import Metrics
from fulcrum.serving.replies import check_usable
from fulcrum.serving.settings import ServeSettings
from fulcrum.settings import nearest

_log = logging.getLogger(__name__)

_PROBE = Request((user("Hello, is anybody there?"),), Sampling(max_tokens=1))

RETRY = 60.0
"""Seconds after which what was refused is tried again as it is: a model of it may have been out of reach."""

Helper = Batcher[Request, Rewritten]

State = tuple[tuple[str, int, int], ...]
"""What tells one state of an artifact's files from another: path, size and time of change of each."""


@dataclass(eq=False)
class Edition:
    """One state of an artifact, opened.

    Attributes:
        artifact: its card.
        digest: hash of its files; names it in headers and logs.
        helper: adds to requests for an upstream; or
        model: answers them itself. Exactly one of the two is set.
    """

    artifact: Artifact
    digest: str
    helper: Helper | None
    model: LocalModel | None
    _users: int = 0
    _retired: bool = False

    @contextmanager
    def in_use(self) -> Generator["Edition"]:
        """Keep it open for one request."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            self._close_if_done()

    def retire(self) -> None:
        """Close it as soon as nobody uses it any more."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and self._users == 0:
            for held in (self.helper, self.model):
                if held is not None:
                    held.close()


def open_edition(folder: Path, settings: ServeSettings, metrics: Metrics) -> Edition:
    """Open an artifact and try it.

    Raises:
        FulcrumError: it cannot be read or opened, does not fit the upstream, or fails at a first request.
    """
    artifact = read_artifact(folder)
    digest = file_hash(artifact.folder, 12)
    if artifact.method not in METHODS:
        near = nearest(artifact.method, list(METHODS))
        raise RunError(f"{artifact.folder}: made by the method {artifact.method!r}, which is not installed{near}")
    artifact = replace(artifact, models=_models(artifact, settings.models))
    deployed = load_method(artifact.method).deploy(artifact, resolve)
    if hasattr(deployed, "rewrite"):
        rewriter = cast(Rewriter, deployed)
        _check_upstream(artifact, settings, wanted=True)
        with _first_request(artifact, rewriter):
            (helped,) = rewriter.rewrite([_PROBE])
            check_usable(helped.failure)
        return Edition(artifact, digest, _helper(rewriter, settings, metrics), None)
    _check_upstream(artifact, settings, wanted=False)
    model = cast(ChatModel, deployed)
    with _first_request(artifact, model):
        check_usable(*(completion.failure for completion in complete(model, [_PROBE])))
    local = LocalModel(artifact.recipe, model, settings, metrics.batch_size.observe)
    return Edition(artifact, digest, None, local)


def _models(artifact: Artifact, given: Mapping[str, str]) -> dict[str, str]:
    for role in given:
        if role not in artifact.models:
            near = nearest(role, list(artifact.models))
            roles = ", ".join(artifact.models)
            raise SettingsError(f"--models.{role}: the artifact has no such role{near}; it has {roles}")
    return {**artifact.models, **given}


def _check_upstream(artifact: Artifact, settings: ServeSettings, *, wanted: bool) -> None:
    if wanted and settings.upstream is None:
        raise SettingsError(
            f"{artifact.folder}: {artifact.method} adds help to requests for another model; say where that is: "
            "--upstream http://HOST/v1"
        )
    if not wanted and settings.upstream is not None:
        raise SettingsError(
            f"{artifact.folder}: {artifact.method} answers requests itself, so --upstream {settings.upstream} would "
            "get none; leave it out, or name the models it runs on with --models.ROLE"
        )
    if not wanted and (settings.shadow or settings.share < 1):
        raise SettingsError(
            f"{artifact.folder}: {artifact.method} answers requests itself, so none can go out without its help; leave "
            f"out {'--shadow' if settings.shadow else '--share'}, and compare it with `fulcrum evaluate`"
        )


@contextmanager
def _first_request(artifact: Artifact, deployed: Deployed) -> Generator[None]:
    """Refuse what fails at one request, so that what is broken is found now, and what loads late is loaded."""
    try:
        yield
    except Exception as error:  # it may be any error of a method's libraries, and all of them mean the same here
        deployed.close()
        raise RunError(f"{artifact.folder}: fails at a first request: {type(error).__name__}: {error}") from error


def _helper(rewriter: Rewriter, settings: ServeSettings, metrics: Metrics) -> Helper:
    def work(requests: Sequence[Request]) -> Iterator[Sequence[tuple[int, Rewritten]]]:
        rewritten = rewriter.rewrite(requests)
        if len(rewritten) != len(requests):
            raise RuntimeError(f"{len(requests)} requests were given, {len(rewritten)} came back")
        yield list(enumerate(rewritten))

    return Batcher(
        work,
        size=settings.batch,
        workers=settings.workers,
        waiting=settings.concurrency,
        patience=settings.deadline,
        closed=rewriter.close,
        observe=metrics.batch_size.observe,
    )


class Shelf:
    """Holds the edition in use and looks whether there is a newer one on disk.

    Args:
        place: the artifact's folder.
        reopen: opens what is there now.
        metrics: told of changes.

    Raises:
        FulcrumError: what is there cannot be opened.
    """

    def __init__(self, place: Path, reopen: Callable[[], Edition], metrics: Metrics) -> None:
        self._place = place
        self._reopen = reopen
        self._metrics = metrics
        self._known = self._last_seen = _state(place)  # what is written while the first edition loads is a change
        self._again = math.inf
        self._refused: tuple[State, str] | None = None
        self.current = reopen()
        self._show()

    async def watch(self, seconds: float) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.look()

    async def look(self) -> None:
        """Take over what is on disk if it has changed, and no more since the last look.

        What cannot be opened is refused: the edition in use stays, and after `RETRY` seconds the new one is tried
        again, silently as long as it fails alike.
        """
        try:
            state = await asyncio.to_thread(_state, self._place)
        except RunError as error:
            _log.warning("%s; the next look tries again", error)
            return
        settled, self._last_seen = state == self._last_seen, state
        if not settled or (state == self._known and monotonic() < self._again):
            return
        self._known, self._again = state, math.inf
        try:
            edition = await asyncio.to_thread(self._reopen)
        except Exception as error:  # a broken artifact can fail in any way; none may end the one in use
            kind = "" if isinstance(error, FulcrumError) else f"{type(error).__name__}: "
            self._again = monotonic() + RETRY
            self._tell_refused(state, f"{kind}{error}")
            return
        retired, self.current = self.current, edition
        retired.retire()
        self._metrics.reloads.labels("taken").inc()
        self._show()
        _log.info("artifact %s in use, %s ends with its last request", edition.digest, retired.digest)

    def _tell_refused(self, state: State, why: str) -> None:
        if (state, why) != self._refused:
            self._refused = state, why
            self._metrics.reloads.labels("refused").inc()
            _log.error("changed artifact refused, %s stays in use: %s", self.current.digest, why)

    def _show(self) -> None:
        artifact = self.current.artifact
        self._metrics.show_artifact(self.current.digest, artifact.method, artifact.recipe)


def _state(folder: Path) -> State:
    """Return the state of the files, without reading them.

    Raises:
        RunError: a folder among them cannot be listed, or is gone before it is.
    """
    files: list[tuple[str, int, int]] = []
    try:
        paths = sorted(folder.rglob("*"))
    except OSError as error:
        raise RunError(f"{folder}: cannot be looked through: {error}") from error
    for path in paths:
        try:
            found = path.stat()
        except FileNotFoundError:  # replaced while we look: the next look will tell
            continue
        files.append((path.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns))
    return tuple(files)
