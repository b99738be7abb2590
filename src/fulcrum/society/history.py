"""What a run has trained so far: `society.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fulcrum.atomic import read_json, write_json
from fulcrum.errors import RunError
from fulcrum.society.arms import Agents

FILE = "society.json"


@dataclass(frozen=True, slots=True)
class Iteration:
    """The agents after one iteration.

    Attributes:
        number: from 1.
        agents: their weights.
        kept: those that learned nothing this time.
    """

    number: int
    agents: Agents
    kept: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class History:
    """All lines of a run.

    Attributes:
        iterations: of each line, the finished ones.
        ended: why each line ended, in a sentence.
        best: of each line the iteration whose agents are used; None if it has finished none.
        debates: of each line that has debated, the stage that holds its last debates.
    """

    iterations: dict[str, list[Iteration]]
    ended: dict[str, str]
    best: dict[str, int | None] = field(default_factory=dict[str, int | None])
    debates: dict[str, str] = field(default_factory=dict[str, str])

    def agents(self, line: str, number: int | None = None) -> Agents | None:
        """Return a line's agents after an iteration, by default its best; None if it never finished one."""
        wanted = self.best.get(line) if number is None else number
        return next((one.agents for one in self.iterations.get(line, []) if one.number == wanted), None)


def write_history(folder: Path, history: History) -> None:
    """Write the history of a run, weights as paths below its folder."""
    data = {
        line: {
            "ended": ended,
            "best": history.best.get(line),
            "debates": history.debates.get(line),
            "iterations": [
                {"number": one.number, "agents": _below(folder, one.agents), "kept": one.kept}
                for one in history.iterations.get(line, [])
            ],
        }
        for line, ended in history.ended.items()
    }
    write_json(folder / FILE, data)


def _below(folder: Path, agents: Agents) -> Mapping[str, str | None]:
    return {agent: path and path.relative_to(folder).as_posix() for agent, path in agents.items()}


def read_history(folder: Path) -> History:
    """Read what `write_history` wrote.

    Raises:
        RunError: the run has not learned yet, or is no society.
    """
    if not (folder / FILE).is_file():
        raise RunError(f'{folder}: holds no {FILE}; run `fulcrum train` on a recipe with method = "society" first')
    data: dict[str, dict[str, Any]] = read_json(folder / FILE)
    return History(
        {
            line: [
                Iteration(
                    one["number"],
                    {agent: folder / path if path else None for agent, path in one["agents"].items()},
                    one["kept"],
                )
                for one in known["iterations"]
            ]
            for line, known in data.items()
        },
        {line: known["ended"] for line, known in data.items()},
        # Runs of before there was a best one have the last, and do not say which debates were the last.
        {line: known.get("best", len(known["iterations"]) or None) for line, known in data.items()},
        {line: known["debates"] for line, known in data.items() if known.get("debates")},
    )
