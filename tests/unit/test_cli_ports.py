"""Ports that are chosen long before a server listens at them."""

import socket
import sys

import pytest

from cli.servers import free_port, is_free

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be kept for a server")


def test_a_server_may_listen_at_a_free_port_and_is_heard() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)) as client:
        accepted, address = server.accept()
        accepted.close()
        assert address == client.getsockname()
    assert is_free(port)


def test_a_free_port_is_kept_from_who_asks_for_any() -> None:
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", free_port()))  # the system hands out only what could be bound so
