"""The process that decodes images of strangers: it has limits, no secrets, and nothing to write to but its answer.

Started by `ddoq.decoding` as `python -c ... SECONDS BYTES IDLE_SECONDS`, with a socket as its standard input.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ddoq.decoding_frames import READY, REQUEST_HEAD, SIZE, read_request_head, read_sizes, write_bad, write_good
from ddoq.image_rules import Aspect, UnreadableImageError
from ddoq.pictures import decode

_SOCKET: Final = 0
_MAX_FILES: Final = 16  # Pillow loads some of its own modules late
_LIMITS: Final = {"RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0, "RLIMIT_NOFILE": _MAX_FILES}


def main() -> None:
    seconds, n_bytes, idle_seconds = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    _confine(n_bytes)
    os.write(_SOCKET, READY)
    while select.select([_SOCKET], [], [], idle_seconds)[0]:
        head = _read(REQUEST_HEAD.size)
        if head is None:
            return
        request = read_request_head(head)
        sizes = read_sizes(_read_all(SIZE.size * request.n_images), request.n_images)
        images = [_read_all(size) for size in sizes]
        answer = b"".join(_answers(images, request.resolution, request.aspect, seconds))
        _write(SIZE.pack(len(answer)) + answer)


def _confine(n_bytes: int) -> None:
    """Give up what decoding does not need. A system that lacks one of the limits keeps the others."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it, by closing the socket
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for name, most in (_LIMITS | {"RLIMIT_AS": n_bytes}).items():
        with suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (most, most))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff talks


def _answers(images: list[bytes], resolution: int, aspect: Aspect, seconds: float) -> Iterator[bytes]:
    for data in images:
        signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends the process, in the midst of C too
        yield _answer(data, resolution, aspect)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(data: bytes, resolution: int, aspect: Aspect) -> bytes:
    try:
        image, size = decode(data, resolution, aspect)
    except UnreadableImageError as error:
        return write_bad(str(error))
    return write_good(size, [band.tobytes() for band in image.split()])


def _read(size: int) -> bytes | None:
    """Read so many bytes, or None at the end."""
    parts, missing = list[bytes](), size
    while missing:
        part = os.read(_SOCKET, missing)
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _read_all(size: int) -> bytes:
    data = _read(size)
    if data is None:
        raise EOFError
    return data


def _write(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(_SOCKET, left) :]
