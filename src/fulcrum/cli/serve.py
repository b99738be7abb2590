"""`fulcrum serve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from fulcrum.lazy import load
from fulcrum.serving.settings import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(
    artifact: Path,
    /,
    *,
    settings: Annotated[ServeSettings | None, Parameter(name="*", negative=())] = None,
) -> None:
    """Put what a run learned behind an OpenAI-compatible endpoint, until Ctrl-C.

    Args:
        artifact: The run folder, or its artifact/.
        settings: How.
    """
    run = cast("Callable[[Path, ServeSettings], None]", load("fulcrum.serving.server:serve"))
    try:
        run(artifact, settings or ServeSettings())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
