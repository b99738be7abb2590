"""`fulcrum strategies`."""

import getpass
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.table import Column, Table

from fulcrum.cli.common import console, log, names, print_json
from fulcrum.cli.matrix import print_transfer
from fulcrum.cli.progress import show_calls
from fulcrum.errors import RunError
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run, open_run
from fulcrum.runs.catalog import reopen
from fulcrum.strategies.bench import Bench, library_file, served
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from fulcrum.strategies.markdown import diff, to_markdown
from fulcrum.strategies.records import Effect, Status
from fulcrum.task import Split

strategies = App(name="strategies", help="The library of a run: review it, test it, carry it elsewhere.")

Flag = Annotated[bool, Parameter(negative=())]


def _open(place: Path) -> Library:
    path = library_file(place)
    if not path.exists():
        raise RunError(f"{place}: holds no library; give a run that has learned strategies, or a library.jsonl")
    return Library(path)


def _open_run(folder: Path) -> Run:
    """Open a run again: its models are needed."""
    return Run(folder, reopen(folder))


@strategies.command(name="list")
def list_(place: Path, /, *, status: Status | None = None, search: str = "", json: Flag = False) -> None:
    """Print the strategies, a line each.

    Args:
        place: A run, an artifact, or a library.jsonl.
        status: Only those of one status.
        search: Only those that hold all these words.
        json: Print for machines.
    """
    found = _open(place).search(search, status)
    if json:
        print_json([_as_json(strategy) for strategy in found])
        return
    table = Table(Column("id", no_wrap=True), "status", names("strategy"), "effect", "findings")
    for strategy in found:
        findings = f"{len(strategy.findings)}" if strategy.findings else "" if strategy.findings == () else "unchecked"
        table.add_row(
            strategy.id,
            strategy.status,
            strategy.advice.guidance,
            _effects(strategy.effects.values()),
            findings,
        )
    console.print(table)


@strategies.command
def show(place: Path, id: str, /, *, json: Flag = False) -> None:
    """Print one strategy whole: words, evidence, effects, checks, and what was done to it by whom.

    Args:
        place: A run, an artifact, or a library.jsonl.
        id: Which.
        json: Print for machines.
    """
    library = _open(place)
    strategy, history, versions = library.strategy(id), library.history(id), library.versions(id)
    if json:
        print_json({**_as_json(strategy), "history": [event.model_dump(mode="json") for event in history]})
        return
    _say(to_markdown([strategy], id))
    evidence = strategy.evidence
    for message in evidence.messages:
        _say(f"[{message.role}] {message.content}")
    for who, text in (("student", evidence.student), ("teacher", evidence.teacher), ("verdict", evidence.verdict)):
        if text:
            _say(f"{who}: {text}")
    for event in history:
        _say(f"{event.at}  {event.kind:<9} {event.who}  {event.reason}")
    for before, after in pairwise(versions):
        _say("\n".join(diff(before, after)))


@strategies.command
def approve(place: Path, *ids: str, reason: str = "", who: str = "") -> None:
    """Let strategies be served.

    Args:
        place: A run, an artifact, or a library.jsonl.
        ids: Which.
        reason: Why; needed where a check, a missing test or a measured harm stands against it.
        who: Who approves; by default the name of the user.
    """
    _decide(place, ids, "approved", reason, who)


@strategies.command
def reject(place: Path, *ids: str, reason: str, who: str = "", retire: Flag = False) -> None:
    """Keep strategies from being served.

    Args:
        place: A run, an artifact, or a library.jsonl.
        ids: Which.
        reason: Why.
        who: Who rejects; by default the name of the user.
        retire: They were right once: note them as retired.
    """
    _decide(place, ids, "retired" if retire else "rejected", reason, who)


def _decide(
    place: Path, ids: Sequence[str], status: Literal["approved", "rejected", "retired"], reason: str, who: str
) -> None:
    library = _open(place)
    if not ids:
        raise RunError(f"name at least one id; `fulcrum strategies list {place}` shows them")
    for id in ids:
        library.decide(id, status, who=who or getpass.getuser(), reason=reason)
        console.print(f"{id} {status}", highlight=False)


@strategies.command
def export(place: Path, /, *, output: Path | None = None, status: Status | None = None) -> None:
    """Write the library as Markdown.

    Args:
        place: A run, an artifact, or a library.jsonl.
        output: The file; by default standard output.
        status: Only those of one status.
    """
    text = to_markdown(_open(place).strategies(status))
    if output is None:
        console.file.write(text)
    else:
        output.write_text(text, encoding="utf-8")


@strategies.command(name="import")
def import_(run: Path, logs: Path, /, *, who: str = "") -> None:
    """Learn from people: propose the strategies in a file, and those by which people differ from the student in logs.

    Args:
        run: The run whose library, student and teacher to use, or a recipe, whose run need not have learned.
        logs: Lines of JSON, {"strategy": {...}} or {"messages": [...]}.
        who: Who brings them; by default the name of the user.
    """
    from fulcrum.strategies.logs import read_logs
    from fulcrum.strategies.method import import_logs

    read = read_logs(logs)
    with open_run(read_recipe(run)) if run.is_file() else _open_run(run) as opened, show_calls(opened):
        library, new, asked = import_logs(opened, read, who or getpass.getuser())
    for id in new:
        console.print(f"{id} proposed: {library.strategy(id).advice.guidance}", highlight=False)
    for where, id in asked.known:
        log.print(f"{where}: known already, see {id}", highlight=False, soft_wrap=True)
    if asked.unreadable or asked.failed:
        missed = f"{asked.unreadable} answers of the teacher could not be read, {asked.failed} calls failed"
        log.print(f"{missed}; the same command asks again where calls failed", highlight=False, soft_wrap=True)
    log.print(f"Next: fulcrum strategies test {opened.folder}", highlight=False, soft_wrap=True)


@strategies.command
def test(run: Path, *ids: str, planted: Flag = False, json: Flag = False) -> None:
    """Measure strategies on development dialogues and check them again, as after an edit; exit 1 if one harms.

    Args:
        run: The run.
        ids: Which; by default all that may be served or wait for a test.
        planted: Instead, plant twenty bad strategies in a copy of the library and print what the checks catch.
        json: Print for machines.
    """
    library = _open(run)
    with _open_run(run) as opened:
        bench = Bench(opened)
        if planted:
            _planted(bench, library, json)
            return
        harms = _test(bench, library, ids, json)
    sys.exit(1 if harms else 0)


def _test(bench: Bench, library: Library, ids: Sequence[str], json: bool) -> bool:
    from fulcrum.strategies.effects import measure

    serving = served(library, bench.settings)
    waiting = [strategy for strategy in library.strategies("proposed") if not strategy.effects]
    chosen = [library.strategy(id) for id in ids] or [*serving, *waiting]
    tested: list[Strategy] = []
    for strategy in chosen:
        bench.examine(library, strategy)
        tested.append(measure(bench, library, strategy, serving))
        if not json:
            console.print(f"{strategy.id} {_effects(tested[-1].effects.values())}", highlight=False)
    if json:
        print_json([_as_json(strategy) for strategy in tested])
    return any(effect.harms for strategy in tested for effect in strategy.effects.values())


def _planted(bench: Bench, library: Library, json: bool) -> None:
    from fulcrum.strategies.planted import harm_report

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "library.jsonl"
        report = harm_report(served(library, bench.settings), bench.policy, copy, bench.settings, bench.wording)
    if json:
        print_json(report.to_json())
        return
    for one in report.planted:
        how = "; ".join(one.caught) or "MISSED"
        console.print(f"{one.kind}: {one.advice.guidance} -> {how}", highlight=False, soft_wrap=True)
    alarms = f"{len(report.false_alarms)} of {report.own} of the library's own are blocked too"
    console.print(f"{report.caught} of {len(report.planted)} caught; {alarms}; {len(report.served)} served")


@strategies.command(name="must-pass")
def must_pass_(
    run: Path, *ids: str, reason: str = "", who: str = "", drop: Flag = False, search: str = "", json: Flag = False
) -> None:
    """Name dialogues that must succeed, no rule broken, before a library may be served; without ids, print them.

    Args:
        run: The run.
        ids: Dialogues of the train or dev split, by id or place in the data, such as customers.jsonl:12.
        reason: Why they matter.
        who: Who says so; by default the name of the user.
        drop: Take these cases back.
        search: Instead, print the ids of the dialogues whose beginning holds all these words.
        json: Print for machines.
    """
    from fulcrum.strategies.release import drop_cases, find_cases, must_pass, name_cases

    artifact = library_file(run).parent
    task = reopen(run).task
    if search:
        found = find_cases(task, search)
        if json:
            print_json(found)
            return
        for id, opening in found.items():
            _say(f"{id} {opening}")
        return
    if drop:
        drop_cases(artifact, task, ids)
    elif ids:
        name_cases(artifact, task, ids, who=who or getpass.getuser(), reason=reason)
    cases = must_pass(artifact)
    if json:
        print_json(cases)
        return
    for id, case in cases.items():
        _say(f"{id} {case['who']} {case['reason']}")
    log.print(f"{len(cases)} must pass; try them with: fulcrum strategies release {run}", soft_wrap=True)


@strategies.command
def release(run: Path, /, *, reason: str = "", who: str = "", json: Flag = False) -> None:
    """Try what would be served on the must-pass dialogues and against the last release; exit 1 if it is blocked.

    Args:
        run: The run.
        reason: Why it is released against what is found.
        who: Who releases; by default the name of the user.
        json: Print for machines.
    """
    from fulcrum.strategies.release import release as try_out

    library = _open(run)
    with _open_run(run) as opened, show_calls(opened):
        found = try_out(Bench(opened), library, who=who or getpass.getuser(), reason=reason)
    if json:
        print_json(found.to_json())
    else:
        for against in found.against:
            _say(against)
        tried = len(found.passed) + len(found.failed) + len(found.unanswered)
        must = f"{len(found.passed)} of {tried} must-pass dialogues pass"
        change = f"; {_effects([found.change])} against the release before" if found.change else ""
        _say(f"{'blocked' if found.blocked else 'released'}: {len(found.strategies)} strategies; {must}{change}")
    sys.exit(1 if found.blocked else 0)


@strategies.command
def transfer(
    run: Path,
    /,
    *,
    student: Annotated[list[str] | None, Parameter(negative=())] = None,
    task: Annotated[list[str] | None, Parameter(negative=())] = None,
    split: Split = "test",
    limit: int | None = None,
    json: Flag = False,
) -> None:
    """Give the library to other students and at other desks; the run's own ones stand beside them.

    Args:
        run: The run whose library.
        student: Another model, such as lab:large; can be given several times.
        task: Another dialogue task, such as lab:desk?seed=7; can be given several times.
        split: Which dialogues.
        limit: Only this many dialogues of each task.
        json: Print for machines.
    """
    from fulcrum.strategies.transfer import transfer as measure

    library = _open(run)
    with _open_run(run) as opened, show_calls(opened):
        cells = measure(opened, Bench(opened).measured(library), student or [], task or [], split, limit)
    print_transfer(cells, "student", json=json)


@strategies.command
def metrics(run: Path, /, *, json: Flag = False) -> None:
    """Print success, satisfaction and violations of an evaluated run, what learning cost, and when it has paid.

    Args:
        run: A run that was evaluated.
        json: Print for machines.
    """
    from fulcrum.evaluation.results import read_results
    from fulcrum.runs.learn import learning_cost
    from fulcrum.strategies.metrics import break_even, metric_rows
    from fulcrum.strategies.placebo import lines_a_turn

    results = read_results(run)
    rows, paid, cost = metric_rows(results), break_even(run, results), learning_cost(run)
    lines = lines_a_turn(results)
    if json:
        print_json(
            {
                "metrics": [row.to_json() for row in rows],
                "break_even": paid.to_json(),
                "learning": {role: asdict(taken) for role, taken in cost.items()},
                "lines": lines,
            }
        )
        return
    table = Table(names("metric"), names("solver"), "n", "mean", "difference", "customer's faults")
    for row in rows:
        mean, difference = row.mean, row.difference
        table.add_row(
            row.metric,
            row.solver,
            str(row.n),
            f"{mean.estimate:.3f} [{mean.low:.3f}, {mean.high:.3f}]",
            f"{difference.estimate:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]" if difference else "",
            str(row.faults),
        )
    console.print(table)
    if lines:
        _say("Lines of guidance a turn: " + ", ".join(f"{solver} {mean:.1f}" for solver, mean in lines.items()))
    if not any(result.solver == "shuffled" for result in results):
        _say("No placebo possible: the library has too few other strategies to show.")
    for role, taken in cost.items():
        log.print(f"learning, {role}: {taken.calls:,} calls, {taken.tokens:,} tokens, {taken.seconds:.0f} s")
    after = "never: the student with the library is not cheaper" if paid.dialogues is None else f"{paid.dialogues:,.0f}"
    console.print(f"Break-even after dialogues ({paid.unit}): {after}", highlight=False)


def _as_json(strategy: Strategy) -> dict[str, object]:
    return {
        "id": strategy.id,
        "version": strategy.version,
        "status": strategy.status,
        "advice": strategy.advice.model_dump(),
        "effects": [effect.model_dump() for effect in strategy.effects.values()],
        "findings": None if strategy.findings is None else [found.model_dump() for found in strategy.findings],
        "evidence": strategy.evidence.model_dump(mode="json"),
        "parents": list(strategy.parents),
        "merged_into": strategy.merged_into,
    }


def _effects(effects: Iterable[Effect]) -> str:
    return "; ".join(f"{one.measure} {one.estimate:+.3f} ({one.low:+.3f} to {one.high:+.3f})" for one in effects)


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
