"""What one library does for other students and at other desks."""

from collections.abc import Sequence

from fulcrum.chat import ChatModel, Sampling
from fulcrum.methods import Contender
from fulcrum.runs import Run
from fulcrum.runs.transfer import TransferCell
from fulcrum.runs.transfer import transfer as measure_transfer
from fulcrum.strategies.bench import LIBRARY, wording_for
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from fulcrum.strategies.placebo import placebo
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.solver import Student, retrieved
from fulcrum.task import Split, Task


def transfer(
    run: Run,
    strategies: Sequence[Strategy],
    students: Sequence[str],
    tasks: Sequence[str],
    split: Split = "test",
    limit: int | None = None,
) -> list[TransferCell]:
    """Let every student hold the dialogues of every task, alone and with a library: see `fulcrum.runs.transfer`."""
    settings = run.recipe.settings_as(StrategiesSettings)
    library, retriever = Library(run.artifact / LIBRARY), Retriever(strategies, settings.retrieval)

    def beside(student: ChatModel, task: Task) -> Sequence[Contender]:
        wording = wording_for(task.name, settings)
        sampling = Sampling(max_tokens=settings.max_tokens or task.max_tokens)
        helped, control = retrieved(retriever, wording), placebo(library, retriever, wording, settings, run.recipe.seed)
        contenders = [
            Contender(Student(student, sampling, wording, None, name="student"), "baseline"),
            Contender(Student(student, sampling, wording, helped, name="retrieved"), "method"),
        ]
        if control is not None:
            contenders.append(Contender(Student(student, sampling, wording, control, name="shuffled"), "control"))
        return contenders

    return measure_transfer(run, "student", beside, students, tasks, split, limit)
