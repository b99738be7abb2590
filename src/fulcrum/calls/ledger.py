"""The ledger: calls, tokens, seconds and money, by role."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import Field

from fulcrum.calls.store import CallStore
from fulcrum.chat import Completion
from fulcrum.settings import Settings, read_document, read_settings

_LOCAL_SCHEMES = frozenset({"hf", "lab", "python", "replay"})


def is_local(model: str) -> bool:
    """Return true for a model on the user's own machine: its price per token is zero, its seconds count."""
    return model.partition(":")[0] in _LOCAL_SCHEMES


class Price(Settings):
    """Money for one million tokens, in whatever currency the whole table uses."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


class Prices(Settings):
    """A price table: `[models."http://host/v1#name"]` with `prompt` and `completion` per million tokens."""

    models: dict[str, Price] = Field(default_factory=dict[str, Price])

    def of(self, model: str) -> Price | None:
        """Return the price of a model; zero if it is local, None if nobody said. Options in a name do not matter."""
        plain = re.sub(r"\?[^#]*", "", model)
        for name in (model, plain):
            if name in self.models:
                return self.models[name]
        if is_local(model):
            return Price(prompt=0, completion=0)
        return None

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the money for some tokens; None if the model's price is unknown."""
        price = self.of(model)
        if price is None:
            return 0.0 if prompt_tokens + completion_tokens == 0 else None
        return (prompt_tokens * price.prompt + completion_tokens * price.completion) / 1e6


def read_prices(path: Path) -> Prices:
    """Read a price table from TOML.

    Raises:
        SettingsError: the file is missing or malformed.
    """
    return read_settings(Prices, read_document(path))


@dataclass(frozen=True, slots=True)
class Spend:
    """What some calls took.

    Attributes:
        calls: calls made, failed ones included.
        stored: answers that the store gave without a call.
        failures: calls that gave no usable answer, stored ones included.
        prompt_tokens: tokens read; like all that follows, stored answers count with what they took when made.
        completion_tokens: tokens written.
        seconds: model time, summed over calls that ran side by side.
        cost: money; None if a price, or a number of tokens, is unknown.
        paid_cost: money for the calls made now, without stored answers; None if it is unknown.
        uncounted: answers of endpoints that did not say how many tokens they took.
    """

    calls: int = 0
    stored: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cost: float | None = 0.0
    paid_cost: float | None = 0.0
    uncounted: int = 0

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def answers(self) -> int:
        """Calls made and answers from the store: what this would cost without a store."""
        return self.calls + self.stored

    def __add__(self, other: "Spend") -> "Spend":
        return self._combine(other, 1)

    def __sub__(self, other: "Spend") -> "Spend":
        return self._combine(other, -1)

    def _combine(self, other: "Spend", sign: int) -> "Spend":
        return Spend(
            self.calls + sign * other.calls,
            self.stored + sign * other.stored,
            self.failures + sign * other.failures,
            self.prompt_tokens + sign * other.prompt_tokens,
            self.completion_tokens + sign * other.completion_tokens,
            self.seconds + sign * other.seconds,
            None if self.cost is None or other.cost is None else self.cost + sign * other.cost,
            None if self.paid_cost is None or other.paid_cost is None else self.paid_cost + sign * other.paid_cost,
            self.uncounted + sign * other.uncounted,
        )


def spend_of(completion: Completion, model: str, prices: Prices) -> Spend:
    """Return what one completion took."""
    usage, failure = completion.usage, completion.failure
    # An answer takes tokens; only a function that answers in process may do without.
    uncounted = usage.total == 0 and (failure is None or failure.paid) and not is_local(model)
    cost = None if uncounted else prices.cost(model, usage.prompt_tokens, usage.completion_tokens)
    return Spend(
        calls=int(not completion.from_store),
        stored=int(completion.from_store),
        failures=int(not completion.ok),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        seconds=completion.seconds,
        cost=cost,
        paid_cost=0.0 if completion.from_store else cost,
        uncounted=int(uncounted),
    )


def spend_stored(store: CallStore, prices: Prices) -> dict[str, Spend]:
    """Return what the calls in a store took when they were made, by role."""
    found: dict[str, Spend] = {}
    for paid in store.paid():
        uncounted = 0 if is_local(paid.model) else paid.uncounted
        cost = None if uncounted else prices.cost(paid.model, paid.prompt_tokens, paid.completion_tokens)
        found[paid.role] = found.get(paid.role, Spend()) + Spend(
            calls=paid.calls,
            failures=paid.unusable,
            prompt_tokens=paid.prompt_tokens,
            completion_tokens=paid.completion_tokens,
            seconds=paid.seconds,
            cost=cost,
            paid_cost=cost,
            uncounted=uncounted,
        )
    return found


class Watcher(Protocol):
    """Somebody who wants to see calls and trainings while they are made, such as a progress bar."""

    def expect(self, role: str, answers: int) -> None:
        """So many more answers are wanted from a role."""
        ...

    def record(self, role: str, spend: Spend) -> None:
        """One answer has come, from the model or from the store."""
        ...

    def train(self, role: str, step: int, steps: int) -> None:
        """The training of a role has made so many of its steps."""
        ...


@dataclass
class Ledger:
    """Adds up what every call took; `snapshot` before and after some work, and subtract.

    Attributes:
        prices: money for a million tokens, by model name.
        by_role: spend of each role so far.
        watcher: is told of every call.
    """

    prices: Prices = field(default_factory=Prices)
    by_role: dict[str, Spend] = field(default_factory=dict[str, Spend])
    watcher: Watcher | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def expect(self, role: str, answers: int) -> None:
        """Note that so many more answers are wanted from a role."""
        if self.watcher:
            self.watcher.expect(role, answers)

    def record(self, role: str, model: str, completion: Completion) -> None:
        """Add one completion. A call that the budget did not allow took nothing and is not counted."""
        if completion.failure is not None and completion.failure.kind == "budget":
            return
        spend = spend_of(completion, model, self.prices)
        with self._lock:
            self.by_role[role] = self.by_role.get(role, Spend()) + spend
        if self.watcher:
            self.watcher.record(role, spend)

    def snapshot(self) -> Mapping[str, Spend]:
        """Return the spend of each role so far."""
        with self._lock:
            return dict(self.by_role)

    def total(self) -> Spend:
        """Return the spend of all roles so far."""
        return sum(self.snapshot().values(), Spend())
