"""`fulcrum review`."""

import getpass
import secrets
import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fulcrum.cli.common import console, log
from fulcrum.lazy import load


def review(
    run: Path,
    /,
    *,
    port: int = 8710,
    who: str = "",
    open: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Open a web page on this machine to approve strategies, or to answer a society's questions, until Ctrl-C.

    The address that it prints holds a secret: who has it may decide.

    Args:
        run: A run, an artifact, or a library.jsonl.
        port: Where; 0 takes a free one.
        who: The name on decisions; by default the name of the user. A browser may give another.
        open: Open a browser too.
    """
    place = load("fulcrum.review.place:open_place")(run)
    token = secrets.token_urlsafe(24)
    app = load("fulcrum.review.app:review_app")(
        title=place.title,
        token=token,
        reviewer=who or getpass.getuser(),
        library=place.library,
        questions=place.questions,
        retest=place.retest,
        why_no_test=place.why_no_test,
    )

    def ready(address: str) -> None:
        address = f"{address}/?token={token}"
        console.print(address, highlight=False, soft_wrap=True)
        log.print("every decision is kept at once; Ctrl-C stops the page", highlight=False)
        if open:
            webbrowser.open(address)

    try:
        load("fulcrum.review.serve:serve")(app, port, ready)
    except KeyboardInterrupt:
        log.print("stopped", highlight=False)
