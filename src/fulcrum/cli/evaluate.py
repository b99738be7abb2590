"""`fulcrum evaluate`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from fulcrum.cli.common import Table, console, log, print_json
from fulcrum.cli.progress import show_calls
from fulcrum.errors import SettingsError
from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.render import conclusions, evaluation_table
from fulcrum.evaluation.table import to_json
from fulcrum.lazy import load
from fulcrum.runs import Run
from fulcrum.runs.catalog import reopen
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learning_cost, price_of_gain
from fulcrum.task import Split


def evaluate(
    run: Path | None = None,
    /,
    *,
    split: Split = "test",
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    budget: Table = None,
    from_log: Path | None = None,
    outcomes: Path | None = None,
    outcomes_without: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Measure a run on held-out examples against its baseline and every control.

    Writes evaluation.json, rollouts.jsonl and report.html into the run folder. Answers already stored are not paid
    for again.

    Args:
        run: The run folder; left out with --from-log.
        split: Which examples.
        limit: Answer only this many of them.
        budget: Hard limit for the whole run, instead of the recipe's: --budget.calls 1000
        from_log: Instead of a run: a log that `fulcrum serve --log` wrote.
        outcomes: How good the logged answers were: lines of {"request": ID, "value": 0..1}.
        outcomes_without: The same for the same requests answered without help, as when a shadow log is replayed.
        json: Print the rows of evaluation.json, or what the log says.
    """
    if from_log is not None and run is None:
        load("fulcrum.cli.from_log:evaluate_log")(from_log, outcomes, outcomes_without, json)
        return
    if run is None or from_log is not None or outcomes is not None or outcomes_without is not None:
        raise SettingsError("name either a run, or --from-log LOG with --outcomes FILE")
    with Run(run, reopen(run, budget)) as opened, show_calls(opened):
        rows, results = evaluate_run(opened, split, limit)
    page = load("fulcrum.report:write_report")(run)
    if json:
        print_json(to_json(rows))
        return
    console.print(evaluation_table(rows))
    price = price_of_gain(learning_cost(run), rows)
    for sentence in [*conclusions(rows), *diagnose(results, rows), *([price] if price else [])]:
        console.print(sentence, highlight=False)
    log.print(f"written: {page}", highlight=False, soft_wrap=True)
