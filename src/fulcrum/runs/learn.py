"""Learning, which is the same for every method, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from fulcrum.atomic import read_json, write_json
from fulcrum.calls import Spend, spend_stored
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.runs.run import Run

RIVALS = "rivals"
"""Role under which learning counts the calls that train and measure what a method is only compared with."""

FILE = "learning.json"
"""In the run folder: what learning took, by role."""


def learn(run: Run) -> None:
    """Let the method of a run learn, and keep what that took; called again it continues, or returns at once.

    What a later call learns, as after feedback, is added. The calls of an evaluation are no part of it; where one came
    before the first note was made, nothing is noted, for nobody can tell them apart.

    Raises:
        BudgetSpent: the budget ended meanwhile; the same call continues.
        FulcrumError: it cannot be run to its end.
    """
    path, before = run.folder / FILE, spend_stored(run.store, run.recipe.prices)
    run.recipe.method.learn(run)
    run.budget.check()
    after = spend_stored(run.store, run.recipe.prices)
    if path.exists():
        known = learning_cost(run.folder)
        after = {role: known.get(role, Spend()) + (spend - before.get(role, Spend())) for role, spend in after.items()}
    elif (run.folder / "evaluation.json").exists():
        return
    write_json(path, {role: asdict(spend) for role, spend in after.items() if spend.calls})


def learning_cost(folder: Path) -> dict[str, Spend]:
    """Return what the learning of a run took, by role; nothing if it has not learned."""
    path = folder / FILE
    return {role: Spend(**spend) for role, spend in read_json(path).items()} if path.exists() else {}


def price_of_gain(cost: Mapping[str, Spend], rows: Sequence[EvaluationRow]) -> str | None:
    """Return in a sentence what each point of a method's gain took to learn; None if learning took no call.

    What its rivals took is told apart, and not divided by its gain.
    """
    method = next((row for row in rows if row.role_of_solver == "method"), None)
    rivals = cost.get(RIVALS, Spend()).calls
    cost = {role: taken for role, taken in cost.items() if role != RIVALS}
    calls = sum(taken.calls for taken in cost.values())
    if not calls or method is None or method.difference is None or method.difference_low is None:
        return None
    by_role = ", ".join(f"{taken.calls:,} of the {role}" for role, taken in cost.items() if taken.calls)
    tokens = sum(taken.tokens for taken in cost.values())
    took = f"Learning took {calls:,} calls ({by_role}), {tokens:,} tokens, the time of training not counted"
    beside = f" What it is compared with took {rivals:,} calls more to train and measure." if rivals else ""
    if method.difference_low <= 0:
        return f"{took}; no gain is shown that these could be divided by.{beside}"
    points = 100 * method.difference
    prices = [taken.cost for taken in cost.values()]
    paid = 0.0 if None in prices else sum(price for price in prices if price is not None)
    money = f" and {paid / points:.2g} in money" if paid else ""
    return f"{took}: {calls / points:,.0f} calls{money} for each point gained.{beside}"
