"""The review page's server, on the loopback interface and nowhere else."""

from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from fulcrum.listen import address_of, take_address

HOST = "127.0.0.1"


def serve(app: ASGIApp, port: int, ready: Callable[[str], None]) -> None:
    """Answer requests until Ctrl-C.

    Args:
        app: the application.
        port: where; 0 takes a free one.
        ready: is told the address, without the token, when the port is ours.

    Raises:
        SettingsError: the port is taken, or not ours to take.
    """
    with take_address(HOST, port) as listener:
        listener.listen()  # before the address is told: a browser that is quick then waits, and is not refused
        ready(address_of(listener))
        # The address holds the token: it is not written into an access log.
        config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])
