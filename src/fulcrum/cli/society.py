"""`fulcrum society`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.table import Table

from fulcrum.atomic import read_json
from fulcrum.cli.common import console, log, names, print_json, shorten
from fulcrum.cli.progress import show_calls
from fulcrum.errors import RunError
from fulcrum.runs import Run
from fulcrum.runs.catalog import read_resolved, reopen
from fulcrum.settings import nearest
from fulcrum.task import Split

if TYPE_CHECKING:  # the commands themselves load it when they need it
    from collections.abc import Mapping

    from fulcrum.society.feedback import Event
    from fulcrum.society.rows import Kind

society = App(name="society", help="Curves, labels, rows and debates of a society; feedback from people; export.")

_SHOWN = {"disagreement": "disagree", "dissimilarity": "dissimilar"}
"""The measures of diversity in the table of a curve, and their columns; its JSON holds all of them."""

_KINDS: "Mapping[Kind, str]" = {
    "generation": "its first answer matches the label",
    "corrected": "D-, its first answer was wrong and its last matches the label",
    "kept": "D+, its first and its last answer match the label",
}
"""What a row of each kind is."""

Machine = Annotated[bool, Parameter(negative=())]


@society.command
def curve(run: Path, /, *, split: Split = "dev", limit: int | None = None, json: Machine = False) -> None:
    """Print accuracy and diversity of every arm by iteration, and how far the society is ahead of each.

    Args:
        run: The run folder.
        split: The dev split was measured while training; another is measured now, into iterations-SPLIT.json.
        limit: Measure only this many examples of that split.
        json: Print for machines.
    """
    from fulcrum.evaluation.render import interval_text

    name = "iterations.json" if split == "dev" else f"iterations-{split}.json"
    if split != "dev":
        from fulcrum.society.measure import write_points
        from fulcrum.society.method import measure_history

        with Run(run, reopen(run)) as opened, show_calls(opened):
            write_points(opened.folder / name, measure_history(opened, split, limit))
    points = read_json(_file(run, name))
    if json:
        print_json(points)
        return
    table = Table(names("arm"), "iteration", "right", "95 %", "against greedy", "calls", *_SHOWN.values())
    for point in points:
        low, high = point["low"] * 100, point["high"] * 100
        gain = interval_text(point["gain"], point["gain_low"], point["gain_high"], sign="+") if "gain" in point else ""
        table.add_row(
            point["arm"],
            str(point["iteration"]),
            f"{point['mean'] * 100:.1f} % of {point['n']}" if point["n"] else "all failed",
            f"{low:.1f} to {high:.1f}",
            gain,
            f"{point['calls']:.0f}",
            *(f"{point['diversity'][key]:.2f}" if point["diversity"] else "" for key in _SHOWN),
        )
    console.print(table)
    ahead = {point["iteration"]: point["ahead_of"] for point in points if point.get("ahead_of")}
    if ahead:
        table = Table(names("the society is ahead of"), *(f"iteration {iteration}" for iteration in ahead))
        for arm in dict.fromkeys(arm for others in ahead.values() for arm in others):
            table.add_row(
                arm, *(interval_text(*others[arm], sign="+") if arm in others else "" for others in ahead.values())
            )
        console.print(table)


@society.command
def labels(run: Path, /, *, json: Machine = False) -> None:
    """Print how often the pseudo-labels were right, by margin of the vote, where targets are known.

    Args:
        run: The run folder.
        json: Print for machines.
    """
    rows = read_json(_file(run, "labels.json"))
    if json:
        print_json(rows)
        return
    table = Table(names("line"), "iteration", "margin", "labels", "right", "95 %")
    for row in rows:
        margin = "all" if row["margin"] is None else f"{row['margin']:.2f}"
        interval = f"{row['low'] * 100:.0f} to {row['high'] * 100:.0f} %"
        share = f"{row['share'] * 100:.0f} %"
        table.add_row(row["line"], str(row["iteration"]), margin, str(row["labels"]), share, interval)
    console.print(table)


@society.command
def rows(run: Path, /, *, agent: str | None = None, json: Machine = False) -> None:
    """Print how many rows of each kind every agent learned; of one agent, the rows themselves, a line each.

    Args:
        run: The run folder.
        agent: List the rows of this agent, such as critic-2.
        json: Print whole rows for machines.
    """
    from fulcrum.society.records import counts_by_kind, learned_rows

    _file(run, "society.json")
    found = list(learned_rows(run, agent))
    if json:
        print_json([{"id": learned.row.id, "stage": learned.stage, **learned.row.to_json()} for learned in found])
        return
    if agent is None:
        table = Table(names("finetuning"), "rows", *(f"{what} ({kind})" for kind, what in _KINDS.items()))
        for stage, counts in counts_by_kind(found).items():
            total = counts.total()
            table.add_row(stage, str(total), *(f"{counts[kind]}, {counts[kind] / total:.0%}" for kind in _KINDS))
        console.print(table)
        return
    for learned in found:
        row = learned.row
        console.print(f"{row.id} {learned.stage} {row.kind} {row.label.question_id}", highlight=False, soft_wrap=True)


@society.command
def why(run: Path, row: str, /) -> None:
    """Print which debate and which vote put a row in an agent's data.

    Args:
        run: The run folder.
        row: The row's id, or its first digits.
    """
    from fulcrum.society.records import explain

    learned, debate = explain(run, row)
    found, label = learned.row, learned.row.label
    console.print(f"{found.agent} learned this in {learned.stage}: {_KINDS[found.kind]}.", highlight=False)
    votes = ", ".join(f"{count} x {answer}" for answer, count in label.votes.items())
    told = f"Label {label.answer} by {label.source}; votes {votes}; margin {label.margin:.2f}."
    console.print(told, highlight=False)
    console.print(f"Debate of question {debate.question_id} in {learned.debates}:", highlight=False)
    for message in debate.messages:
        console.print(message.content, highlight=False, style="cyan")
    for number, statements in enumerate(debate.rounds, start=1):
        for place, said in enumerate(statements):
            mark = " <- this row" if (place, number - 1) == (found.participant, found.turn) else ""
            console.print(f"round {number}, participant {place + 1}{mark}", style="bold", highlight=False)
            if said.summary:
                console.print(f"told: {said.summary}", highlight=False, style="dim")
            failure = said.completion.failure
            text = f"({failure.kind}: {failure.detail})" if failure else said.completion.text
            console.print(text, highlight=False)


@society.command
def split(run: Path, /, *, count: int = 20, json: Machine = False) -> None:
    """List the questions on which the society's last votes were most split: where a person's word tells most.

    Args:
        run: The run folder.
        count: How many.
        json: Print for machines.
    """
    from fulcrum.society.feedback import most_split
    from fulcrum.society.records import last_debates

    debates = most_split(last_debates(run))[:count]
    if json:
        print_json([debate.to_json() | {"votes": dict(debate.votes)} for debate in debates])
        return
    for debate in debates:
        votes = ", ".join(f"{answer} ({number})" for answer, number in debate.votes.most_common())
        asked = shorten(debate.messages[-1].content)
        console.print(f"{debate.question_id} {asked}", highlight=False, soft_wrap=True)
        console.print(f"    votes: {votes or 'none'}", highlight=False)


@society.command
def fix(run: Path, question: str, answer: str | None = None, /, *, by: str) -> None:
    """Say what the right answer to a question is; without an answer, leave the question out.

    Args:
        run: The run folder; `fulcrum train` on its recipe then trains again what this changes.
        question: The question's id.
        answer: The final answer, one of the votes or in words that the scorer reads.
        by: Who says so.
    """
    from fulcrum.society.feedback import Event
    from fulcrum.society.records import read_answer

    if answer is not None:
        answer = read_answer(run, question, answer)
    _append(run, Event("label", question, by, answer=answer))


@society.command
def prefer(run: Path, question: str, agent: str, /, *, chosen: str, rejected: str, by: str) -> None:
    """Say which of two answers an agent should rather give; it learns that by preference training.

    Args:
        run: The run folder.
        question: The question's id.
        agent: Who should, such as generator-1.
        chosen: The better answer.
        rejected: The worse answer.
        by: Who says so.
    """
    from fulcrum.society.feedback import Event

    _append(run, Event("prefer", question, by, agent=agent, chosen=chosen, rejected=rejected))


@society.command
def veto(run: Path, question: str, agent: str, /, *, by: str) -> None:
    """Keep an agent from learning from its debate on a question.

    Args:
        run: The run folder.
        question: The question's id.
        agent: Who, such as critic-2.
        by: Who says so.
    """
    from fulcrum.society.feedback import Event

    _append(run, Event("veto", question, by, agent=agent))


@society.command
def export(run: Path, folder: Path, /, *, line: str = "society", iteration: int | None = None) -> None:
    """Copy every agent as an ordinary PEFT adapter, one folder an agent, and tell how vLLM offers them.

    Args:
        run: The run folder.
        folder: Where to.
        line: Whose agents.
        iteration: After which iteration; by default the one that is best on dev.
    """
    from fulcrum.chat.served import lora_modules
    from fulcrum.society.deploy import export as copy
    from fulcrum.society.history import read_history

    history = read_history(run)
    agents = history.agents(line, iteration)
    if agents is None:
        done = {name: len(iterations) for name, iterations in history.iterations.items()}
        raise RunError(f"{run}: {line!r} has no such iteration; finished are {done}")
    written = copy(folder, agents, read_resolved(run)["models"]["agent"])
    for path in written:
        console.print(str(path), highlight=False, soft_wrap=True)
    adapters = [path for path in written if (path / "adapter_config.json").is_file()]
    if adapters:
        log.print(f"vllm serve BASE --enable-lora {lora_modules(adapters)}", highlight=False, soft_wrap=True)


def _append(run: Path, event: "Event") -> None:
    from fulcrum.society.feedback import append_feedback
    from fulcrum.society.records import settings_of, steered

    resolved = read_resolved(run)
    if resolved["method"] != "society":
        raise RunError(f"{run}: its method is {resolved['method']}; only a society learns from labels and votes")
    task = reopen(run).task
    known = {example.id for example in task.examples("train")}
    agents = steered(settings_of(run))
    if event.kind != "label" and not agents:
        raise RunError(
            f"{run}: only the society's agents learn what people {event.kind}, and settings.arms has no society; "
            "`fulcrum society fix` says what the right answer is"
        )
    if event.kind != "label" and event.agent not in agents:
        raise RunError(
            f"{run}: the society has no agent {event.agent!r}{nearest(event.agent, agents)}; it has {', '.join(agents)}"
        )
    if event.question_id not in known:
        raise RunError(
            f"{run}: there is no question {event.question_id!r} in the train split of {resolved['task']}; "
            "`fulcrum society split RUN` lists ids"
        )
    append_feedback(run, [event])
    log.print(f"noted in {run / 'feedback.jsonl'}; `fulcrum train` continues the run with it", soft_wrap=True)


def _file(run: Path, name: str) -> Path:
    if not (run / name).is_file():
        raise RunError(f"{run}: holds no {name}; run `fulcrum train` on a recipe of a society first")
    return run / name
