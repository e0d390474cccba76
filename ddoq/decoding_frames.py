"""What the process that decodes images is asked, and what it answers. Loads neither torch nor Pillow.

A request is its head (images, side, aspect), the size of each image, and the images; an answer is its size, then for
each image a head (is it good, width, height, size) and its pixels or the reason. Numbers are little-endian.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from ddoq.image_rules import MAX_PIXELS, Aspect

READY: Final = b"\n"  # the child's first byte: its limits hold
REQUEST_HEAD: Final = struct.Struct("<IIB")
SIZE: Final = struct.Struct("<I")
MAX_REASON: Final = 400  # bytes
_ANSWER_HEAD: Final = struct.Struct("<?III")
_ASPECTS: Final[tuple[Aspect, ...]] = get_args(Aspect)


@dataclass(frozen=True)
class Decoded:
    """Pixels of a square RGB image, channel by channel, and (width, height) as they were stored."""

    pixels: bytearray
    size: tuple[int, int]


@dataclass(frozen=True)
class Refused:
    """Why an image was not decoded."""

    reason: str


@dataclass(frozen=True)
class Request:
    """The head of a request."""

    n_images: int
    resolution: int
    aspect: Aspect


def write_request(images: Sequence[bytes], resolution: int, aspect: Aspect) -> bytes:
    head = REQUEST_HEAD.pack(len(images), resolution, _ASPECTS.index(aspect))
    sizes = struct.pack(f"<{len(images)}I", *map(len, images))
    return b"".join((head, sizes, *images))


def read_request_head(head: bytes) -> Request:
    n_images, resolution, aspect = REQUEST_HEAD.unpack(head)
    return Request(n_images, resolution, _ASPECTS[aspect])


def read_sizes(sizes: bytes, n_images: int) -> tuple[int, ...]:
    return struct.unpack(f"<{n_images}I", sizes)


def write_good(size: tuple[int, int], bands: Sequence[bytes]) -> bytes:
    return b"".join((_ANSWER_HEAD.pack(True, *size, sum(map(len, bands))), *bands))


def write_bad(reason: str) -> bytes:
    text = reason.encode("utf-8", "backslashreplace")[:MAX_REASON]
    return _ANSWER_HEAD.pack(False, 0, 0, len(text)) + text


def max_answer_size(n_images: int, resolution: int) -> int:
    return n_images * (_ANSWER_HEAD.size + max(MAX_REASON, 3 * resolution**2))


def read_answer(data: memoryview, n_images: int, resolution: int) -> tuple[Decoded | Refused, ...]:
    """Read what a child wrote, which is believed only as far as it makes sense.

    Raises:
        ValueError: it does not.
    """
    results = tuple(_read_results(data, resolution))
    if len(results) != n_images:
        raise ValueError(f"{len(results)} answers to {n_images} images")
    return results


def _read_results(data: memoryview, resolution: int) -> Iterator[Decoded | Refused]:
    at = 0
    while at < len(data):
        if len(data) - at < _ANSWER_HEAD.size:
            raise ValueError("an answer breaks off")
        is_good, width, height, size = _ANSWER_HEAD.unpack_from(data, at)
        at += _ANSWER_HEAD.size
        body = data[at : at + size]
        at += size
        if is_good and not (size == len(body) == 3 * resolution**2 and 1 <= width * height <= MAX_PIXELS):
            raise ValueError("an answer is no image of the side that was asked for")
        yield Decoded(bytearray(body), (width, height)) if is_good else Refused(_plain(bytes(body[:MAX_REASON])))


def _plain(reason: bytes) -> str:
    text = reason.decode("utf-8", "ignore")
    return "".join(char if char.isprintable() else "?" for char in text)
