"""The guard against every spelling of an address that must not be reached, and against names that change."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from ddoq.errors import AddressRefusedError
from ddoq.guard import Rules, literal_address, open_http, refusal, require_public

LOOPBACK = Rules(("127.0.0.1/32",))

PUBLIC = {
    "8.8.8.8": "a public server",
    "100.63.255.255": "the last before those that carriers share",
    "172.32.0.1": "the first behind the private ones",
    "168.63.129.17": "the neighbour of a cloud's own server",
    "192.0.1.1": "between the protocols and the documentation",
    "223.255.255.255": "the last before multicast",
    "2606:4700:4700::1111": "a public server",
    "2001:4860:4860::8888": "behind those of the protocols",
    "2a00:1450::1": "a public server",
    "::ffff:8.8.8.8": "IPv4, mapped",
    "64:ff9b::808:808": "IPv4 by way of a translator",
}
REFUSED = {
    "0.0.0.0": "this host",
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "100.64.0.1": "shared by a carrier",
    "100.100.100.200": "metadata of a cloud",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback, too",
    "168.63.129.16": "a cloud's own server, in a public network",
    "169.254.169.254": "metadata of clouds",
    "169.254.170.2": "credentials of containers",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "of protocols",
    "192.0.0.192": "metadata of a cloud",
    "192.0.2.1": "documentation",
    "192.88.99.1": "relay of 6to4",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarks",
    "198.19.255.255": "benchmarks",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "this host",
    "::1": "loopback",
    "::7f00:1": "loopback as IPv4-compatible",
    "::808:808": "IPv4-compatible: nobody reaches it so any more",
    "::ffff:127.0.0.1": "loopback, mapped",
    "::ffff:a9fe:a9fe": "metadata, mapped",
    "::ffff:0:7f00:1": "loopback, translated",
    "64:ff9b::7f00:1": "loopback by way of a translator",
    "64:ff9b::a9fe:a9fe": "metadata by way of a translator",
    "64:ff9b:1::808:808": "a translator of one's own",
    "100::1": "discard only",
    "2001::1": "Teredo",
    "2001:0:7f00:1::": "Teredo",
    "2001:2::1": "benchmarks",
    "2001:10::1": "ORCHID",
    "2001:20::1": "ORCHID, second",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "loopback as 6to4",
    "2002:808:808::": "6to4",
    "3fff::1": "documentation",
    "4000::1": "given to nobody",
    "5f00::1": "segment routing",
    "fc00::1": "unique local",
    "fd00:ec2::254": "metadata of a cloud",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local, with its link",
    "2606:4700:4700::1111%eth0": "public, with a link",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast, global",
}
SPELLINGS = {
    "2130706433": "decimal",
    "017700000001": "octal",
    "0177.0.0.1": "octal in one part",
    "0x7f.0.0.1": "hexadecimal in one part",
    "0x7f000001": "hexadecimal",
    "127.1": "short",
    "127.0.0.1.": "with a dot at the end",
    "localhost": "a name",
    "localhost.": "a name with a dot at the end",
    "::1": "IPv6",
    "::ffff:127.0.0.1": "mapped",
    "0:0:0:0:0:ffff:7f00:0001": "mapped, in hexadecimal",
    "": "no host",
    ".": "only a dot",
    "%31%32%37.0.0.1": "percent-encoded",
    "fe80::1%25lo": "with a link",
    "a" * 70: "a label that is too long",
}


@pytest.mark.parametrize("address", PUBLIC, ids=lambda address: f"{address} {PUBLIC[address]}")
def test_a_public_address_may_be_reached(address: str) -> None:
    assert refusal(address, Rules()) is None


@pytest.mark.parametrize("address", REFUSED, ids=lambda address: f"{address} {REFUSED[address]}")
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(address, Rules())


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("10.1.0.0/16", "10.1.2.3"),
        ("10.1.0.0/16", "::ffff:10.1.2.3"),
        ("fd12::/16", "fd12::1"),
        ("127.0.0.1/32", "127.0.0.1"),
    ],
)
def test_an_allowed_private_network_may_be_reached(network: str, address: str) -> None:
    assert refusal(address, Rules((network,))) is None


@pytest.mark.parametrize("address", ["10.2.0.1", "127.0.0.1", "fd12::1", "64:ff9b::a02:1"])
def test_an_allowed_private_network_opens_no_other(address: str) -> None:
    assert refusal(address, Rules(("10.1.0.0/16",)))


@pytest.mark.parametrize("host", SPELLINGS, ids=SPELLINGS.values())
def test_no_spelling_of_this_machine_is_connected_to(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        require_public(host, 443, Rules())


@pytest.mark.parametrize("host", ["2130706433", "0177.1", "0x7f.1", "127.0.0.1.", "[::1]", "::1", "[fe80::1%25lo]"])
def test_a_literal_address_is_known_without_resolving_it(host: str) -> None:
    address = literal_address(host)
    assert address is not None
    assert refusal(address, Rules())


@pytest.mark.parametrize(
    "host", ["example.com", "1.example.com", "localhost", "127.0.0.1.example.com", "", "face.b00c"]
)
def test_a_name_is_no_literal_address(host: str) -> None:
    assert literal_address(host) is None


def test_a_single_private_address_among_public_ones_refuses_the_host() -> None:
    with pytest.raises(AddressRefusedError, match="'mixed"):
        require_public("mixed.example", 443, Rules(resolve=lambda *_: ["8.8.8.8", "10.0.0.1"]))


def test_a_refusal_does_not_tell_what_a_name_inside_leads_to() -> None:
    with pytest.raises(AddressRefusedError) as caught:
        require_public("db.internal", 443, Rules(resolve=lambda *_: ["10.20.30.40"]))
    assert "10.20.30.40" not in str(caught.value)


class Answer(BaseHTTPRequestHandler):
    """Answers `hello`, and redirects from `/onward` to the path in its query."""

    def do_GET(self) -> None:
        found, _, target = self.path.partition("?")
        self.send_response(302 if found == "/onward" else 200)
        if found == "/onward":
            self.send_header("Location", target)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class Rebinding:
    """A name server whose answer changes from one question to the next."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.n_asked = 0

    def __call__(self, _host: str, _port: int) -> list[str]:
        self.n_asked += 1
        return [self.answers.pop(0)]


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(port: int) -> None:
    names = Rebinding("127.0.0.1", "10.0.0.1")
    with open_http(Rules(("127.0.0.1/32",), names), timeout=5) as client:
        assert client.get(f"http://rebound.example:{port}/").text == "hello"
    assert names.n_asked == 1


def test_a_name_that_turns_private_is_refused_when_it_is_connected_to_again(port: int) -> None:
    names = Rebinding("127.0.0.1", "127.0.0.2")
    with open_http(Rules(("127.0.0.1/32",), names), timeout=5) as client:
        client.get(f"http://rebound.example:{port}/", headers={"Connection": "close"})
        with pytest.raises(AddressRefusedError):
            client.get(f"http://rebound.example:{port}/")
    assert names.n_asked == 2


def test_a_redirect_is_checked_like_every_other_request(port: int) -> None:
    with open_http(LOOPBACK, timeout=5) as client, pytest.raises(AddressRefusedError):
        client.get(f"http://127.0.0.1:{port}/onward?http://169.254.169.254/latest", follow_redirects=True)


@pytest.mark.parametrize("host", ["2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_a_client_connects_to_no_spelling_of_this_machine(host: str, port: int) -> None:
    with open_http(Rules(), timeout=5) as client, pytest.raises(AddressRefusedError):
        client.get(f"https://{host}:{port}/")


def test_without_encryption_only_private_networks_are_reached() -> None:
    public = Rules(("127.0.0.1/32",), resolve=lambda *_: ["8.8.8.8"])
    with open_http(public, timeout=5) as client, pytest.raises(AddressRefusedError, match="not encrypted"):
        client.get("http://public.example/")


def test_a_proxy_of_the_environment_is_not_used(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with open_http(LOOPBACK, timeout=5) as client:
        assert client.get(f"http://127.0.0.1:{port}/").text == "hello"


def test_the_next_address_is_tried_when_one_does_not_answer(port: int) -> None:
    rules = Rules(("127.0.0.0/8",), resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])
    with open_http(rules, timeout=5) as client:
        assert client.get(f"http://two.example:{port}/").text == "hello"


def test_a_host_that_is_not_there_is_an_error_of_the_connection() -> None:
    def unknown(host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with open_http(Rules(resolve=unknown), timeout=5) as client, pytest.raises(httpx.ConnectError, match="resolved"):
        client.get("https://no.example/")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd"])
def test_another_protocol_is_not_spoken(url: str) -> None:
    with open_http(LOOPBACK, timeout=5) as client, pytest.raises(httpx.UnsupportedProtocol):
        client.get(url)
