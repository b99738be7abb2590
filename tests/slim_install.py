"""Run with the package installed without extras: the light parts must start, and load nothing heavy.

Not a pytest module, because pytest itself is not installed there.
"""

import contextlib
import importlib
import importlib.util
import io
import sys

HEAVY = {"torch", "transformers", "peft", "trl", "accelerate", "pyarrow", "datasets", "openai", "pandas"}


def main() -> None:
    installed = [name for name in ("torch", "transformers", "trl") if importlib.util.find_spec(name)]
    assert not installed, f"not a slim install: {installed}"
    for module in ("fulcrum", "fulcrum.calls", "fulcrum.chat", "fulcrum.evaluation", "fulcrum.task"):
        importlib.import_module(module)
    from fulcrum.cli.main import main as run

    for arguments in (["--help"], ["train", "--help"], ["--version"]):
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
            run(arguments)
        assert printed.getvalue().strip(), f"fulcrum {arguments} printed nothing"
    loaded = HEAVY & sys.modules.keys()
    assert not loaded, f"light commands loaded {sorted(loaded)}"
    sys.stdout.write("slim install: fulcrum and its help start without torch and transformers\n")


if __name__ == "__main__":
    main()
