"""Reading what a society left in its run folder: which debate and which vote put a row in an agent's data."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fulcrum.atomic import read_json, read_lines
from fulcrum.errors import RunError
from fulcrum.runs.catalog import read_resolved, reopen
from fulcrum.society.arms import LINES, Line, line_shown, lines_of
from fulcrum.society.debate import Transcript
from fulcrum.society.history import FILE, read_history
from fulcrum.society.rows import Kind, TrainingRow
from fulcrum.society.settings import SocietySettings
from fulcrum.society.workshop import ROWS, read_debates


@dataclass(frozen=True, slots=True)
class LearnedRow:
    """A row that an agent learned, and where it came from.

    Attributes:
        row: the row.
        stage: name of the finetuning stage.
        debates: name of the stage of debates.
    """

    row: TrainingRow
    stage: str
    debates: str


def learned_rows(run: Path, agent: str | None = None) -> Iterator[LearnedRow]:
    """Yield every row that was learned, stage by stage; stages that later feedback did away with are left out.

    Args:
        run: the run folder.
        agent: only the rows of this agent.

    Raises:
        RunError: the run has not learned yet.
    """
    iterations = (one for found in read_history(run).iterations.values() for one in found)
    stages = {weights.parent for one in iterations for weights in one.agents.values() if weights}
    for stage in sorted(stages):
        origin = read_json(stage / "inputs.json")["debates"]
        for data in read_lines(stage / ROWS):
            if agent in (None, data["agent"]):
                yield LearnedRow(TrainingRow.from_json(data), stage.name, origin)


def counts_by_kind(rows: Iterable[LearnedRow]) -> dict[str, Counter[Kind]]:
    """Return how many rows of each kind every finetuning had, by its stage: that is by line, iteration and agent."""
    counts: dict[str, Counter[Kind]] = {}
    for learned in rows:
        counts.setdefault(learned.stage, Counter())[learned.row.kind] += 1
    return counts


def explain(run: Path, row_id: str) -> tuple[LearnedRow, Transcript]:
    """Return a row by its id, or the first digits of it, with the debate that it came from.

    Raises:
        RunError: no row has that id, or several have.
    """
    found = [learned for learned in learned_rows(run) if learned.row.id.startswith(row_id)]
    if len({learned.row.id for learned in found}) != 1:
        what = "no row has" if not found else f"{len(found)} rows have"
        raise RunError(
            f"{run}: {what} an id that begins with {row_id!r}; `fulcrum society rows RUN --agent AGENT` lists ids"
        )
    learned = found[0]
    return learned, next(
        debate
        for debate in read_debates(run / "stages" / learned.debates)
        if debate.question_id == learned.row.label.question_id
        and debate.track(learned.row.participant)[learned.row.turn].completion.text == learned.row.response
    )


def settings_of(run: Path) -> SocietySettings:
    """Return the settings that a society's run was started with."""
    return SocietySettings.model_validate(read_resolved(run)["settings"])


def steered(settings: SocietySettings) -> list[str]:
    """Return the agents that learn what people prefer, and not what they veto: the society's, if there is one."""
    line = LINES["society"]
    return line.agents(settings.debate.agents) if line in lines_of(settings.arms) else []


def shown_line(run: Path) -> Line:
    """Return the line of a run whose debates people are shown.

    Raises:
        RunError: none of its lines learns from votes.
    """
    line = line_shown(settings_of(run).arms)
    if line is None:
        raise RunError(f"{run}: nothing that settings.arms names learns from votes, so there are no labels to speak of")
    return line


def last_debates(run: Path) -> list[Transcript]:
    """Return the last debates that people are shown; of a run that has not learned yet, the first.

    Raises:
        RunError: there are none.
    """
    line = shown_line(run)
    if (run / FILE).is_file():
        stage = read_history(run).debates.get(line.name)
    else:
        finished = (run / "stages").glob(f"debate-{line.name}-1-*/finished.json")
        stage = next((path.parent.name for path in finished), None)
    if stage is None:
        raise RunError(f"{run}: holds no finished debate of {line.name!r}; run `fulcrum train` first")
    return read_debates(run / "stages" / stage)


def read_answer(run: Path, question_id: str, text: str) -> str:
    """Return the key of an answer that a person gave: one of the votes, or what the task reads in the text.

    Raises:
        RunError: the task reads no answer in it.
    """
    if any(text in debate.votes for debate in last_debates(run) if debate.question_id == question_id):
        return text
    task = reopen(run).task
    key = task.answer_key(text)
    if key is None:
        raise RunError(f"{task.name} reads no answer in {text[:60]!r}: write it as a model would")
    return key
