import socket

import httpx
import pytest

from fulcrum.errors import SettingsError
from fulcrum.listen import address_of, take_address


def test_an_address_is_taken_once_and_refuses_clients_until_it_listens() -> None:
    with take_address("127.0.0.1", 0) as listener:
        address = address_of(listener)
        with pytest.raises(httpx.ConnectError):
            httpx.get(address)
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), pytest.raises(SettingsError, match=f"{port}.* in use"):
            take_address("127.0.0.1", port)
    assert address == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99_999), ("203.0.113.7", 0)])
def test_an_address_that_is_not_ours_is_refused(host: str, port: int) -> None:
    with pytest.raises(SettingsError, match="give another one"):
        take_address(host, port)
