"""`fulcrum`: the command line. Each command is a module, loaded when it is called."""

import codecs
import io
import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import fulcrum
from fulcrum.errors import FulcrumError

if TYPE_CHECKING:
    from cyclopts import App

_ABOUT = "Lift a language model on your own task, measure honestly, deploy what won."
_COMMANDS = {
    "demo": "See it work on the lab: no key, no GPU, no download.",
    "train": "Run a recipe: learn, and write the artifact.",
    "evaluate": "Measure a run on held-out examples against baseline and controls.",
    "compare": "Put several runs side by side, paired on the same examples.",
    "report": "Write one HTML page for a run, or for several compared.",
    "serve": "Deploy what a run learned behind an OpenAI-compatible endpoint.",
    "plan": "What a recipe will take: calls, tokens, money, minutes, memory.",
    "doctor": "Check endpoints, models, task, machine; a remedy for each finding.",
    "validate": "Prove with no model that every gold answer of a task scores 1.0.",
    "runs": "List, show or compare run folders.",
    "lab": "The Corner Shop: its tasks, its worlds, and its tiny models.",
    "chat": "Talk to a model in the terminal.",
    "review": "A web page to approve strategies, or to correct a society's labels.",
    "calls": "What a run's call store holds: totals, single calls, export.",
}

_METHOD_COMMANDS = {
    "supplement": "Audit a run of supplements, or try its generator elsewhere.",
    "strategies": "The library of a run: list, show, approve, reject, test, import, export, transfer.",
    "leverage": "Data-efficiency curve, arms and controls, the mix as a file.",
    "society": "Curves, labels and debates of a society; feedback; export.",
}
"""What only runs of one method have; the first screen names them in one line."""


def overview() -> str:
    """Return the first screen: all commands, a line each. It loads no library, so that it is there at once."""
    commands = "\n".join(f"  {name:<11}{about}" for name, about in _COMMANDS.items())
    return f"""Usage: fulcrum COMMAND

{_ABOUT}

{commands}

More for the runs of one method: {", ".join(_METHOD_COMMANDS)}.
fulcrum COMMAND --help says more of a command; --version prints the version.
"""


@cache
def application() -> "App":
    """Return the command line; a command's module is loaded when the command is called."""
    from cyclopts import App

    app = App(
        name="fulcrum",
        help=_ABOUT,
        version=fulcrum.__version__,
        version_flags=["--version"],
        help_flags=["--help", "-h"],
        help_format="plaintext",  # the other formats load a parser for markup that our help does not use
        suppress_keyboard_interrupt=False,
    )
    for name, about in (_COMMANDS | _METHOD_COMMANDS).items():
        app.command(f"fulcrum.cli.{name}:{name}", name=name, help=about)
    return app


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write what a terminal has no letter for as JSON does, so that `--json` stays JSON."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _never_fail_to_print() -> None:
    codecs.register_error("fulcrum-escape", _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fulcrum-escape")


def _lines(error: Exception) -> list[str]:
    """Return what an error says; where flags were checked against a model of settings, in its words."""
    from pydantic import ValidationError

    from fulcrum.settings import Document, sentences

    if isinstance(error.__cause__, ValidationError):
        return sentences(error.__cause__, Document())
    return str(error).splitlines()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exit codes: 0 done, 1 done but something was found wanting, 2 cannot work, 130 stopped."""
    _never_fail_to_print()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments in ([], ["--help"], ["-h"]):
        sys.stdout.write(overview())
        return
    from cyclopts import CycloptsError

    try:
        application()(arguments, exit_on_error=False, print_error=False)
    except (CycloptsError, FulcrumError) as error:
        for line in _lines(error):
            sys.stderr.write(f"fulcrum: {line}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\nfulcrum: stopped; every finished call is stored, the same command continues\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; there is nobody left to tell
        sys.exit(141)
    except OSError as error:  # no space, no permission, a file where a folder should be
        sys.stderr.write(f"fulcrum: {error.filename or 'input or output'}: {error.strerror or error}\n")
        sys.exit(2)
