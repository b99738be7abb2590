"""The library: an append-only file of events, and the strategies that they add up to.

Every change is a line of JSON at the end of one file: nothing is overwritten, so every earlier state can be shown, and
`git diff` shows a change as the lines that were added. Any number of processes may read and write one file: a write
takes the file's lock, reads what others have added, is checked against that, and is appended in one piece.

    library = Library(Path("artifact/library.jsonl"))
    strategy = library.propose(advice, who="teacher", evidence=evidence)
    library.record_effect(strategy.id, effect, who="fulcrum")
    library.decide(strategy.id, "approved", who="ada", reason="read ten dialogues", revision=strategy.revision)
"""

import fcntl
import os
import threading
from collections import ChainMap
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fulcrum.errors import LibraryConflict, LibraryError
from fulcrum.strategies.fold import Strategy, after, find
from fulcrum.strategies.records import (
    EVENTS,
    Advice,
    AnyEvent,
    Checked,
    Decided,
    Edited,
    Effect,
    Evidence,
    Finding,
    Measured,
    Merged,
    Note,
    Proposed,
    Status,
    problem_of,
)

LINE_LIMIT = 4_000_000
"""Most bytes of one line. A longer one is no event of ours."""


def utc_now() -> str:
    """Return the time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Library:
    """The strategies of one file.

    Threads may share one `Library`, and processes one file. Readers see whole events only; a last line that a kill
    cut short is left out, and removed by the next write.

    Args:
        path: the file; it need not exist.
        clock: gives the `at` of new events.

    Raises:
        LibraryError: the file holds a line that is no event, or one that contradicts those before it; the text names
            `file:line`.
    """

    def __init__(self, path: Path, *, clock: Callable[[], str] = utc_now) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._forget()
        self._catch_up()

    # Reading

    def strategies(self, status: Status | None = None) -> list[Strategy]:
        """Return all strategies, or those of one status, in the order in which they were proposed."""
        with self._lock:
            self._catch_up()
            return [strategy for strategy in self._state.values() if status in (None, strategy.status)]

    def strategy(self, id: str) -> Strategy:
        """Return one strategy.

        Raises:
            LibraryError: there is none of that id.
        """
        with self._lock:
            self._catch_up()
            return self._find(id)

    def __contains__(self, id: str) -> bool:
        with self._lock:
            self._catch_up()
            return id in self._state

    def history(self, id: str) -> list[AnyEvent]:
        """Return every event about a strategy, the first one first; its versions are those of `versions`.

        Raises:
            LibraryError: there is none of that id.
        """
        with self._lock:
            self._catch_up()
            return list(self._events[self._find(id).id])

    def versions(self, id: str) -> list[Advice]:
        """Return what a strategy has said, version 1 first.

        Raises:
            LibraryError: there is none of that id.
        """
        return [event.advice for event in self.history(id) if isinstance(event, Proposed | Edited)]

    def search(self, text: str, status: Status | None = None) -> list[Strategy]:
        """Return the strategies whose id or advice holds every word of `text`, whatever the case."""
        wanted = text.casefold().split()
        return [strategy for strategy in self.strategies(status) if all(word in _searched(strategy) for word in wanted)]

    # Writing

    def propose(
        self,
        advice: Advice,
        *,
        who: str,
        reason: str = "",
        evidence: Evidence | None = None,
        parents: Sequence[str] = (),
    ) -> Strategy:
        """Add a strategy, as version 1 with status `proposed`.

        Raises:
            LibraryError: the same advice is known already, whatever became of it: what was rejected does not come back.
        """
        with self._writing() as write:
            write(
                Proposed(
                    strategy=advice.id,
                    who=who,
                    at=self._clock(),
                    reason=reason,
                    advice=advice,
                    evidence=evidence or Evidence(),
                    parents=tuple(parents),
                )
            )
            return self._find(advice.id)

    def decide(
        self,
        id: str,
        status: Literal["approved", "rejected", "retired", "reopened"],
        *,
        who: str,
        reason: str = "",
        revision: int | None = None,
    ) -> Strategy:
        """Approve, reject or retire a strategy, or propose it again as it is.

        Args:
            id: which.
            status: what becomes of it.
            who: who decides.
            reason: why; needed to reject, to retire, to reopen, and to approve against `Strategy.before_approval`.
            revision: the revision that was looked at; None decides whatever others may have written since.

        Raises:
            LibraryError: there is no such strategy, or the reason is missing.
            LibraryConflict: others have written about it since that revision.
        """
        with self._writing() as write:
            strategy = self._look_at(id, revision)
            if not reason.strip():
                if status != "approved":
                    raise LibraryError(f"{id}: say why it is {status}: give a reason")
                if strategy.merged_into is None and (against := strategy.before_approval()):
                    raise LibraryError(f"{id}: {'; '.join(against)}. To approve it all the same give a reason")
            write(Decided(strategy=id, who=who, at=self._clock(), reason=reason, kind=status))
            return self._find(id)

    def edit(self, id: str, advice: Advice, *, who: str, reason: str = "", revision: int | None = None) -> Strategy:
        """Give a strategy new words: a new version, proposed, without effects and findings until it is tested again.

        Raises:
            LibraryError: there is no such strategy, or nothing would change.
            LibraryConflict: others have written about it since that revision.
        """
        with self._writing() as write:
            strategy = self._look_at(id, revision)
            if strategy.advice == advice:
                raise LibraryError(f"{id}: it says that already: nothing to change")
            write(Edited(strategy=id, who=who, at=self._clock(), reason=reason, advice=advice, parent=strategy.version))
            return self._find(id)

    def merge(
        self,
        ids: Sequence[str],
        advice: Advice,
        *,
        who: str,
        reason: str = "",
        evidence: Evidence | None = None,
        revisions: Mapping[str, int] | None = None,
    ) -> Strategy:
        """Put one strategy in the place of several: they retire, and the new one, proposed, names them as parents.

        The advice may be that of one of them, which then stays in its place as it is, and the others retire. Where it
        is known as one of them and says something else than that one says now, that one gets it as a new version.

        Args:
            ids: two or more strategies.
            advice: what the one says.
            who: who merges.
            reason: why.
            evidence: of the new strategy; by default that of the first.
            revisions: the revisions that were looked at, by id; of what is left out, whatever others may have written.

        Raises:
            LibraryError: fewer than two strategies, one that does not exist, or advice known from a strategy outside.
            LibraryConflict: others have written about one of them since that revision.
        """
        with self._writing() as write:
            merged = [self._look_at(id, (revisions or {}).get(id)) for id in dict.fromkeys(ids)]
            if len(merged) < 2:
                raise LibraryError(f"a merge needs two strategies, not {', '.join(ids) or 'none'}")
            kept = next((strategy.id for strategy in merged if strategy.advice == advice), advice.id)
            present, stamp = next((strategy for strategy in merged if strategy.id == kept), None), self._clock()
            events: list[AnyEvent] = []
            if present is None:
                events.append(
                    Proposed(
                        strategy=kept,
                        who=who,
                        at=stamp,
                        reason=reason,
                        advice=advice,
                        evidence=evidence or merged[0].evidence,
                        parents=tuple(strategy.id for strategy in merged),
                    )
                )
            elif present.advice != advice:
                events.append(
                    Edited(strategy=kept, who=who, at=stamp, reason=reason, advice=advice, parent=present.version)
                )
            events += [
                Merged(strategy=strategy.id, who=who, at=stamp, reason=reason, into=kept)
                for strategy in merged
                if strategy.id != kept
            ]
            write(*events)
            return self._find(kept)

    def record_effect(self, id: str, effect: Effect, *, who: str, version: int | None = None) -> Strategy:
        """Keep what was measured of a version, by default of the present one; a later measurement takes its place.

        Raises:
            LibraryError: there is no such strategy or version.
        """
        with self._writing() as write:
            version = version or self._find(id).version
            write(Measured(strategy=id, who=who, at=self._clock(), version=version, effect=effect))
            return self._find(id)

    def record_checks(self, id: str, findings: Iterable[Finding], *, who: str, version: int | None = None) -> Strategy:
        """Keep what the checks found in a version, by default in the present one.

        Raises:
            LibraryError: there is no such strategy or version.
        """
        with self._writing() as write:
            version = version or self._find(id).version
            write(Checked(strategy=id, who=who, at=self._clock(), version=version, findings=tuple(findings)))
            return self._find(id)

    def note(self, id: str, text: str, *, who: str) -> Strategy:
        """Write something down about a strategy.

        Raises:
            LibraryError: there is no such strategy.
        """
        with self._writing() as write:
            write(Note(strategy=id, who=who, at=self._clock(), reason=text))
            return self._find(id)

    # The file

    def _forget(self) -> None:
        self._state: dict[str, Strategy] = {}
        self._events: dict[str, list[AnyEvent]] = {}
        self._offset = self._lines = self._inode = 0

    def _catch_up(self) -> None:
        """Read what was added since the last look."""
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                self._read_on(file.fileno())
        except FileNotFoundError:
            self._forget()
        except OSError as error:
            raise LibraryError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _read_on(self, descriptor: int) -> None:
        """Take in the events behind the last one known; the caller holds the file's lock."""
        known = os.fstat(descriptor)
        if known.st_ino != self._inode or known.st_size < self._offset:
            self._forget()
            self._inode = known.st_ino
        if known.st_size == self._offset:
            return
        content = os.pread(descriptor, known.st_size - self._offset, self._offset)
        *lines, last = content.split(b"\n")
        # A write cut short is no JSON, and was never confirmed; a hand that edits may leave out the last line end.
        if whole := _is_event(last):
            lines.append(last)
        try:
            for line in lines:
                self._lines += 1
                if line.strip():
                    self._take(line)
        except LibraryError:
            self._forget()  # the next look names the same line again
            raise
        self._offset = known.st_size if whole else known.st_size - len(last)

    def _take(self, line: bytes) -> None:
        where = f"{self.path}:{self._lines}"
        if len(line) > LINE_LIMIT:
            raise LibraryError(f"{where}: a line of {len(line)} bytes is no event; remove it")
        try:
            event = EVENTS.validate_json(line)
        except ValidationError as error:
            raise LibraryError(
                f"{where}: not an event of a library: {problem_of(error)}; remove or mend the line"
            ) from None
        try:
            self._state[event.strategy] = after(self._state, event)
        except LibraryError as error:
            raise LibraryError(f"{where}: {error}") from None
        self._events.setdefault(event.strategy, []).append(event)

    @contextmanager
    def _writing(self) -> Generator[Callable[..., None]]:
        """Hold thread and file locks with the state up to date; the function given appends events."""
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Appending, whatever the position: a reader that maps the file never sees a line written over.
                with open(self.path, "ab+", buffering=0) as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    self._read_on(file.fileno())
                    yield lambda *events: self._append(file.fileno(), events)
            except ValidationError as error:
                raise LibraryError(problem_of(error)) from None
            except OSError as error:
                raise LibraryError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _append(self, descriptor: int, events: Sequence[AnyEvent]) -> None:
        """Append events that fit together with all before them, in one piece."""
        state = ChainMap[str, Strategy]({}, self._state)
        for event in events:
            state[event.strategy] = after(state, event)
        os.ftruncate(descriptor, self._offset)  # what a kill left of an earlier write
        whole = self._offset == 0 or os.pread(descriptor, 1, self._offset - 1) == b"\n"
        lines = [event.model_dump_json().encode() + b"\n" for event in events]
        if (longest := max(map(len, lines))) > LINE_LIMIT:
            raise LibraryError(f"{longest} bytes are too many for one event (at most {LINE_LIMIT}); cut the evidence")
        text = b"".join(lines) if whole else b"\n" + b"".join(lines)
        while text:
            text = text[os.write(descriptor, text) :]
        self._read_on(descriptor)

    def _find(self, id: str) -> Strategy:
        return find(self._state, id)

    def _look_at(self, id: str, revision: int | None) -> Strategy:
        strategy = self._find(id)
        if revision is not None and revision != strategy.revision:
            by = self._events[id][-1].who
            raise LibraryConflict(f"{id}: {by} has written about it since you looked at it; look again, then decide")
        return strategy


def _is_event(line: bytes) -> bool:
    try:
        EVENTS.validate_json(line)
    except ValidationError:
        return False
    return True


def _searched(strategy: Strategy) -> str:
    advice = strategy.advice
    return " ".join([strategy.id, advice.scenario, advice.when, advice.do, advice.avoid, advice.why]).casefold()
