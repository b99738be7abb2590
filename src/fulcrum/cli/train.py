"""`fulcrum train`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fulcrum.cli.common import RecipeFlags, console, log, print_json
from fulcrum.cli.progress import show_calls
from fulcrum.runs import default_folder, open_run
from fulcrum.runs.learn import learn


def train(
    recipe: Path | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    flags: RecipeFlags | None = None,
) -> None:
    """Run a recipe: learn, and write the artifact. The same command continues a run that was stopped.

    Args:
        recipe: The recipe file; every key of it is also a flag.
        output: The run folder; by default runs/NAME-HASH.
        json: Print the result for machines.
        flags: Keys of the recipe.
    """
    checked = (flags or RecipeFlags()).read(recipe)
    folder = output or default_folder(checked)
    with open_run(checked, folder) as run, show_calls(run):
        log.print(f"{checked.method.name} on {checked.keys.task} in {folder}", highlight=False)
        learn(run)
        spent = run.ledger.total()
        learned = [event for event in run.events() if event["event"] == "learned"]
    if json:
        print_json({"run": str(folder), "calls": spent.calls, "stored": spent.stored, "tokens": spent.tokens})
    else:
        told = learned[-1] if learned else {}
        if sentence := told.get("sentence"):
            console.print(sentence, highlight=False, soft_wrap=True)
        console.print(f"{spent.calls} calls made, {spent.stored} answers from the store.", highlight=False)
        next_ = told.get("next", f"fulcrum evaluate {folder}")
        console.print(f"Next: {next_}", highlight=False, soft_wrap=True)
