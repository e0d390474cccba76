"""Large bodies, a piece at a time: memory holds one piece of each, and the client waits while it is stored."""

import asyncio
import hashlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.errors import BodyBrokenOffError, BodyTooLargeError, Fault, InvalidRequestError, TooManyBodiesError
from jobs.upload_errors import ChecksumError

SILENCE_SECONDS = 60  # from one byte to the next
BODIES_AT_ONCE = 32  # that a process receives; each takes a piece's memory


class Receiver:
    """Receives large bodies, so many at a time that their pieces have room in memory."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(BODIES_AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold room for one body.

        Raises:
            TooManyBodiesError: there is none.
        """
        if self._room.locked():
            raise TooManyBodiesError(f"{BODIES_AT_ONCE} large bodies are being received; try again later")
        async with self._room:
            yield


async def pieces(request: Request, piece_bytes: int, most_bytes: int) -> AsyncIterator[tuple[BytesIO, int]]:
    """Cut a body into pieces of `piece_bytes`, the last one shorter; give each with its length.

    Raises:
        BodyTooLargeError: more than `most_bytes` come.
        BodyBrokenOffError: bytes stop coming.
    """
    piece, n_bytes, left = BytesIO(), 0, most_bytes
    async for chunk in _chunks(request):
        left -= len(chunk)
        if left < 0:
            raise BodyTooLargeError(f"the body is larger than the {most_bytes} bytes that it has to have")
        rest = memoryview(chunk)
        while rest:
            n_taken = piece.write(rest[: piece_bytes - n_bytes])
            rest, n_bytes = rest[n_taken:], n_bytes + n_taken
            if n_bytes == piece_bytes:
                yield piece, n_bytes
                piece, n_bytes = BytesIO(), 0
    if n_bytes:
        yield piece, n_bytes


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                chunk = await anext(stream)
            yield chunk
    except StopAsyncIteration:
        return
    except TimeoutError:
        raise BodyBrokenOffError(f"no byte came for {SILENCE_SECONDS} seconds") from None
    except ClientDisconnect:
        raise BodyBrokenOffError("the client went away before the end of the body") from None


def content_length(request: Request) -> int | None:
    """Read how many bytes a body is going to have; None where it does not say.

    Raises:
        InvalidRequestError: it is no number of bytes, or none at all.
    """
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not text.isdecimal() or not text.isascii() or int(text) == 0:
        raise _wrong("Content-Length", "must be the number of bytes, at least 1")
    return int(text)


def require_digest(request: Request, body: BytesIO) -> None:
    """Compare a body with the checksums that came with it: `Content-MD5`, or `Content-Digest` (RFC 9530) by sha-256.

    Raises:
        InvalidRequestError: a checksum cannot be read.
        ChecksumError: the body is another.
    """
    if text := request.headers.get("content-md5"):
        _require_equal("Content-MD5", text, hashlib.md5(body.getbuffer(), usedforsecurity=False).digest())
    for part in request.headers.get("content-digest", "").split(","):
        name, _, text = part.strip().partition("=")
        if name.lower() == "sha-256":
            _require_equal("Content-Digest", text.strip(":"), hashlib.sha256(body.getbuffer()).digest())


def _require_equal(name: str, text: str, found: bytes) -> None:
    try:
        wanted = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise _wrong(name, "must be a checksum in base64") from None
    if wanted != found:
        raise ChecksumError(f"the bytes that came are not those that {name} is of; send them again")


def _wrong(name: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(f"{name}: {message}", [Fault(f"{name}:", "header", message)])
