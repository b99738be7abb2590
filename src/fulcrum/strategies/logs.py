"""People as teachers: strategies that they wrote, and logs of dialogues that they held.

A line of a log is JSON, of one of two kinds:

    {"strategy": {"scenario": ..., "when": ..., "do": ..., "avoid": ..., "why": ...}}
    {"messages": [{"role": "system", ...}, {"role": "user", ...}, {"role": "assistant", ...}, ...]}

A strategy is proposed as it stands. A dialogue has the shape of the OpenAI chat protocol, text alone. Every message of
the assistant is what a person said: the student is asked at the same turns, with the task's tools, and where it says
something else the teacher model puts into words what it lacks. Where no system message says what an agent is told, the
task's policy does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fulcrum.chat import Completion, Message, system
from fulcrum.errors import LibraryError, TaskError
from fulcrum.evaluation.solver import Turn
from fulcrum.serving.errors import ApiError
from fulcrum.serving.wire import read_conversation
from fulcrum.strategies.bench import Bench
from fulcrum.strategies.dialogue import Compared, State
from fulcrum.strategies.judging import ModelJudge, Preference
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import Advice, Evidence, read_advice
from fulcrum.strategies.suggestions import Asked, ask_teacher, covers, group, known
from fulcrum.task import Question
from fulcrum.task.files import Row, made_of, read_rows


@dataclass(frozen=True, slots=True)
class Logs:
    """What a file of logs holds.

    Attributes:
        advice: strategies that people wrote, each with where it stands.
        dialogues: dialogues that people held, each with where it stands.
    """

    advice: tuple[tuple[str, Advice], ...]
    dialogues: tuple[tuple[str, tuple[Message, ...]], ...]


def read_logs(path: Path) -> Logs:
    """Read a file of logs.

    Raises:
        LibraryError: the file cannot be read, or lines are neither kind; the text names `file:line` of the first ten.
    """
    try:
        lines = made_of(read_rows(path), _line)
    except (OSError, TaskError) as error:
        raise LibraryError(str(error)) from error
    return Logs(
        tuple((where, said) for where, said in lines if isinstance(said, Advice)),
        tuple((where, said) for where, said in lines if not isinstance(said, Advice)),
    )


def _line(row: Row) -> tuple[str, Advice | tuple[Message, ...]]:
    try:
        said = read_advice(row.values["strategy"]) if "strategy" in row.values else _dialogue(row.values)
    except (LibraryError, ApiError) as error:
        raise TaskError(
            f"{row.source}: neither a strategy nor a dialogue: {error}; a line holds "
            '{"strategy": {"scenario": ..., "do": ...}} or {"messages": [...]}'
        ) from None
    return Path(row.source).name, said


def _dialogue(values: Mapping[str, Any]) -> tuple[Message, ...]:
    messages = read_conversation(dict(values)).messages
    contents = [message.get("content") for message in values["messages"]]
    kinds = {part["type"] for content in contents if isinstance(content, list) for part in cast(list[Any], content)}
    if foreign := sorted(kinds - {"text"}):
        raise LibraryError(f"messages: a part is of type {foreign[0]!r}, but only text can be learned from")
    return messages


def take_in(bench: Bench, library: Library, logs: Logs, who: str) -> tuple[list[str], Asked]:
    """Propose what logs teach. The new strategies are checked, and not yet tried.

    What a strategy of the library says already, or said first, is left out; where a person wrote it, only if that one
    applies in each situation that the person names.

    Args:
        bench: the run whose student is to learn, and whose teacher writes.
        library: where to.
        logs: what to learn from.
        who: who brings them.

    Returns:
        The ids of the new strategies, and what came of asking the teacher.

    Raises:
        BudgetSpent: a call was not made.
    """
    found = [(advice, Evidence(source="person", dialogue=where)) for where, advice in logs.advice]
    asked, duplicate = _ask(bench, logs), bench.settings.duplicate
    for one in group(asked.suggestions, duplicate):
        evidence = one.first.evidence(bench.models)
        found.append((one.advice, evidence.model_copy(update={"source": "logs"})))
    new: list[str] = []
    for advice, evidence in found:
        there = [
            one
            for one in library.strategies()
            if evidence.source == "logs" or covers(one.advice.scenario, advice.scenario, duplicate)
        ]
        same = known(advice, there, duplicate)
        if same or advice.id in library:  # its first words: what was edited since, or became of it, they are known
            asked.known.append((evidence.dialogue, same.id if same else advice.id))
        else:
            strategy = library.propose(advice, who=who, reason=f"from {evidence.dialogue}", evidence=evidence)
            bench.examine(library, strategy)
            new.append(strategy.id)
    return new, asked


def _ask(bench: Bench, logs: Logs) -> Asked:
    cases = _compare_with_student(bench, logs)
    if not cases:
        return Asked()
    if bench.judge is None:  # a log cannot be continued in another way: the person is taken to be right
        preferences: Sequence[Preference | None] = [Preference(1.0, "a person's reply") for _ in cases]
    else:
        preferences = ModelJudge(bench.judge, bench.wording).compare(cases)
        bench.check()
    better = [(case, one) for case, one in zip(cases, preferences, strict=True) if one is not None and one.gain > 0]
    return ask_teacher(bench, better)


def _compare_with_student(bench: Bench, logs: Logs) -> list[Compared]:
    """Return the turns of people at which the student says something else."""
    turns: list[tuple[State, Completion]] = []
    for where, logged in logs.dialogues:
        told = any(message.role == "system" for message in logged) or not bench.policy
        messages = logged if told else (system(bench.policy), *logged)
        heard = next((place for place, message in enumerate(messages) if message.role == "user"), len(messages))
        said = [place for place, message in enumerate(messages) if message.role == "assistant" and place > heard]
        for turn, place in enumerate(said):
            person = Completion(messages[place].content, tool_calls=messages[place].tool_calls)
            earlier = tuple(Completion(messages[one].content) for one in said[:turn])
            question = Question(where, messages[: said[0]], bench.task.tools)
            turns.append((State(question, earlier, messages[:place]), person))
    student = bench.student(name="student")
    answers = student.answer([Turn(state.question, state.messages) for state, _ in turns])
    bench.check()
    cases = [Compared(state, answer.completion, person) for (state, person), answer in zip(turns, answers, strict=True)]
    return [case for case in cases if case.differ]
