"""`fulcrum calls`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fulcrum.calls import CallStore, Prices, read_prices
from fulcrum.calls.store import Call
from fulcrum.cli.common import console, print_json, shorten
from fulcrum.errors import StoreError
from fulcrum.evaluation.figures import table_of
from fulcrum.hashing import canonical_json

calls = App(name="calls", help="What a run's call store holds: totals, single calls, export.")

Machine = Annotated[bool, Parameter(negative=())]


def _open(place: Path) -> CallStore:
    return CallStore(place / "calls.sqlite" if place.is_dir() else place, read_only=True)


@calls.command
def stats(place: Path, /, *, prices: Path | None = None, json: Machine = False) -> None:
    """Print calls, tokens, seconds and money by role and model, and what failed.

    Args:
        place: A run folder or a call store.
        prices: A price table; without it the price of an endpoint is unknown.
        json: Print for machines.
    """
    table_of_prices = read_prices(prices) if prices else Prices()
    with _open(place) as store:
        paid, failures = store.paid(), store.failures()
    rows = [
        {
            "role": row.role,
            "model": row.model,
            "calls": row.calls,
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
            "seconds": round(row.seconds, 3),
            "cost": table_of_prices.cost(row.model, row.prompt_tokens, row.completion_tokens),
        }
        for row in paid
    ]
    if json:
        print_json({"calls": rows, "failures": [asdict(failure) for failure in failures]})
        return
    table = table_of(("role", "model"), ("calls", "tokens in", "tokens out", "seconds", "cost"))
    for row in rows:
        cost = "unknown" if row["cost"] is None else f"{row['cost']:.4f}"
        tokens = (f"{row['prompt_tokens']:,}", f"{row['completion_tokens']:,}")
        table.add_row(str(row["role"]), str(row["model"]), f"{row['calls']:,}", *tokens, f"{row['seconds']:.1f}", cost)
    console.print(table)
    for failure in failures:
        said = f"{failure.calls} x {failure.kind} from {failure.role} {failure.model}"
        often = f", most often: {failure.detail}" if failure.detail else ""
        console.print(said + often, highlight=False, soft_wrap=True)


@calls.command
def show(place: Path, key: str, /, *, json: Machine = False) -> None:
    """Print one call whole: what was asked, and what came back.

    Args:
        place: A run folder or a call store.
        key: The call's key, or its first digits.
        json: Print for machines.
    """
    with _open(place) as store:
        found = list(store.calls(prefix=key))
    if len(found) != 1:
        what = "no call" if not found else f"{len(found)} calls"
        raise StoreError(f"{place}: {what} with a key that begins with {key!r}; `fulcrum calls export` lists all keys")
    call = found[0]
    if json:
        print_json(_as_json(call))
        return
    console.print(f"{call.key} {call.role} {call.model}", style="bold", highlight=False)
    for message in call.request["request"]["messages"]:
        console.print(f"[{message['role']}]", style="cyan")
        console.print(message["content"], highlight=False)
    console.print("[answer]", style="green")
    console.print(call.completion.text, highlight=False)
    if call.completion.failure:
        console.print(f"{call.completion.failure.kind}: {call.completion.failure.detail}", style="red")


@calls.command
def export(place: Path, /, *, role: str | None = None, keys: Machine = False) -> None:
    """Write every call as a line of JSON, in the order in which they were made.

    Args:
        place: A run folder or a call store.
        role: Only calls of this role.
        keys: Instead, a short line for each call: key, role, answer.
    """
    with _open(place) as store:
        for call in store.calls(role=role):
            if keys:
                console.file.write(f"{call.key} {call.role} {shorten(call.completion.text)}\n")
            else:
                console.file.write(canonical_json(_as_json(call)) + "\n")


def _as_json(call: Call) -> dict[str, object]:
    return {
        "key": call.key,
        "created": call.created,
        "role": call.role,
        "model": call.model,
        **call.request,
        "completion": call.completion.to_json(),
    }
