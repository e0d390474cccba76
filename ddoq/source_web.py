"""Requests to the servers of a dataset: redirects, refusals and break-offs, each with its meaning."""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, TypeVar

import httpx

from ddoq.errors import (
    DatasetChangedError,
    DatasetDeniedError,
    DatasetNotFoundError,
    DatasetUnavailableError,
    DatasetUriError,
    UntrustedServerError,
    WebPageError,
)
from ddoq.guard import open_http
from ddoq.source_types import Member, require_size, whole
from ddoq.source_uris import Reach, shown

A = TypeVar("A")

MOST_REDIRECTS: Final = 5
TIMEOUT: Final = httpx.Timeout(60, connect=20)
_DENIED: Final = {401, 403, 407, 451}
_PASSING: Final = {408, 425, 429}
_PAGES: Final = ("text/html", "application/xhtml+xml")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_PLACE: Final = re.compile(r"bytes (?:(?P<first>\d+)-\d+|\*)/(?P<size>\d+|\*)")


@dataclass(frozen=True)
class Remote:
    """A file on a server; `size` in bytes and `tag`, which changes with the content, are None where it does not tell.

    `validator` is what the server compares before it goes on with a file. What `is_fixed` never changes: its address
    says which content it is, and `sha256`, if given, is that of it.
    """

    url: httpx.URL
    size: int | None
    tag: str | None
    validator: str | None = None
    is_fixed: bool = False
    sha256: str | None = None


@dataclass(frozen=True)
class Web:
    """A client for one dataset. `admit` raises for an address that must not be asked, redirects included."""

    client: httpx.Client
    reach: Reach
    admit: Callable[[httpx.URL], None]

    @contextmanager
    def get(self, url: httpx.URL, headers: Mapping[str, str] = _NOTHING) -> Iterator[httpx.Response]:
        """Ask once, unpacked nowhere on the way; its body has not been read.

        Raises:
            DatasetUnavailableError: no answer, or one that may be another one later; also while the body is read.
            DatasetDeniedError, DatasetNotFoundError, WebPageError: by the answer.
            UntrustedServerError: the certificate is not that of the host.
            DatasetUriError: a redirect from `https://` to `http://`.
        """
        with _telling(url):
            for _ in range(MOST_REDIRECTS + 1):
                self.admit(url)
                with self.client.stream("GET", url, headers={"Accept-Encoding": "identity", **headers}) as answer:
                    if answer.next_request is None:
                        _require_good(answer)
                        yield answer
                        return
                    target = answer.next_request.url
                if url.scheme == "https" and target.scheme != "https":
                    raise DatasetUriError(f"{shown(url)!r} leads to {shown(target)!r}, which is not encrypted")
                url = target
            raise DatasetNotFoundError(f"{shown(url)!r} is a redirect once more, after {MOST_REDIRECTS}")

    def read(self, url: httpx.URL, max_bytes: int) -> tuple[bytes, httpx.Response]:
        """Read a short answer, again where it breaks off; DatasetTooLargeError for a long one."""

        def once() -> tuple[bytes, httpx.Response]:
            with self.get(url) as answer:
                return _up_to(answer, max_bytes), answer

        return patiently(once, self.reach.waits)

    def probe(self, url: httpx.URL) -> Remote:
        """Ask for a single byte, to learn size and version: some servers answer no HEAD."""

        def once() -> Remote:
            with self.get(url, {"Range": "bytes=0-0"}) as answer:
                return _described(url, answer)

        return patiently(once, self.reach.waits)

    def read_member(self, remote: Remote, member: Member) -> bytes:
        """Read a file of known size into memory.

        Raises:
            DatasetChangedError: it has another size or version by now.
        """

        def once() -> bytes:
            with self.get(remote.url) as answer:
                require_same(answer, remote)
                return b"".join(_some(answer, member.size + 1))

        return whole(patiently(once, self.reach.waits), member)


@contextmanager
def open_session(reach: Reach, admit: Callable[[httpx.URL], None]) -> Iterator[Web]:
    """Open a client for one dataset."""
    with open_http(reach.rules, TIMEOUT) as client:
        yield Web(client, reach, admit)


def patiently(call: Callable[[], A], waits: tuple[float, ...]) -> A:
    """Call again, each time after a longer wait, while the server does not answer."""
    for seconds in waits:
        try:
            return call()
        except DatasetUnavailableError:
            time.sleep(seconds)
    return call()


def first_byte(answer: httpx.Response) -> int:
    """Tell at which byte of the file the body begins."""
    found = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(found["first"] or 0) if found and answer.status_code == HTTPStatus.PARTIAL_CONTENT else 0


def require_same(answer: httpx.Response, remote: Remote) -> None:
    """Raise DatasetChangedError if the answer is of another version than was seen."""
    if not remote.is_fixed and remote.tag != _tag(answer):
        raise DatasetChangedError(f"{shown(remote.url)!r} changed while it was read; submit it again when it is final")


def _described(url: httpx.URL, answer: httpx.Response) -> Remote:
    etag, date = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
    return Remote(url, _size(answer), _tag(answer), validator=date if etag is None or etag.startswith("W/") else etag)


def _tag(answer: httpx.Response) -> str | None:
    tag: str | None = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    return tag


def _size(answer: httpx.Response) -> int | None:
    if answer.status_code == HTTPStatus.OK:
        length = answer.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None
    found = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(found["size"]) if found and found["size"] != "*" else None


def _some(answer: httpx.Response, n_bytes: int) -> Iterator[bytes]:
    """Give the body up to a few bytes more than `n_bytes`."""
    n_read = 0
    for chunk in answer.iter_raw():
        yield chunk
        n_read += len(chunk)
        if n_read >= n_bytes:
            return


def _up_to(answer: httpx.Response, max_bytes: int) -> bytes:
    data = b"".join(_some(answer, max_bytes + 1))
    require_size(len(data), max_bytes)
    return data


def _require_good(answer: httpx.Response) -> None:
    status, url = answer.status_code, shown(answer.url)
    if status in _DENIED:
        raise DatasetDeniedError(f"{url!r} is not for everybody ({status}), and no credentials are sent")
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise DatasetUnavailableError(f"{url!r} cannot be served: {status}; try again")
    if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        raise DatasetNotFoundError(f"there is no file at {url!r}: {status}")
    if answer.headers.get("Content-Type", "").lower().startswith(_PAGES) and status < HTTPStatus.BAD_REQUEST:
        raise WebPageError(f"{url!r} is a web page; give the address of the file itself")


@contextmanager
def _telling(url: httpx.URL) -> Iterator[None]:
    """Tell what may pass from what will not."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise DatasetNotFoundError(f"{shown(url)!r} leads to what is no address: {error}") from error
    except httpx.TransportError as error:
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise UntrustedServerError(f"{url.host!r} does not prove its name: {cause.verify_message}") from error
            if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
                raise DatasetNotFoundError(f"there is no host {url.host!r}") from error
        raise DatasetUnavailableError(f"{shown(url)!r} does not answer: {error}; try again") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__  # the pool of httpcore takes the cause away
