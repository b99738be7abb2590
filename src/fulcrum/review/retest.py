"""Checking and testing a strategy again, while its reviewer waits or goes on."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from fulcrum.errors import FulcrumError, LibraryError
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import Effect, Finding


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a test found about one version of a strategy.

    Attributes:
        effects: what was measured.
        findings: what the checks found; empty if they found nothing.
    """

    effects: tuple[Effect, ...]
    findings: tuple[Finding, ...] = ()


Retest = Callable[[Strategy, bool], Measurement]
"""Checks the words of a strategy as they stand and, if the second argument says so, measures them. It may take minutes;
it runs in a thread of its own, one at a time, and says by a `FulcrumError` why it could not."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """How a test stands.

    Attributes:
        version: the version under test.
        measures: whether it is measured, or only checked.
        running: false if it could not be finished.
        problem: why not.
    """

    version: int
    measures: bool
    running: bool = True
    problem: str = ""


class Retests:
    """The tests that reviewers asked for, and what became of them.

    Args:
        library: where results are kept.
        retest: how to test; None if this run cannot.
        why_not: why it cannot, as a sentence for the reviewer.
    """

    def __init__(self, library: Library, retest: Retest | None, why_not: str) -> None:
        self._library = library
        self._retest = retest
        self.why_not = "" if retest else why_not
        self._states: dict[str, State] = {}
        self._starting = threading.Lock()
        self._one_at_a_time = threading.Lock()

    def state(self, id: str) -> State | None:
        """Return how a strategy's test stands; None if none was asked for or its result is in the library."""
        return self._states.get(id)

    def check(self, strategy: Strategy, who: str) -> None:
        """Begin to check new words that were never checked, if this run can."""
        if self._retest is not None and strategy.findings is None:
            self._start(self._retest, strategy, who, measures=False)

    def start(self, strategy: Strategy, who: str) -> None:
        """Begin a test of a strategy's present version; while one of it is running, that one goes on.

        Raises:
            LibraryError: this run cannot test.
        """
        if self._retest is None:
            raise LibraryError(self.why_not)
        self._start(self._retest, strategy, who, measures=True)

    def _start(self, retest: Retest, strategy: Strategy, who: str, *, measures: bool) -> None:
        begun = State(strategy.version, measures)
        with self._starting:
            state = self._states.get(strategy.id)
            if state and state.running and state.version == begun.version and state.measures >= measures:
                return
            self._states[strategy.id] = begun
        # A daemon: whoever stops the server does not wait for it. The calls it paid for are stored.
        threading.Thread(target=self._test, args=(retest, strategy, begun, who), daemon=True).start()

    def _test(self, retest: Retest, strategy: Strategy, begun: State, who: str) -> None:
        version = begun.version
        problem = "it broke off; the terminal of `fulcrum review` says why"
        try:
            with self._one_at_a_time:
                tested = retest(strategy, begun.measures)
            by = f"test, asked by {who}"[:100]
            self._library.record_checks(strategy.id, tested.findings, who=by, version=version)
            for effect in tested.effects:
                self._library.record_effect(strategy.id, effect, who=by, version=version)
            problem = ""
        except FulcrumError as error:
            problem = str(error)
        finally:
            with self._starting:
                if self._states.get(strategy.id) is not begun:
                    pass  # newer words, or more than a check of these, were asked for meanwhile
                elif problem:
                    self._states[strategy.id] = replace(begun, running=False, problem=problem)
                else:
                    del self._states[strategy.id]
