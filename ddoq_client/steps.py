"""What a flow may ask its driver for.

A flow is a generator that never touches the network: it yields steps, gets what came of each, and returns its result.
So every call is written once, for threads and for asyncio.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

T = TypeVar("T")

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """One request.

    `path` lies below the service's address; a whole URL is another server's, which does not get the API key.
    `is_repeatable`: whether sending it again changes nothing that sending it once does not.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    is_repeatable: bool = True


@dataclass(frozen=True)
class Answer:
    """What came back. `in_doubt`: whether an earlier try may have been carried out without an answer."""

    url: str
    status: int
    headers: httpx.Headers
    content: bytes = b""
    in_doubt: bool = False


class BrokenError(Exception):
    """A request was not answered, or not to the end. `was_sent`: whether the server may have seen it."""

    def __init__(self, url: str, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.url, self.was_sent = url, was_sent


@dataclass(frozen=True)
class Ask:
    """Send a request; get its Answer, or BrokenError."""

    request: Request


@dataclass(frozen=True)
class Open:
    """Send a request and leave a good answer's body to Read; what was open before is closed."""

    request: Request


@dataclass(frozen=True)
class Read:
    """Get the next bytes of what is open, empty at its end, or BrokenError."""


@dataclass(frozen=True)
class Pause:
    """Let some time pass."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Do something that takes a while on this machine, such as reading a file; get what it returns."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Give something to whoever iterates."""

    item: T


Step = Ask | Open | Read | Pause | Work
Flow = Generator[Step, Any, T]
Emitting = Generator[Step | Emit[T], Any, None]


def read_chunk() -> Flow[bytes]:
    """Get the next bytes of what is open, empty at its end."""
    chunk: bytes = yield Read()
    return chunk


def work(do: Callable[[], T]) -> Flow[T]:
    """Do something that takes a while on this machine."""
    done: T = yield Work(do)
    return done
