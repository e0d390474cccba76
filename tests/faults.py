"""A proxy in front of an S3 server that can be told to fail while it runs: what a network and a store really do.

One connection carries one request. Heads and bodies pass as they are, but for the two headers that SigV4 does not
sign (`Connection`, `Expect`), so that the server finds every signature right.
"""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 14
END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
INTERNAL_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Passing:
    """Everything goes through."""


@dataclass(frozen=True)
class Refusing:
    """Nobody gets an answer: each connection is reset."""


@dataclass(frozen=True)
class Slow:
    """Each request waits, and its answer trickles when `bytes_per_second` is given."""

    delay_seconds: float = 0.0
    bytes_per_second: int | None = None


@dataclass(frozen=True)
class Cutting:
    """The connection of every `every`-th request ends after so many bytes of each of its two bodies."""

    after_bytes: int
    every: int = 1


@dataclass(frozen=True)
class Failing:
    """Every `every`-th request is answered with 500."""

    every: int = 1


Fault = Passing | Refusing | Slow | Cutting | Failing


class FaultProxy:
    """Passes requests on to `upstream`, or spoils them as `fault` says, which may be set at any time."""

    def __init__(self, upstream: str) -> None:
        """Listen on a free port of 127.0.0.1."""
        address = urlsplit(upstream)
        self._upstream = (str(address.hostname), int(address.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.fault: Fault = Passing()
        self.n_requests = 0
        self.n_spoilt = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    @contextmanager
    def spoiling(self, fault: Fault) -> Iterator[None]:
        """Let a fault last as long as the block."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = Passing()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        fault, number = self.fault, self._count()
        with client, suppress(OSError):
            match fault:
                case Refusing():
                    self._spoil(client)
                case Failing(every=every) if number % every == 0:
                    self._answer_500(client)
                case Cutting(after_bytes=limit, every=every) if number % every == 0:
                    self._relay(client, body_limit=limit)
                    self._spoil(client)
                case Slow(delay_seconds=delay, bytes_per_second=rate):
                    time.sleep(delay)
                    self._relay(client, bytes_per_second=rate)
                case _:
                    self._relay(client)

    def _count(self) -> int:
        with self._counting:
            self.n_requests += 1
            return self.n_requests

    def _spoil(self, client: socket.socket) -> None:
        """End a connection in the middle, as a machine that dies does."""
        with self._counting:
            self.n_spoilt += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)

    def _answer_500(self, client: socket.socket) -> None:
        with self._counting:
            self.n_spoilt += 1
        with client.makefile("rb") as asked:
            head = _read_head(asked)
            if "expect" not in _headers(head):
                asked.read(_length(head))
        client.sendall(INTERNAL_ERROR)

    def _relay(self, client: socket.socket, body_limit: int | None = None, bytes_per_second: int | None = None) -> None:
        """Pass one request on and its answer back; at most `body_limit` bytes of either body."""
        with client.makefile("rb") as asked, socket.create_connection(self._upstream) as server:
            head = _read_head(asked)
            if not head:
                return
            if "expect" in _headers(head):
                client.sendall(CONTINUE)
            server.sendall(_one_request(head))
            length = _length(head)
            allowed = length if body_limit is None else min(length, body_limit)
            _pour(asked, server, allowed, None)
            if allowed < length:
                return
            with server.makefile("rb") as answered:
                client.sendall(_read_head(answered))
                _pour(answered, client, body_limit, bytes_per_second)


def _read_head(stream: BinaryIO) -> bytes:
    """Read up to the empty line; nothing when the other side has closed."""
    lines = []
    while (line := stream.readline()).strip():
        lines.append(line)
    return b"".join(lines) + b"\r\n" if lines else b""


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


def _length(head: bytes) -> int:
    return int(_headers(head).get("content-length", 0))


def _one_request(head: bytes) -> bytes:
    """Ask for an end of the connection behind the answer; the wait of `Expect` is over already."""
    first, *others = head.removesuffix(END_OF_HEAD).split(b"\r\n")
    kept = [line for line in others if not line.lower().startswith((b"connection:", b"expect:"))]
    return b"\r\n".join([first, *kept, b"Connection: close"]) + END_OF_HEAD


def _pour(source: BinaryIO, sink: socket.socket, n_bytes: int | None, bytes_per_second: int | None) -> None:
    """Copy `n_bytes`, or all there are, not faster than told."""
    left = n_bytes
    while left is None or left > 0:
        size = CHUNK_BYTES if bytes_per_second is None else max(1, bytes_per_second // 10)
        chunk = source.read1(size if left is None else min(size, left))
        if not chunk:
            return
        sink.sendall(chunk)
        left = None if left is None else left - len(chunk)
        if bytes_per_second is not None:
            time.sleep(len(chunk) / bytes_per_second)
