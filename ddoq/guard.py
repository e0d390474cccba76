"""A stand-in for the guard of outgoing requests, with its signatures; the whole one takes its place."""

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import httpcore
import httpx

from ddoq.errors import DdoqError


class AddressRefusedError(DdoqError):
    """The host leads to an address that may not be reached from here."""

    code = "address.refused"


def _resolve(host: str, port: int) -> Sequence[str]:
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Rules:
    """What may be reached: every public address, and the networks (CIDR) that are allowed although they are not."""

    private_networks: tuple[str, ...] = ()
    resolve: Callable[[str, int], Sequence[str]] = _resolve


def require_public(host: str, port: int, rules: Rules) -> tuple[str, ...]:
    """Resolve a host and answer its addresses, each checked.

    Raises:
        AddressRefusedError: one of them is not public.
        OSError: the host cannot be resolved.
    """
    addresses = tuple(rules.resolve(host, port))
    allowed = [ipaddress.ip_network(network) for network in rules.private_networks]
    for address in map(ipaddress.ip_address, addresses):
        if not address.is_global and not any(address in network for network in allowed):
            raise AddressRefusedError(f"{host!r} may not be reached from here")
    return addresses


def open_http(rules: Rules, timeout: httpx.Timeout | float) -> httpx.Client:
    """Make a client whose every connection is checked; it closes as a context manager."""
    transport = httpx.HTTPTransport()
    transport._pool._network_backend = _Backend(rules)
    return httpx.Client(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)


@dataclass(frozen=True)
class _Backend(httpcore.NetworkBackend):
    rules: Rules

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            address = require_public(host, port, self.rules)[0]
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return httpcore.SyncBackend().connect_tcp(address, port, timeout, local_address, socket_options)
