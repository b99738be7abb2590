"""The socket of a server, taken before the server is there."""

import socket

from fulcrum.errors import SettingsError


def take_address(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, and refuses clients until its `listen` is called.

    Args:
        host: name or address.
        port: where; 0 takes a free one.

    Raises:
        SettingsError: the address is taken, or not ours to take.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise SettingsError(f"port {port} of {host}: {error}; give another one") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address of a socket, as a browser wants it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
