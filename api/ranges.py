"""Which bytes a download is asked for. Pure; RFC 9110, sections 13 and 14."""

import re
from dataclasses import dataclass

from api.errors import RangeNotSatisfiableError

_ONE_RANGE = re.compile(r"[ \t]*(\d{0,19})-(\d{0,19})[ \t]*", re.ASCII)


@dataclass(frozen=True)
class ByteRange:
    """The bytes `start` to `stop`, the latter not included, of `size` bytes."""

    start: int
    stop: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Read a Range header against a body of `size` bytes.

    Returns:
        The range, or none when the whole body is to be sent: no header, another unit than bytes, or several ranges
        (a server may ignore those).

    Raises:
        RangeNotSatisfiableError: the range is malformed or holds no byte of the body.
    """
    unit, equals, ranges = (header or "").partition("=")
    if not equals or unit.strip().lower() != "bytes" or "," in ranges:
        return None
    match = _ONE_RANGE.fullmatch(ranges)
    first, last = match.groups() if match else ("", "")
    start = int(first) if first else max(size - int(last or 0), 0)
    stop = int(last) + 1 if first and last else size
    if start >= size or stop <= start:
        raise RangeNotSatisfiableError(
            f"Range {ranges.strip()!r} holds none of the {size} bytes; ask for bytes=FIRST-LAST from 0 to {size - 1}",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(start, min(stop, size), size)


def applies(if_range: str | None, etag: str) -> bool:
    """Tell whether a Range is to be honoured: no If-Range, or one that names this very body (strongly, not by date)."""
    return if_range is None or if_range.strip() == etag


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Tell whether the caller already has this body (weak comparison, as If-None-Match asks for)."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]
