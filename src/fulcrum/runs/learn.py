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

    def plus(self, other: "Taken") -> "Taken":
        """Return what both took together."""
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return Taken(self.calls + other.calls, self.tokens + other.tokens, round(self.seconds + other.seconds, 3), cost)

    def less(self, other: "Taken") -> "Taken":
        """Return what remains of this without an earlier part."""
        cost = None if other.cost is None else -other.cost
        return self.plus(Taken(-other.calls, -other.tokens, -other.seconds, cost))


def learn(run: Run) -> None:
    """Let the method of a run learn, and keep what that took; called again it continues, or returns at once.

    What a later call learns, as after feedback, is added. The calls of an evaluation are no part of it; where one came
    before the first note was made, nothing is noted, for nobody can tell them apart.

    Raises:
        BudgetSpent: the budget ended meanwhile; the same call continues.
        FulcrumError: it cannot be run to its end.
    """
    path, before = run.folder / FILE, _taken(run)
    run.recipe.method.learn(run)
    run.budget.check()
    after = _taken(run)
    if path.exists():
        known = learning_cost(run.folder)
        after = {
            role: known.get(role, Taken()).plus(taken.less(before.get(role, Taken()))) for role, taken in after.items()
        }
    elif (run.folder / "evaluation.json").exists():
        return
    write_json(path, {role: asdict(taken) for role, taken in after.items() if taken.calls})


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
        cost = run.recipe.prices.cost(paid.model, paid.prompt_tokens, paid.completion_tokens)
        one = Taken(paid.calls, paid.prompt_tokens + paid.completion_tokens, paid.seconds, cost)
        found[paid.role] = found.get(paid.role, Taken()).plus(one)
    return found
