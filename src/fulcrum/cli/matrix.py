"""Transfer matrices on a terminal."""

from collections.abc import Sequence
from dataclasses import asdict

from fulcrum.cli.common import console, print_json
from fulcrum.evaluation.figures import table_of
from fulcrum.evaluation.render import interval_text, percent_text, points_text
from fulcrum.runs.transfer import TransferCell


def print_transfer(cells: Sequence[TransferCell], role: str, *, json: bool) -> None:
    """Print a transfer matrix, for people in percent and points of 100 or for machines as it is."""
    if json:
        print_json([asdict(cell) for cell in cells])
        return
    table = table_of(("task", role), ("n", "alone", "helped", "gain", "control's gain", "harm"))
    table.caption = "gains in points of 100, of the controls the largest; * what it was trained for"
    for cell in cells:
        table.add_row(
            cell.task,
            cell.model + "*" * cell.trained_for,
            str(cell.n),
            percent_text(cell.alone),
            percent_text(cell.helped),
            interval_text(cell.difference, cell.low, cell.high, sign="+"),
            points_text(cell.control),
            percent_text(cell.harm),
        )
    console.print(table)
