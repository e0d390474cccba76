"""Gzip and Zstandard around a tar: known by their first bytes, unpacked as a stream in bounded memory.

Source: RFC 8878, "Zstandard Frames", "Skippable Frames" and "Blocks".
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, runtime_checkable

import zstandard

from ddoq.errors import DamagedArchiveError

MAX_WINDOW: Final = 2**27  # bytes: what `zstd --long` takes without being told more
_LONGEST_HEADER: Final = 18
_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)
_FREE_BLOCKS: Final = 10_000
_MEAN_BLOCK: Final = 256  # bytes: smaller ones all over would only cost time
_RUN: Final = 1  # a block of one byte, repeated


@runtime_checkable
class Unpacked(Protocol):
    """A stream of unpacked bytes; `seek` is only ever called forward."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> int: ...
    def tell(self) -> int: ...


@dataclass(frozen=True)
class Packing:
    """A way to pack: how its files begin, and how they are unpacked.

    `check` raises DamagedArchiveError for a file that breaks off where unpacking alone would not notice.
    """

    magic: bytes
    unpacked: Callable[[Path], AbstractContextManager[Unpacked]]
    check: Callable[[Path], None]


@contextmanager
def _gunzipped(path: Path) -> Iterator[Unpacked]:
    with gzip.open(path) as file:
        try:
            yield file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedArchiveError(f"the tar.gz breaks off or is damaged: {error}; make it again") from error


@contextmanager
def _unzstandard(path: Path) -> Iterator[Unpacked]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    with path.open("rb") as file, unpacker.stream_reader(file, read_across_frames=True) as stream:
        try:
            yield stream
        except zstandard.ZstdError as error:
            raise DamagedArchiveError(f"the tar.zst is damaged: {error}; make it again") from error


def _check_frames(path: Path) -> None:
    """Walk over all frames, since the library ends in silence where one breaks off."""
    size, position = path.stat().st_size, 0
    with path.open("rb") as file:
        for number, end in enumerate(_walk(file, size)):
            position = end
            if number > _FREE_BLOCKS + size // _MEAN_BLOCK:
                raise DamagedArchiveError("the tar.zst is of very small blocks; pack it again")
    if position > size:
        raise DamagedArchiveError(f"the tar.zst breaks off at byte {size}; make it again")


def _walk(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where each block and each frame ends, behind the end of the file for one that breaks off."""
    position = 0
    while position < size:
        head = _read_at(file, position, _LONGEST_HEADER)
        if int.from_bytes(head[:4], "little") in _SKIPPABLE:
            position += 8 + int.from_bytes(head[4:8], "little")
            yield position
            continue
        frame, length = _frame_header(head, position)
        position, is_last = position + length, False
        while not is_last and position <= size:
            bits = int.from_bytes(_read_at(file, position, 3), "little")
            is_last, kind, n_bytes = bool(bits & 1), bits >> 1 & 3, bits >> 3
            position += 3 + (1 if kind == _RUN else n_bytes)
            yield position
        position += 4 * frame.has_checksum
        yield position


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _frame_header(head: bytes, position: int) -> tuple[zstandard.FrameParameters, int]:
    try:
        frame, length = zstandard.get_frame_parameters(head), zstandard.frame_header_size(head)
    except zstandard.ZstdError as error:
        raise DamagedArchiveError(f"the tar.zst is damaged at byte {position}: {error}; make it again") from error
    if frame.window_size > MAX_WINDOW:
        raise DamagedArchiveError(
            f"the tar.zst needs {frame.window_size} bytes of memory to unpack; pack it with a window of at most "
            f"{MAX_WINDOW >> 20} MiB (zstd --long=27)"
        )
    return frame, length


def _nothing(_: Path) -> None:
    """Gzip itself notices where it breaks off."""


PACKINGS: Final = (
    Packing(b"\x1f\x8b", _gunzipped, _nothing),
    Packing(zstandard.MAGIC_NUMBER.to_bytes(4, "little"), _unzstandard, _check_frames),
)
