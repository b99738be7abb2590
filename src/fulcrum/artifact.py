"""What a method leaves behind to be deployed: the folder `artifact/` of a run, its card, and what stands behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from fulcrum import __version__
from fulcrum.atomic import read_json, write_json, write_text
from fulcrum.chat import ChatModel, Failure, Request
from fulcrum.errors import RunError

if TYPE_CHECKING:  # a run holds an artifact
    from fulcrum.runs.run import Run

CARD = "artifact.json"
"""File of the card that machines read; `README.md` beside it is for people."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """A deployable folder and what its card says.

    Attributes:
        folder: where it is.
        method: name of the method that made it.
        recipe: name of the recipe.
        task: name of the task that it was made for.
        models: name of the model of each role.
        settings: the method's settings, resolved.
        facts: what the method wants to remember beyond that.
    """

    folder: Path
    method: str
    recipe: str
    task: str
    models: Mapping[str, str]
    settings: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A request with help added to it.

    Attributes:
        request: what to send upstream.
        added: the text that was added; None if the request goes through as it came.
        facts: how the text was chosen, for logs and response headers: form, strategy ids, ...
    """

    request: Request
    added: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def failure(self) -> Failure | None:
        """Why the artifact's generator gave no help, as a fact named `failure`, or one that ends so, tells.

        Raises:
            ValueError: the fact is no kind of failure.
        """
        kind = next((fact for name, fact in self.facts.items() if name.endswith("failure")), None)
        return None if kind is None else Failure(kind, str(self.facts.get("detail", "")))


class Rewriter(Protocol):
    """An artifact that adds help to requests for a frozen model; supplements and strategies are such."""

    def rewrite(self, requests: Sequence[Request]) -> list[Rewritten]:
        """Return each request with its help, in order; one that cannot be helped comes back unchanged."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


Deployed = Rewriter | ChatModel
"""What stands behind an endpoint: something that adds to requests, or a model that answers them itself."""

OpenModel = Callable[[str], ChatModel]
"""Opens a model by name, as `fulcrum.chat.resolve` does."""


def write_card(run: "Run", about: str, **facts: Any) -> None:
    """Write the card of a run's artifact: `artifact.json` for machines, `README.md` for people.

    Args:
        run: the run that made it.
        about: Markdown: what was learned, from what, and what to know before using it.
        facts: JSON that the method needs to deploy it.
    """
    resolved = run.recipe.resolved()
    card = {
        "format": _FORMAT,
        "fulcrum": __version__,
        "recipe": run.recipe.name,
        **{key: resolved[key] for key in ("method", "task", "settings")},
        "models": dict(run.recipe.models),
        "facts": facts,
    }
    write_json(run.artifact / CARD, card)
    write_text(run.artifact / "README.md", about.rstrip() + "\n")


def read_artifact(folder: Path) -> Artifact:
    """Read an artifact: the folder itself, or the run that holds it.

    Raises:
        RunError: there is no artifact, or it is of another format.
    """
    place = folder if (folder / CARD).exists() else folder / "artifact"
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such folder; `fulcrum runs` lists the runs")
    if not (place / CARD).exists():
        raise RunError(
            f"{folder}: holds no artifact (no {CARD}); give the folder of a run that `fulcrum train` finished, of a "
            "method that learns something: a baseline does not"
        )
    card = cast(dict[str, Any], read_json(place / CARD))
    if card["format"] != _FORMAT:
        raise RunError(
            f"{place}: its artifact has format {card['format']}, this version reads {_FORMAT}; train it again"
        )
    return Artifact(
        place, card["method"], card["recipe"], card["task"], card["models"], card["settings"], card["facts"]
    )
