"""What a recipe will take, before anything runs: calls, tokens, money, minutes, memory."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fulcrum.calls import BudgetSettings, CallStore
from fulcrum.calls.ledger import is_local
from fulcrum.chat import ChatModel, Request, Sampling, complete, resolve
from fulcrum.errors import ModelError, SettingsError
from fulcrum.methods import PlannedCalls
from fulcrum.recipe import Recipe, stored_role
from fulcrum.runs.run import default_folder
from fulcrum.task import SPLITS, Question, Split

_PROBE_CALLS = 8
_PROBE_BATCH = 64
_SOON = 10.0
"""Seconds for `_PROBE_CALLS` below which a whole batch is affordable."""
_FLOAT32_BYTES = 4
_PAUSE = 3
"""Mean latencies of an endpoint without an answer after which it counts as idle."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What one part of a run will take, at most.

    Attributes:
        stage: which part.
        role: which model.
        calls: calls to make if the store has none of them.
        tokens: tokens read and written.
        cost: money; None if the price is unknown.
        minutes: wall time at the measured pace; None if no pace is known.
    """

    stage: str
    role: str
    calls: int
    tokens: int
    cost: float | None
    minutes: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a whole run will take, at most.

    Attributes:
        rows: by part.
        pace: measured seconds a call, by role, with where the figure comes from.
        memory: bytes of the local models' weights, by role.
        memory_free: bytes of memory that this machine has free; None if it does not say.
        budget: the limits that the run would have.
    """

    rows: Sequence[PlanRow]
    pace: dict[str, tuple[float, str]]
    memory: dict[str, int]
    memory_free: int | None
    budget: BudgetSettings

    @property
    def beyond_budget(self) -> list[str]:
        """Limits that the run may meet before its end, in phrases."""
        tokens = sum(row.tokens for row in self.rows)
        wanted = {"calls": self.calls, "tokens": tokens, "money": self.cost, "minutes": self.minutes}
        return [
            f"{name}: {wanted[name]:,.4g} of budget.{name} = {limit:,.4g}"
            for name in wanted
            if (limit := getattr(self.budget, name)) is not None and (wanted[name] or 0) > limit
        ]

    @property
    def calls(self) -> int:
        """Calls of all parts."""
        return sum(row.calls for row in self.rows)

    @property
    def cost(self) -> float | None:
        """Money of all parts; None if a price is unknown."""
        costs = [row.cost for row in self.rows if row.cost is not None]
        return sum(costs) if len(costs) == len(self.rows) else None

    @property
    def minutes(self) -> float | None:
        """Wall time of all parts; None if a pace is unknown."""
        minutes = [row.minutes for row in self.rows if row.minutes is not None]
        return sum(minutes) if len(minutes) == len(self.rows) else None


def plan(recipe: Recipe, *, folder: Path | None = None, probe_endpoints: bool = False) -> Plan:
    """Return what the recipe will take, at most.

    A local model's pace is measured with a few calls that cost nothing. An endpoint's is taken from the run's own
    store, if the run has begun; else it is measured only on request, because that costs a few calls.

    Args:
        recipe: what would be run.
        folder: the run's, by default the one that `fulcrum train` takes.
        probe_endpoints: whether to make those calls.

    Raises:
        SettingsError: the budget is below the first part, so the run could not finish anything.
        TaskError: the task cannot be loaded.
        ModelError: a local model cannot be loaded, or the calls to measure a pace failed.
    """
    planned = list(recipe.method.plan(recipe))
    roles = list(dict.fromkeys(row.role for row in planned))
    pace: dict[str, tuple[float, str]] = {}
    for role in roles:
        name = recipe.asked[role]
        if known := _stored_pace((folder or default_folder(recipe)) / "calls.sqlite", stored_role(role), name):
            pace[role] = known
        elif is_local(name) or probe_endpoints:
            answer = max(row.completion_tokens for row in planned if row.role == role)
            pace[role] = _probed_pace(recipe, name, answer)
    rows = [_row(recipe, row, pace) for row in planned]
    _refuse_hopeless_budget(recipe, rows)
    memory = {role: size for role in roles if (size := weight_bytes(recipe.asked[role]))}
    return Plan(rows, pace, memory, free_memory(), recipe.keys.budget)


def _row(recipe: Recipe, planned: PlannedCalls, pace: dict[str, tuple[float, str]]) -> PlanRow:
    prompt, answer = planned.calls * planned.prompt_tokens, planned.calls * planned.completion_tokens
    cost = recipe.prices.cost(recipe.asked[planned.role], prompt, answer)
    minutes = planned.calls * pace[planned.role][0] / 60 if planned.role in pace else None
    return PlanRow(planned.stage, planned.role, planned.calls, prompt + answer, cost, minutes)


def _refuse_hopeless_budget(recipe: Recipe, rows: Sequence[PlanRow]) -> None:
    limits, first = recipe.keys.budget, min(rows, key=lambda row: row.calls, default=None)
    if first is None:
        return
    wanted = {"calls": first.calls, "tokens": first.tokens, "money": first.cost, "minutes": first.minutes}
    for name, amount in wanted.items():
        limit = getattr(limits, name)
        if limit is not None and amount is not None and limit < amount:
            raise SettingsError(
                f"budget.{name}: {limit:g} is below one step: the smallest part ({first.stage}) needs about "
                f"{amount:.4g}; raise it, or use --quick or a smaller task"
            )


def _stored_pace(path: Path, role: str, name: str) -> tuple[float, str] | None:
    """Return seconds a call; of an endpoint, whose calls are under way together, the time in which any was.

    A task's own judge may share its role with the method's. Where no call is the model's own it was trained, and has
    another name since.
    """
    if not path.is_file():
        return None
    with CallStore(path, read_only=True) as store:
        of_role = [row for row in store.paid() if row.role == role]
        paid = [row for row in of_role if row.model == name] or of_role
        ended = [] if is_local(name) else store.ended(role, {row.model for row in paid})
    calls = sum(row.calls for row in paid)
    if not calls:
        return None
    latency = sum(row.seconds for row in paid) / calls
    # A longer pause than a few calls take means that none was under way.
    busy = [gap for before, after in pairwise(ended) if (gap := after - before) <= _PAUSE * latency]
    return ((latency + sum(busy)) / calls if ended else latency), f"{calls} stored calls"


def _probed_pace(recipe: Recipe, name: str, max_tokens: int) -> tuple[float, str]:
    """Return seconds a call; a fast local model is asked once more with a batch, for that is how a run asks it."""
    model = resolve(name)
    try:
        seconds, asked = _timed(model, recipe, max_tokens, _PROBE_CALLS)
        if is_local(name) and seconds < _SOON:
            seconds, asked = _timed(model, recipe, max_tokens, _PROBE_BATCH)
        return seconds / asked, f"measured now on {asked} calls"
    finally:
        model.close()


def _timed(model: ChatModel, recipe: Recipe, max_tokens: int, count: int) -> tuple[float, int]:
    questions = some_questions(recipe, count)
    started = time.perf_counter()
    answers = complete(model, [Request(question.messages, Sampling(max_tokens=max_tokens)) for question in questions])
    seconds = time.perf_counter() - started
    failures = [answer.failure for answer in answers if answer.failure is not None and not answer.failure.paid]
    if failures:
        raise ModelError(
            f"{model.name}: {len(failures)} of {len(answers)} calls to measure its pace failed: {failures[0].kind}: "
            f"{failures[0].detail}; `fulcrum doctor` says more"
        )
    return seconds, len(questions)


def some_questions(recipe: Recipe, count: int = _PROBE_CALLS) -> list[Question]:
    """Return a few questions to try a model on, from the train split if there is one, never from test."""
    split: Split = next(split for split in SPLITS if recipe.task.splits.get(split))
    return [recipe.task.question(example) for example in recipe.task.examples(split)[:count]]


def weight_bytes(name: str) -> int | None:
    """Return the memory that a local model's weights take in float32, or None if they are not on this disk."""
    scheme, _, rest = name.partition(":")
    folder = Path(rest.partition("?")[0])
    if scheme != "hf" or not folder.is_dir():
        return None
    return _FLOAT32_BYTES * sum(_parameters(file) for file in folder.glob("*.safetensors")) or None


def _parameters(file: Path) -> int:
    """Count the parameters of a safetensors file from its header: eight bytes of length, then JSON."""
    with file.open("rb") as handle:
        header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    total = 0
    for name, tensor in header.items():
        size = 0 if name == "__metadata__" else 1
        for extent in tensor.get("shape", ()):
            size *= extent
        total += size
    return total


def free_memory() -> int | None:
    """Return the bytes of memory free for a new process; None where the system does not say."""
    information = Path("/proc/meminfo")
    if information.is_file():
        for line in information.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
