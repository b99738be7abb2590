"""Learning, which is the same for every method, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fulcrum.atomic import read_json, write_json
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.runs.run import Run

FILE = "learning.json"
"""In the run folder: what learning took, by role."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the calls of one role took.

    Attributes:
        calls: answers that came from a model, not from the store.
        tokens: read and written.
        seconds: model time, summed over calls that ran side by side.
        cost: money; None where a price is unknown.
    """

    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cost: float | None = 0.0


def learn(run: Run) -> None:
    """Let the method of a run learn, and keep what that took; called again it continues, or returns at once.

    Raises:
        BudgetSpent: the budget ended meanwhile; the same call continues.
        FulcrumError: it cannot be run to its end.
    """
    run.recipe.method.learn(run)
    run.budget.check()
    path = run.folder / FILE
    if not path.exists():  # an evaluation may have followed, whose calls are no part of learning
        write_json(path, {role: asdict(taken) for role, taken in _taken(run).items()})


def learning_cost(folder: Path) -> dict[str, Taken]:
    """Return what the learning of a run took, by role; nothing if it has not learned."""
    path = folder / FILE
    return {role: Taken(**taken) for role, taken in read_json(path).items()} if path.exists() else {}


def price_of_gain(cost: Mapping[str, Taken], rows: Sequence[EvaluationRow]) -> str | None:
    """Return in a sentence what each point of a method's gain took to learn; None if learning took no call."""
    method = next((row for row in rows if row.role_of_solver == "method"), None)
    calls = sum(taken.calls for taken in cost.values())
    if not calls or method is None or method.difference is None or method.difference_low is None:
        return None
    by_role = ", ".join(f"{taken.calls:,} of the {role}" for role, taken in cost.items() if taken.calls)
    took = f"Learning took {calls:,} calls ({by_role}), {sum(taken.tokens for taken in cost.values()):,} tokens"
    if method.difference_low <= 0:
        return f"{took}; no gain is shown that these could be divided by."
    points = 100 * method.difference
    prices = [taken.cost for taken in cost.values()]
    paid = 0.0 if None in prices else sum(price for price in prices if price is not None)
    money = f" and {paid / points:.2g} in money" if paid else ""
    return f"{took}: {calls / points:,.0f} calls{money} for each point gained."


def _taken(run: Run) -> dict[str, Taken]:
    found: dict[str, Taken] = {}
    for paid in run.store.paid():
        before = found.get(paid.role, Taken())
        cost = run.recipe.prices.cost(paid.model, paid.prompt_tokens, paid.completion_tokens)
        found[paid.role] = Taken(
            before.calls + paid.calls,
            before.tokens + paid.prompt_tokens + paid.completion_tokens,
            round(before.seconds + paid.seconds, 3),
            None if cost is None or before.cost is None else before.cost + cost,
        )
    return found
