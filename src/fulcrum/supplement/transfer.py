"""One trained generator in front of other actors, and on other tasks."""

from collections.abc import Sequence

from fulcrum.chat import ChatModel
from fulcrum.methods import Contender
from fulcrum.runs import Run
from fulcrum.runs.transfer import TransferCell
from fulcrum.runs.transfer import transfer as measure_transfer
from fulcrum.supplement.method import SHUFFLED, SUPPLEMENTED, contenders
from fulcrum.task import Split, Task

_ASKED = (SUPPLEMENTED, SHUFFLED)


def transfer(
    run: Run, actors: Sequence[str], tasks: Sequence[str], split: Split = "test", limit: int | None = None
) -> list[TransferCell]:
    """Evaluate the generator of a run in front of every actor on every task: see `fulcrum.runs.transfer`."""

    def beside(actor: ChatModel, task: Task) -> Sequence[Contender]:
        every = contenders(run, actor, task)
        return [one for one in every if one.role == "baseline" or one.solver.name in _ASKED]

    return measure_transfer(run, "actor", beside, actors, tasks, split, limit)
