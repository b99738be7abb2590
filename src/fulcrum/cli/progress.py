"""Calls while they are made: bars on a terminal, a line now and then elsewhere."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fulcrum.calls import Spend, Watcher
from fulcrum.cli.common import log
from fulcrum.runs import Run

_SECONDS_BETWEEN_LINES = 10.0


class CallBars:
    """One bar for each role, with tokens, calls saved by the store, and money.

    Args:
        progress: where they are shown.
        whose: stands before each role.
    """

    def __init__(self, progress: Progress, whose: str = "") -> None:
        self._progress = progress
        self._whose = whose
        self._bars: dict[str, TaskID] = {}
        self._wanted: dict[str, int] = {}
        self._spent: dict[str, Spend] = {}

    def expect(self, role: str, answers: int) -> None:
        """Make a role's bar longer."""
        self._wanted[role] = self._wanted.get(role, 0) + answers
        if role not in self._bars:
            self._bars[role] = self._progress.add_task(f"{self._whose}{role}", total=0, facts="")
        self._progress.update(self._bars[role], total=self._wanted[role])

    def record(self, role: str, spend: Spend) -> None:
        """Move a role's bar on."""
        spent = self._spent[role] = self._spent.get(role, Spend()) + spend
        self._progress.update(self._bars[role], completed=spent.answers, facts=facts(spent))

    def train(self, role: str, step: int, steps: int) -> None:
        """Move the bar of a role's training on; the next training takes the same bar."""
        name = f"training {role}"
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(f"{self._whose}{name}", total=steps, facts="steps")
        self._progress.update(self._bars[name], total=steps, completed=step)


class CallLines:
    """A plain line every few seconds, for logs.

    Args:
        whose: stands before each role.
    """

    def __init__(self, whose: str = "") -> None:
        self._whose = whose
        self._wanted: dict[str, int] = {}
        self._spent: dict[str, Spend] = {}
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def expect(self, role: str, answers: int) -> None:
        """Note how many answers are wanted."""
        self._wanted[role] = self._wanted.get(role, 0) + answers

    def record(self, role: str, spend: Spend) -> None:
        """Count one answer, and print a line if the last one is old."""
        with self._lock:
            spent = self._spent[role] = self._spent.get(role, Spend()) + spend
        self._say(f"{role} {spent.answers}/{self._wanted[role]} {facts(spent)}")

    def train(self, role: str, step: int, steps: int) -> None:
        """Print how far the training of a role is if the last line is old."""
        self._say(f"training {role} {step}/{steps} steps")

    def _say(self, line: str) -> None:
        with self._lock:
            if time.monotonic() - self._last < _SECONDS_BETWEEN_LINES:
                return
            self._last = time.monotonic()
        log.print(f"{self._whose}{line}", highlight=False)


def facts(spent: Spend) -> str:
    """Return tokens, stored answers, failures and money in a few words."""
    parts = [f"{spent.tokens:,} tokens"]
    if spent.stored:
        parts.append(f"{spent.stored:,} from store")
    if spent.failures:
        parts.append(f"{spent.failures:,} failed")
    if spent.paid_cost:
        parts.append(f"{spent.paid_cost:.4f} spent")
    return ", ".join(parts)


@contextmanager
def show_calls(run: Run) -> Generator[None]:
    """Show the run's calls on standard error while the block runs."""
    with watchers() as watcher:
        run.ledger.watcher = watcher("")
        yield


@contextmanager
def watchers() -> Generator[Callable[[str], Watcher]]:
    """Give what makes watchers, each for calls of its own name, that all show on standard error."""
    if not log.is_terminal:
        yield CallLines
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns, console=log) as progress:
        yield lambda whose: CallBars(progress, whose)
