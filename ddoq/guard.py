"""The one way out for every request that a user caused: only addresses that are meant to be reached. Torch-free.

Sources: the registries of special addresses of IANA (RFC 6890), RFC 6052 (NAT64), and what clouds say of their own.
"""

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import httpcore
import httpx

from ddoq.errors import AddressRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_ATTEMPTS: Final = 4  # addresses of one host that are tried
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all that is global in IPv6; the rest is refused unread
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64: the last 32 bits are the IPv4 address meant
REFUSED: Final[Mapping[Network, str]] = MappingProxyType(
    {
        ipaddress.ip_network(network): reason
        for network, reason in {
            "0.0.0.0/8": "this host",
            "10.0.0.0/8": "private",
            "100.64.0.0/10": "shared by a carrier, and a cloud's metadata",
            "127.0.0.0/8": "loopback",
            "168.63.129.16/32": "a cloud's own server",
            "169.254.0.0/16": "link-local, and clouds' metadata",
            "172.16.0.0/12": "private",
            "192.0.0.0/24": "of protocols, and a cloud's metadata",
            "192.0.2.0/24": "documentation",
            "192.88.99.0/24": "relays of 6to4",
            "192.168.0.0/16": "private",
            "198.18.0.0/15": "benchmarks",
            "198.51.100.0/24": "documentation",
            "203.0.113.0/24": "documentation",
            "224.0.0.0/4": "multicast",
            "240.0.0.0/4": "reserved, and broadcast",
            "2001::/23": "of protocols: Teredo and others that embed addresses",
            "2001:db8::/32": "documentation",
            "2002::/16": "6to4: embeds an address",
            "3fff::/20": "documentation",
        }.items()
    }
)
"""Networks that are never public, and why."""


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True)
class Rules:
    """What may be reached: every public address, and the networks (CIDR) that are allowed although they are not.

    `resolve` tells the addresses of a host; it may raise OSError.
    """

    private_networks: tuple[str, ...] = ()
    resolve: Callable[[str, int], Sequence[str]] = _resolve


def open_http(rules: Rules, timeout: httpx.Timeout | float) -> httpx.Client:
    """Make a client whose every connection is checked; it closes as a context manager.

    A host is resolved once a connection, each of its addresses is checked, and one that was checked is connected to,
    while TLS still proves the name. Unencrypted `http://` reaches only `rules.private_networks`. Redirects are not
    followed, and proxies, `.netrc` and cookies of the environment are not used; `SSL_CERT_FILE` is.

    Its calls raise AddressRefusedError beside the errors of httpx.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses whole, those that are presigned too
    return httpx.Client(transport=_GuardedTransport(rules), timeout=timeout, trust_env=False, follow_redirects=False)


def require_public(host: str, port: int, rules: Rules) -> tuple[str, ...]:
    """Resolve a host and answer its addresses, each checked.

    Raises:
        AddressRefusedError: one of them is not public, or the host is none.
        OSError: the host cannot be resolved.
    """
    return _checked(host, port, rules, refusal)


def literal_address(host: str) -> str | None:
    """Answer the address that a host stands for without being resolved, in whatever spelling; None for a name."""
    bare = host.strip("[]").rstrip(".")
    try:
        return str(ipaddress.ip_address(bare.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare))  # decimal, octal, hexadecimal, short
    except (OSError, ValueError):
        return None


def refusal(address: str, rules: Rules) -> str | None:
    """Say why an address may not be reached; None if it may."""
    if "%" in address:
        return "of one link only"
    found = _meant(ipaddress.ip_address(address))
    if _is_within(found, rules.private_networks):
        return None
    return next((reason for network, reason in REFUSED.items() if _holds(network, found)), _not_unicast(found))


def _unencrypted_refusal(address: str, rules: Rules) -> str | None:
    if "%" not in address and _is_within(_meant(ipaddress.ip_address(address)), rules.private_networks):
        return None
    return "not encrypted"


def _checked(host: str, port: int, rules: Rules, why: Callable[[str, Rules], str | None]) -> tuple[str, ...]:
    if not host.strip(".") or "%" in host or not 0 < port < 2**16:
        raise AddressRefusedError(f"{host!r} is no host that can be reached; write its plain name")
    try:
        addresses = tuple(dict.fromkeys(rules.resolve(host.rstrip("."), port)))
    except UnicodeError as error:  # a label that is too long, in the words of the codec
        raise AddressRefusedError(f"{host!r} is no host that can be reached; write its plain name") from error
    reasons = sorted({reason for address in addresses if (reason := why(address, rules))})
    if reasons or not addresses:
        # what a name leads to inside is nobody's business, so neither is the address told
        raise AddressRefusedError(f"{host!r} may not be reached from here: {', '.join(reasons) or 'no address'}")
    return addresses


def _meant(address: Address) -> Address:
    """Answer the address that is reached in the end."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _TRANSLATED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _not_unicast(address: Address) -> str | None:
    return "not a public address" if address.version == 6 and address not in _UNICAST else None


def _is_within(address: Address, networks: Iterable[str]) -> bool:
    return any(_holds(ipaddress.ip_network(network), address) for network in networks)


def _holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


@dataclass(frozen=True)
class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were checked."""

    rules: Rules
    why: Callable[[str, Rules], str | None]

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[object] | None = None,  # noqa: ARG002  the pools have none
    ) -> httpcore.NetworkStream:
        try:
            addresses = _checked(host, port, self.rules, self.why)
        except OSError as error:
            raise httpcore.ConnectError(f"{host!r} cannot be resolved: {error.strerror or error}") from error
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses[:_MOST_ATTEMPTS]:
            try:
                return httpcore.SyncBackend().connect_tcp(address, port, timeout, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host!r} has no address")


class _GuardedTransport(httpx.BaseTransport):
    """Requests of httpx over connections that are checked: one pool for TLS, one without."""

    def __init__(self, rules: Rules) -> None:
        context = httpx.create_ssl_context()
        self._pools = {
            scheme: httpcore.ConnectionPool(context, network_backend=_GuardedBackend(rules, why))
            for scheme, why in {"https": refusal, "http": _unencrypted_refusal}.items()
        }

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        pool = self._pools.get(request.url.scheme)
        if pool is None:
            raise httpx.UnsupportedProtocol(f"{request.url.scheme!r} is not spoken here")
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = pool.handle_request(asked)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=dict(answer.extensions)
        )

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


@dataclass(frozen=True)
class _Body(httpx.SyncByteStream):
    answer: httpcore.Response

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self.answer.iter_stream()

    def close(self) -> None:
        self.answer.close()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Turn the errors of httpcore into those of httpx, which have the same names."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error
