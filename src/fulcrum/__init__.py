"""Fulcrum lifts a language model on your own task by four published methods, and measures each honestly.

::

    import fulcrum

    run = fulcrum.train("recipe.toml")
    print(fulcrum.evaluate(run))

    with fulcrum.Lifted(run) as ask:
        print(ask("how many slow boats?"))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the package itself loads at once
    from fulcrum.api import Lifted, evaluate, train

__version__ = "0.1.0"

__all__ = ["Lifted", "__version__", "evaluate", "train"]


def __getattr__(name: str) -> Any:
    if name in ("Lifted", "evaluate", "train"):
        from fulcrum import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
