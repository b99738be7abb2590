"""What scripts and notebooks want: train, evaluate, use what was learned. The command line does this and more."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from fulcrum.artifact import Rewriter, read_artifact
from fulcrum.chat import ChatModel, Message, Request, Sampling, complete, resolve, user
from fulcrum.errors import ModelError
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.lazy import load
from fulcrum.methods import load_method
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run, default_folder, open_run
from fulcrum.runs.catalog import reopen
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.task import Split


def train(
    recipe: str | Path, flags: Mapping[str, str] | None = None, *, output: str | Path | None = None, quick: bool = False
) -> Path:
    """Run a recipe and return the folder of the run; called again it continues, or returns at once.

    Args:
        recipe: the recipe file.
        flags: keys of the recipe with their texts, such as `{"settings.rounds": "2"}`; they win over the file.
        output: the run folder; by default runs/NAME-HASH.
        quick: the short version.

    Raises:
        FulcrumError: the recipe is wrong, or cannot be run to its end.
    """
    checked = read_recipe(Path(recipe), flags, quick=quick)
    folder = Path(output) if output else default_folder(checked)
    with open_run(checked, folder) as run:
        learn(run)
    return folder


def evaluate(run: str | Path, *, split: Split = "test", limit: int | None = None) -> Sequence[EvaluationRow]:
    """Measure a run on held-out examples, leave `report.html` in it, and return a row for each contender.

    Args:
        run: the run folder.
        split: which examples.
        limit: answer only so many of them.

    Raises:
        FulcrumError: the folder holds no run that has learned, or answers cannot be had.
    """
    folder = Path(run)
    with Run(folder, reopen(folder)) as opened:
        rows, _ = evaluate_run(opened, split, limit)
    load("fulcrum.report:write_report")(folder)
    return rows


class Lifted:
    """A model with what a run learned for it, to be called with a question. A context manager.

    Args:
        run: the run folder, or its artifact.
        upstream: the model that answers, where the artifact only adds to what it is asked; by default the one that
            the run was made for.

    Raises:
        FulcrumError: there is no artifact, or a model cannot be opened.
    """

    def __init__(self, run: str | Path, *, upstream: str | None = None) -> None:
        artifact = read_artifact(Path(run))
        method = load_method(artifact.method)
        self._rewriter: Rewriter | None = None
        with ExitStack() as opened:
            deployed = method.deploy(artifact, resolve)
            opened.callback(deployed.close)
            if hasattr(deployed, "rewrite"):
                self._rewriter = cast(Rewriter, deployed)
                answers = next(iter(method.roles))  # the role that answers stands first
                deployed = resolve(upstream or artifact.models[answers])
                opened.callback(deployed.close)
            self._model = cast(ChatModel, deployed)
            self._opened = opened.pop_all()

    def __call__(self, asked: str | Sequence[Message], sampling: Sampling | None = None) -> str:
        """Return the answer to a question, or to a conversation so far; greedy, unless the sampling says otherwise.

        Raises:
            ModelError: there is no answer, or it was cut off.
        """
        messages = (user(asked),) if isinstance(asked, str) else tuple(asked)
        request = Request(messages, sampling or Sampling())
        if self._rewriter:
            request = self._rewriter.rewrite([request])[0].request
        (completion,) = complete(self._model, [request])
        if completion.failure is not None:
            raise ModelError(f"no answer: {completion.failure.kind}: {completion.failure.detail}")
        return completion.text

    def close(self) -> None:
        """Free the models."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
