"""The budget: a hard stop before the next call, never in the middle of one."""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from fulcrum.calls.ledger import Prices, Spend
from fulcrum.chat import Failure
from fulcrum.errors import BudgetSpent, SettingsError, TooManyFailures
from fulcrum.settings import Settings

_ENOUGH_CALLS_TO_JUDGE = 20
_SIGMAS_TO_STOP_EARLY = 3.0  # in the middle of a batch only what chance does not explain, such as a dead endpoint


class BudgetSettings(Settings):
    """The `[budget]` table of a recipe; None means no limit.

    Attributes:
        calls: calls made, over all roles and all continuations of the run.
        tokens: tokens read and written.
        money: in the currency of the price table.
        minutes: wall time over all continuations.
        failure_share: the run stops when more than this share of calls fail.
        prices: a price table, see `fulcrum.calls.ledger.Prices`.
    """

    calls: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    money: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    failure_share: float = Field(default=0.2, ge=0, le=1)
    prices: Path | None = None

    @property
    def counted(self) -> bool:
        """Whether spending is limited: then processes must not work side by side, for none sees the others' calls."""
        return any(limit is not None for limit in (self.calls, self.tokens, self.money))

    def refuse_unpriced(self, prices: Prices, models: Iterable[str]) -> None:
        """Refuse models whose calls a limit of money could not count.

        Raises:
            SettingsError: money is limited and the price of a model is unknown.
        """
        unknown = sorted({model for model in models if prices.of(model) is None})
        if self.money is not None and unknown:
            raise SettingsError(
                f"budget.money: the price of {unknown[0]} is unknown, so money cannot be limited; name it in the table "
                "that budget.prices points to, or limit calls or tokens instead"
            )


@dataclass
class Budget:
    """What may still be spent.

    Attributes:
        settings: the limits.
        spent: what has been paid for so far, earlier sittings of the same run included.
        minutes_before: wall time of earlier sittings.
        failed_before: calls of earlier sittings that failed and left no answer. They count against `calls`, but not
            against `failure_share`: the endpoint may have been mended since.
        refused: which limit kept a wanted call from being made; None if none did.
    """

    settings: BudgetSettings = field(default_factory=BudgetSettings)
    spent: Spend = field(default_factory=Spend)
    minutes_before: float = 0.0
    failed_before: int = 0
    refused: str | None = None
    _failed: Counter[str] = field(default_factory=Counter[str])
    _started: float = field(default_factory=time.monotonic)
    _in_flight: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def minutes(self) -> float:
        """Wall time so far, all sittings together."""
        return self.minutes_before + (time.monotonic() - self._started) / 60

    def take(self) -> bool:
        """Reserve one call; False if there is nothing left to pay for it."""
        with self._lock:
            self.refused = self._exhausted(self._in_flight)
            self._in_flight += self.refused is None
            return self.refused is None

    def settle(self, spend: Spend, failure: Failure | None = None) -> None:
        """Replace one reserved call by what it really took; a failure is kept, to be told if there are too many."""
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            self.spent += spend
            if failure is not None:
                self._failed[f"{failure.kind}: {failure.detail}"[:300]] += 1

    def release(self, calls: int) -> None:
        """Give back reservations of calls that were never made."""
        with self._lock:
            self._in_flight = max(0, self._in_flight - calls)

    def exhausted(self) -> bool:
        """Return true once a limit has been reached, whether or not there is more to do."""
        with self._lock:
            return self._exhausted(0) is not None

    def refuse(self) -> str:
        """Note that work is left which the budget does not allow, and return the limit as a phrase."""
        with self._lock:
            self.refused = self._exhausted(0) or self.refused or "nothing left"
            return self.refused

    def _exhausted(self, in_flight: int) -> str | None:
        limits, spent = self.settings, self.spent
        calls = spent.calls + self.failed_before
        if limits.calls is not None and calls + in_flight >= limits.calls:
            return f"calls {calls} of {limits.calls}"
        if limits.tokens is not None and spent.tokens >= limits.tokens:
            return f"tokens {spent.tokens} of {limits.tokens}"
        if limits.tokens is not None and spent.uncounted:
            return f"tokens unknown of {limits.tokens}: {_uncounted(spent)}"
        if limits.money is not None and spent.paid_cost is None:
            why = _uncounted(spent) if spent.uncounted else "a model has no price; name it in the budget.prices table"
            return f"money unknown of {limits.money:.2f}: {why}"
        if limits.money is not None and spent.paid_cost is not None and spent.paid_cost >= limits.money:
            return f"money {spent.paid_cost:.2f} of {limits.money:.2f}"
        if limits.minutes is not None and self.minutes >= limits.minutes:
            return f"minutes {self.minutes:.1f} of {limits.minutes:g}"
        if self._too_many_failures(sigmas=_SIGMAS_TO_STOP_EARLY):
            return f"{spent.failures} of {spent.calls} calls failed"
        return None

    def _too_many_failures(self, sigmas: float = 0.0) -> bool:
        """Return true if more calls failed than allowed, by so many standard deviations of chance."""
        calls, allowed = self.spent.calls, self.settings.failure_share
        chance = sigmas * math.sqrt(calls * allowed * (1 - allowed))
        return calls >= _ENOUGH_CALLS_TO_JUDGE and self.spent.failures > allowed * calls + chance

    def check(self) -> None:
        """Stop the run if it must stop.

        Raises:
            BudgetSpent: a limit kept a wanted call from being made.
            TooManyFailures: more than the allowed share of calls failed.
        """
        if self._too_many_failures():
            often = "".join(f" Most often: {said}." for said, _ in self._failed.most_common(1))
            raise TooManyFailures(
                f"{self.spent.failures} of {self.spent.calls} calls failed, more than budget.failure_share = "
                f"{self.settings.failure_share:g} allows.{often} `fulcrum calls stats RUN` shows all kinds, `fulcrum "
                "doctor RECIPE` tries the models. Mend what failed and run the same command to continue, or raise "
                "budget.failure_share"
            )
        if self.refused:
            raise BudgetSpent(
                f"budget spent: {self.refused}. Every answer is stored; change the limits under [budget] and run "
                "the same command to continue"
            )


def _uncounted(spent: Spend) -> str:
    return (
        f"an endpoint answered {spent.uncounted} times without the number of tokens, so that only budget.calls and "
        "budget.minutes can hold; set one of these in its place"
    )
