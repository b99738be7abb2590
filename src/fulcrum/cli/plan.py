"""`fulcrum plan`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fulcrum.cli.common import RecipeFlags, console, print_json
from fulcrum.evaluation.figures import table_of
from fulcrum.runs.plan import Plan
from fulcrum.runs.plan import plan as make_plan


def plan(
    recipe: Path | None = None,
    /,
    *,
    output: Path | None = None,
    probe: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    flags: RecipeFlags | None = None,
) -> None:
    """Print what a recipe will take at most: calls, tokens, money, minutes, memory. Nothing is trained.

    Args:
        recipe: The recipe file; every key of it is also a flag.
        output: The run folder, if `fulcrum train` was given one: the pace of its calls is known.
        probe: Also measure the pace of endpoints, with eight calls each; they may cost money.
        json: Print for machines.
        flags: Keys of the recipe.
    """
    made = make_plan((flags or RecipeFlags()).read(recipe), folder=output, probe_endpoints=probe)
    if json:
        facts = {key: value for key, value in asdict(made).items() if key != "budget"}
        sums = {"calls": made.calls, "cost": made.cost, "minutes": made.minutes, "beyond_budget": made.beyond_budget}
        print_json(facts | sums)
    else:
        _print(made)


def _print(made: Plan) -> None:
    table = table_of(("part", "role"), ("calls", "tokens", "cost", "minutes"))
    table.caption = (
        "at most: answers at their limit, dialogues of average length; what the store has costs nothing again"
    )
    for row in made.rows:
        table.add_row(row.stage, row.role, f"{row.calls:,}", f"{row.tokens:,}", _money(row.cost), _time(row.minutes))
    table.add_section()
    tokens = sum(row.tokens for row in made.rows)
    table.add_row("all", "", f"{made.calls:,}", f"{tokens:,}", _money(made.cost), _time(made.minutes), style="bold")
    console.print(table)
    for said in made.beyond_budget:
        console.print(f"May stop before its end, at {said}; what is done by then is kept.", highlight=False)
    for role, (seconds, source) in made.pace.items():
        console.print(f"{role}: {seconds:.3f} s a call, {source}", highlight=False)
    if made.minutes is None:
        console.print("Minutes are unknown where no pace is known; --probe measures it with eight calls.")
    if made.cost is None:
        console.print("Cost is unknown where a price is; name a price table under [budget] prices.")
    for role, size in made.memory.items():
        free = f" of {made.memory_free / 2**30:.1f} GiB free" if made.memory_free else ""
        console.print(f"{role}: weights take {size / 2**30:.2f} GiB in float32{free}", highlight=False)


def _money(cost: float | None) -> str:
    return "unknown" if cost is None else f"{cost:,.4f}"


def _time(minutes: float | None) -> str:
    return "unknown" if minutes is None else f"{minutes:,.1f}"
