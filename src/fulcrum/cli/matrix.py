"""Transfer matrices on a terminal."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from fulcrum.cli.common import console, print_json
from fulcrum.evaluation.render import interval_text, percent_text, points_text
from fulcrum.runs.transfer import TransferCell


def print_transfer(cells: Sequence[TransferCell], role: str, *, json: bool) -> None:
    """Print a transfer matrix, for people in percent and points of 100 or for machines as it is."""
    if json:
        print_json([asdict(cell) for cell in cells])
        return
    table = Table("task", role, "n", "alone", "helped", "gain in points", "control's gain in points", "harm")
    for cell in cells:
        table.add_row(
            cell.task,
            f"{cell.model}{' (trained for)' if cell.trained_for else ''}",
            str(cell.n),
            percent_text(cell.alone),
            percent_text(cell.helped),
            interval_text(cell.difference, cell.low, cell.high, sign="+"),
            points_text(cell.control),
            percent_text(cell.harm),
        )
    console.print(table)
