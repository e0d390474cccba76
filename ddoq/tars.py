"""Read the headers of a tar, forward only, in constant memory.

The standard library's reader keeps every header, trusts sizes (a negative one made it loop, CVE-2025-8194) and reads
extended headers of any length; here all three are bounded.

Source: POSIX.1-2024 pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from ddoq.errors import DamagedArchiveError

BLOCK = 512
_MAX_EXTENDED_HEADER = 1 << 20
_HOLES = "GNU.sparse."
_PAX_MEMBER, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = b"x", b"g", b"L", b"K"


class Kind(Enum):
    """What a tar member is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


_KINDS = {
    b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"5": Kind.FOLDER, b"1": Kind.LINK, b"2": Kind.LINK,
}  # fmt: skip


@dataclass(frozen=True)
class TarMember:
    """One member; `start` is the offset of its data in the unpacked stream, in bytes."""

    name: str
    kind: Kind
    size: int
    start: int


@runtime_checkable
class Seekable(Protocol):
    """What is needed of a file; `seek` is only ever called forward."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> int: ...


@dataclass(frozen=True)
class _Header:
    name: str
    type: bytes
    size: int


def is_header(block: bytes) -> bool:
    """Tell whether these 512 bytes are a tar header: their checksum is right."""
    if len(block) < BLOCK or not block.strip(b"\0"):
        return False
    try:
        wanted = _number(block[148:156])
    except DamagedArchiveError:
        return False
    return wanted == sum(block) - sum(block[148:156]) + 8 * ord(" ")


def read_members(file: Seekable) -> Iterator[TarMember]:
    """Yield the members in file order. Between two of them the caller may read `member.size` bytes from `start` on.

    Raises:
        DamagedArchiveError: it breaks off, a checksum is wrong, or a header is longer than 1 MiB.
    """
    position, extended = 0, dict[str, str]()
    while header := _read_header(file, position):
        start = position + BLOCK
        if header.type in {_PAX_MEMBER, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK}:
            extended |= _extended(header, _read_short(file, header.size))
            position = start + _padded(header.size)
            continue
        member = _member(header, extended, start)
        yield member
        position, extended = start + _padded(member.size), {}


def _read_header(file: Seekable, position: int) -> _Header | None:
    reached = file.seek(position)
    block = file.read(BLOCK)
    if reached != position or len(block) < BLOCK:  # no end mark: what was last may be missing
        raise DamagedArchiveError(f"the tar breaks off at byte {reached}; make it again")
    if not block.strip(b"\0"):
        return None
    if not is_header(block):
        raise DamagedArchiveError(f"the tar breaks off or is damaged at byte {position}; make it again")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345] != 0:
        name = f"{_text(block[345:500])}/{name}"
    return _Header(name, block[156:157], _number(block[124:136]))


def _member(header: _Header, extended: dict[str, str], start: int) -> TarMember:
    name = extended.get("path", header.name)
    kind = _KINDS.get(header.type, Kind.OTHER)
    if header.type == b"S" or _HOLES in extended:
        raise DamagedArchiveError(f"{name!r} is stored with holes, which is not read; make the tar without --sparse")
    if kind is Kind.FILE and name.endswith("/"):  # tars older than POSIX have no type for folders
        kind = Kind.FOLDER
    stored = kind in {Kind.FILE, Kind.OTHER}  # links and folders have no data, whatever their size says
    return TarMember(name, kind, _pax_size(extended, header.size) if stored else 0, start)


def _extended(header: _Header, data: bytes) -> dict[str, str]:
    if header.type == _GNU_NAME:
        return {"path": _text(data)}
    if header.type == _PAX_MEMBER:
        records = dict(_pax_records(data))
        kept = {key: records[key] for key in ("path", "size") if key in records}  # however many there are
        return kept | ({_HOLES: ""} if any(key.startswith(_HOLES) for key in records) else {})
    return {}


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the records of `length key=value`; `length` counts the whole record."""
    while data:
        digits, _, _ = data[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, separator, value = data[len(digits) + 1 : length].partition(b"=")
        if not len(digits) < length <= len(data) or not separator or not value.endswith(b"\n"):
            raise DamagedArchiveError("an extended header of the tar is damaged; make it again")
        yield key.decode("utf-8", "surrogateescape"), value[:-1].decode("utf-8", "surrogateescape")
        data = data[length:]


def _pax_size(extended: dict[str, str], size: int) -> int:
    text = extended.get("size", str(size))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise DamagedArchiveError(f"a member of the tar has the size {text[:20]!r}; make the tar again")
    return int(text)


def _read_short(file: Seekable, size: int) -> bytes:
    if size > _MAX_EXTENDED_HEADER:
        raise DamagedArchiveError(f"an extended header of the tar is {size} bytes long; at most 1 MiB is read")
    data = file.read(size)
    if len(data) != size:
        raise DamagedArchiveError("the tar breaks off inside a header; make it again")
    return data


def _number(field: bytes) -> int:
    """Read octal digits, or GNU's base 256 for sizes of 8 GiB and more."""
    if field[0] == 0x80 and not any(field[1:-7]):
        return int.from_bytes(field[-7:])
    digits = field.split(b"\0")[0].strip()
    if not all(digit in b"01234567" for digit in digits):
        raise DamagedArchiveError("a number in the tar is damaged; make it again")
    return int(digits or b"0", 8)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")
