"""The review page's server, on the loopback interface and nowhere else."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from fulcrum.errors import SettingsError

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
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # before the address is told: a browser that is quick then waits, and is not refused
        except (OSError, OverflowError) as error:
            raise SettingsError(f"--port {port}: {error}; give another one, or none for a free one") from error
        ready(f"http://{HOST}:{listener.getsockname()[1]}")
        # The address holds the token: it is not written into an access log.
        config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])
