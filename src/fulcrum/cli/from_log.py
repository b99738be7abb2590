"""`fulcrum evaluate --from-log`: what a log of `fulcrum serve` says."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from fulcrum.cli.common import console, print_json
from fulcrum.errors import RunError, SettingsError
from fulcrum.evaluation.render import interval_text, percent_text
from fulcrum.evaluation.statistics import Interval
from fulcrum.serving.arms import ArmComparison, LogSummary, compare_arms, compare_replayed, summarise
from fulcrum.serving.log import read_log, read_outcomes


def evaluate_log(log: Path, outcomes: Path | None, outcomes_without: Path | None, json: bool) -> None:
    """Print how the requests of a log fared and, where outcomes are known, whether help helped.

    Raises:
        RunError: a file cannot be read or holds something else, or outcomes are of other requests.
        SettingsError: outcomes without help are given, but none with it.
    """
    if outcomes_without and not outcomes:
        raise SettingsError("--outcomes-without FILE is compared with --outcomes FILE; give both")
    rows, unreadable = read_log(log)
    values = read_outcomes(outcomes) if outcomes else {}
    without = read_outcomes(outcomes_without) if outcomes_without else {}
    if strangers := (values.keys() | without.keys()) - {row.request for row in rows}:
        raise RunError(
            f"{outcomes}: {len(strangers)} outcomes are of no request in {log} (such as {min(strangers)}); give the "
            "log that they belong to"
        )
    summary = summarise(rows)
    if outcomes_without:
        difference = compare_replayed(rows, without, values)
        found: dict[str, Any] = {}
        shown = _difference(difference, "help against none, on the same requests")
    else:
        arms = compare_arms(rows, lambda row: values.get(row.request))
        difference = arms.difference
        found = {"arms": {"plain": asdict(arms.plain), "help": asdict(arms.help)}}
        shown = Group(_arms(arms), _difference(difference, "help against none, on other requests"))
    if json:
        counts = {**asdict(summary), "unreadable": len(unreadable)}
        print_json({"log": counts, **found, "difference": asdict(difference) if difference else None})
    else:
        console.print(Group(_summary(summary, unreadable), shown))


def _summary(summary: LogSummary, unreadable: Sequence[str]) -> RenderableType:
    table = Table("log", "", title=f"{summary.requests} requests")
    for outcome, count in sorted(summary.outcomes.items()):
        table.add_row(f"help {outcome}", str(count))
    for status, count in sorted(summary.statuses.items()):
        table.add_row(f"status {status}", str(count))
    for name, (median, late) in summary.seconds.items():
        table.add_row(f"seconds, {name}", f"{median:.3f} median, {late:.3f} at the 99th percentile")
    if unreadable:
        table.add_row("lines left out, which are no rows", f"{len(unreadable)}, the first is {unreadable[0]}")
    return table


def _arms(arms: ArmComparison) -> RenderableType:
    table = Table("arm", "units", "requests", "with outcome", "really helped", "failed", "value")
    for name, arm in (("plain", arms.plain), ("help", arms.help)):
        value = _interval(arm.mean, "")
        counts = (str(count) for count in (arm.units, arm.requests, arm.scored))
        table.add_row(name, *counts, percent_text(arm.helped), percent_text(arm.failed), value)
    return table


def _difference(difference: Interval | None, what: str) -> str:
    if difference is None:
        return f"{what}: not known; --outcomes FILE tells how good answers were, of both arms"
    verdict = "clear of zero" if difference.clear_of_zero else "not clear of zero"
    return f"{what}: {_interval(difference, '+')} points, {verdict}"


def _interval(interval: Interval | None, sign: str) -> str:
    return interval_text(interval.estimate, interval.low, interval.high, sign) if interval else "-"
