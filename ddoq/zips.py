"""Read a zip without unpacking it: the directory as a stream, a member by its place in it, both bounded.

The standard library's reader holds the whole directory in memory before it can be counted, takes members that lie on
top of each other (the bombs of Fifield) in some versions, and reads zips that others read differently. Here a zip is
what it says it is or it is refused: it begins with its first member and ends with the end of its directory.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to 4.5; Fifield, "A better zip bomb" (WOOT 2019).
"""

import os
import stat
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import BinaryIO, Final

from ddoq.errors import DamagedArchiveError, TooManyFilesError
from ddoq.image_rules import UnreadableImageError

MAX_DIRECTORY_BYTES: Final = 2**30
_STORED, _DEFLATED = 0, 8
_READ_BYTES: Final = 1 << 18
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_EXTRA_64: Final = 1
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF
_USUAL_ENTRY: Final = 512
_MAX_ENTRY: Final = _ENTRY.size + 3 * _MAX_16
_ENCRYPTED, _SIZES_FOLLOW, _UTF_8 = 0x1, 0x8, 0x800  # bits of the flags


class ZipKind(Enum):
    """What a member of a zip is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPECIAL = "special"
    ENCRYPTED = "encrypted"
    OTHER_COMPRESSION = "other compression"


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member as the directory has it; `place` is where, `start` is the offset of its own header."""

    name: str
    raw_name: bytes
    kind: ZipKind
    size: int
    crc: int
    start: int
    n_packed: int
    method: int
    flags: int
    place: int

    @property
    def end(self) -> int:
        """What it takes of the file at least."""
        return self.start + _LOCAL.size + len(self.raw_name) + self.n_packed


@dataclass(frozen=True)
class _Directory:
    start: int
    size: int
    n_members: int


def read_members(file: BinaryIO, max_members: int) -> Iterator[ZipMember]:
    """Yield the members in the order of the directory, in 16 bytes of memory for each.

    Raises:
        DamagedArchiveError: it breaks off, or contradicts itself or others' readings of it.
        TooManyFilesError: it holds more members, or a larger directory, than is read.
    """
    directory = _find_directory(file)
    if directory.n_members > max_members:
        raise TooManyFilesError(f"the zip holds {directory.n_members} members; at most {max_members} are read")
    if directory.n_members * _ENTRY.size > directory.size:
        raise DamagedArchiveError(f"the zip's directory is too short for {directory.n_members} members; make it again")
    starts, ends = array("Q"), array("Q")
    for member in _entries(file, directory):
        if member.end > directory.start:
            raise DamagedArchiveError(f"{member.name!r} reaches beyond the files of the zip; make or upload it again")
        starts.append(member.start)
        ends.append(member.end)
        yield member
    if (overlapping := _overlapping(starts, ends)) is not None:
        name = next(islice(_entries(file, directory), overlapping, None)).name
        raise DamagedArchiveError(f"{name!r} lies on top of another member of the zip; send an honest archive")


def read_member(descriptor: int, place: int) -> bytes:
    """Unpack the member at this place of the directory: never more than it says it holds. For any thread.

    Raises:
        UnreadableImageError: its own header says other things than the directory, or its data is damaged.
    """
    member = _entry_at(descriptor, place)
    packed = _packed(descriptor, member)
    if member.method == _STORED:
        data = packed
    else:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacker.decompress(packed, member.size + 1)
        except zlib.error as error:
            raise UnreadableImageError(f"damaged in the zip: {error}") from error
        if len(data) <= member.size and (not unpacker.eof or unpacker.unused_data):
            raise UnreadableImageError("damaged in the zip: its data ends elsewhere than it says")
    if len(data) != member.size:
        raise UnreadableImageError(f"damaged in the zip: it holds other than the {member.size} bytes that it says")
    if zlib.crc32(data) != member.crc:
        raise UnreadableImageError("damaged in the zip: its CRC is wrong")
    return data


def _find_directory(file: BinaryIO) -> _Directory:
    n_bytes = file.seek(0, os.SEEK_END)
    tail_start = max(0, n_bytes - _END.size - _MAX_16)
    file.seek(tail_start)
    tail = file.read(n_bytes - tail_start)
    at = _end_record(tail)
    if at is None:
        raise DamagedArchiveError("the zip breaks off, or bytes were put behind its end; make or upload it again")
    disk, first_disk, here, total, size, start = _END.unpack_from(tail, at)[1:7]
    end = tail_start + at
    if tail[max(0, at - _LOCATOR.size) :].startswith(b"PK\6\7"):
        return _find_directory_64(file, end - _LOCATOR.size, (total, size, start))
    if disk or first_disk or here != total:
        raise DamagedArchiveError("the zip is one part of several; send it as one file")
    return _checked(_Directory(start, size, total), end)


def _end_record(tail: bytes) -> int | None:
    """Find the last end record whose comment reaches to the end of the file."""
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if len(tail) - at >= _END.size and at + _END.size + _END.unpack_from(tail, at)[7] == len(tail):
            return at
        at = tail.rfind(b"PK\5\6", 0, at)
    return None


def _find_directory_64(file: BinaryIO, locator: int, short: tuple[int, int, int]) -> _Directory:
    _, disk, at, n_disks = _LOCATOR.unpack(_read_at(file, locator, _LOCATOR.size))
    record = _read_at(file, at, _END64.size) if at + _END64.size <= locator else b""
    if not record.startswith(b"PK\6\6"):
        raise DamagedArchiveError("the zip's long end record is not where it says; make or upload it again")
    _, length, _, _, this_disk, first_disk, here, total, size, start = _END64.unpack(record)
    if disk or n_disks > 1 or this_disk or first_disk or here != total:
        raise DamagedArchiveError("the zip is one part of several; send it as one file")
    agree = all(
        one in {other, most}
        for one, other, most in zip(short, (total, size, start), (_MAX_16, _MAX_32, _MAX_32), strict=True)
    )
    if not agree or at + 12 + length != locator:
        raise DamagedArchiveError("the zip's two end records contradict each other; make or upload it again")
    return _checked(_Directory(start, size, total), at)


def _read_at(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _checked(directory: _Directory, end: int) -> _Directory:
    if directory.start + directory.size != end:
        raise DamagedArchiveError("the zip's directory is not where it says; make or upload it again")
    if directory.size > MAX_DIRECTORY_BYTES:
        raise TooManyFilesError(f"the zip's directory takes {directory.size} bytes; at most 1 GiB is read")
    return directory


def _entries(file: BinaryIO, directory: _Directory) -> Iterator[ZipMember]:
    """Read the directory a piece at a time."""
    piece, at, left = b"", 0, directory.size
    file.seek(directory.start)
    place = directory.start
    for _ in range(directory.n_members):
        if left and len(piece) - at < _MAX_ENTRY:
            more = file.read(min(left, _READ_BYTES))
            piece, at, left = piece[at:] + more, 0, left - len(more)
        member, length = _parse(piece, at, place)
        yield member
        at, place = at + length, place + length
    if left or at < len(piece):
        raise DamagedArchiveError("the zip's directory holds more members than it says; make or upload it again")


def _parse(piece: bytes, at: int, place: int) -> tuple[ZipMember, int]:
    if len(piece) - at < _ENTRY.size or not piece.startswith(b"PK\1\2", at):
        raise DamagedArchiveError(f"the zip's directory is damaged at byte {place}; make or upload it again")
    (_, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, disk, _, attributes, start) = (
        _ENTRY.unpack_from(piece, at)
    )
    extra_at = at + _ENTRY.size + n_name
    length = _ENTRY.size + n_name + n_extra + n_comment
    if len(piece) - at < length or disk not in {0, _MAX_16}:
        raise DamagedArchiveError(f"the zip's directory is damaged at byte {place}; make or upload it again")
    raw_name = piece[at + _ENTRY.size : extra_at]
    size, packed, start = _long(piece[extra_at : extra_at + n_extra], (size, packed, start), place)
    name = raw_name.decode("utf-8", "surrogateescape") if flags & _UTF_8 else raw_name.decode("cp437")
    kind = _kind(name, attributes, flags, method)
    return ZipMember(name, raw_name, kind, size, crc, start, packed, method, flags, place), length


def _long(extra: bytes, short: tuple[int, int, int], place: int) -> tuple[int, int, int]:
    """Take the numbers that do not fit in 32 bits from the extra field, in which only those are."""
    if _MAX_32 not in short:
        return short
    while len(extra) >= 4:
        tag, n_bytes = struct.unpack_from("<2H", extra)
        if tag == _EXTRA_64 and n_bytes <= len(extra) - 4 and n_bytes >= 8 * short.count(_MAX_32):
            numbers = iter(struct.unpack_from(f"<{n_bytes // 8}Q", extra, 4))
            size, packed, start = (next(numbers) if number == _MAX_32 else number for number in short)
            return size, packed, start
        extra = extra[4 + n_bytes :]
    raise DamagedArchiveError(f"the zip lacks a long size at byte {place}; make or upload it again")


def _kind(name: str, attributes: int, flags: int, method: int) -> ZipKind:
    kind = stat.S_IFMT(attributes >> 16)
    if name.endswith("/"):
        return ZipKind.FOLDER
    if kind == stat.S_IFLNK:
        return ZipKind.LINK
    if kind not in {0, stat.S_IFREG}:
        return ZipKind.SPECIAL
    if flags & _ENCRYPTED:
        return ZipKind.ENCRYPTED
    return ZipKind.FILE if method in {_STORED, _DEFLATED} else ZipKind.OTHER_COMPRESSION


def _overlapping(starts: "array[int]", ends: "array[int]") -> int | None:
    """Say which member begins before the one before it in the file ends."""
    order: list[int] | range = range(len(starts))
    if any(starts[i] < starts[i - 1] for i in order[1:]):
        order = sorted(order, key=starts.__getitem__)
    return next((order[i] for i in range(1, len(order)) if starts[order[i]] < ends[order[i - 1]]), None)


def _entry_at(descriptor: int, place: int) -> ZipMember:
    piece = os.pread(descriptor, _USUAL_ENTRY, place)
    if len(piece) == _USUAL_ENTRY and sum(_ENTRY.unpack_from(piece)[10:13]) > _USUAL_ENTRY - _ENTRY.size:
        piece = os.pread(descriptor, _MAX_ENTRY, place)
    return _parse(piece, 0, place)[0]


def _packed(descriptor: int, member: ZipMember) -> bytes:
    if member.n_packed > 2 * member.size + _MAX_16:  # what deflate adds at worst is far less
        raise UnreadableImageError(f"damaged in the zip: {member.n_packed} bytes claim to unpack to {member.size}")
    n_header = _LOCAL.size + len(member.raw_name)
    header = os.pread(descriptor, n_header + _USUAL_ENTRY + member.n_packed, member.start)  # and mostly all the data
    if len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
        raise UnreadableImageError("damaged in the zip: its header is not where the directory says")
    _, _, flags, method, _, _, crc, packed, size, n_name, n_extra = _LOCAL.unpack_from(header)
    raw_name = header[_LOCAL.size : _LOCAL.size + n_name]
    if raw_name != member.raw_name or method != member.method or (flags ^ member.flags) & _ENCRYPTED:
        raise UnreadableImageError("damaged in the zip: its header and the directory disagree on what it is")
    told = ((crc, member.crc), (packed, member.n_packed), (size, member.size))
    if not flags & _SIZES_FOLLOW and any(one not in {other, _MAX_32} for one, other in told):
        raise UnreadableImageError("damaged in the zip: its header and the directory disagree on its size or sum")
    data_start = _LOCAL.size + n_name + n_extra
    if data_start + member.n_packed <= len(header):
        return header[data_start : data_start + member.n_packed]
    return os.pread(descriptor, member.n_packed, member.start + data_start)
