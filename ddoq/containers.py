"""Zip, tar, tar.gz and tar.zst files: list the members, read them one by one. Nothing is ever unpacked to disk."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from ddoq.archive_bounds import MAX_MEMBERS, bounded, refuse_bomb
from ddoq.errors import NotAnArchiveError
from ddoq.packings import PACKINGS, Packing
from ddoq.sources import LINK, SPECIAL_FILE, Entry, Load, LocalFile, LocalFolder, Member
from ddoq.tar_containers import PackedTarContainer, TarContainer
from ddoq.tars import BLOCK, is_header
from ddoq.zips import ZipKind, read_member, read_members

ENCRYPTED: Final = "encrypted files"
OTHER_COMPRESSION: Final = "files compressed by a method that is not read (stored and deflate are)"
_REFUSALS: Final = {
    ZipKind.LINK: LINK,
    ZipKind.SPECIAL: SPECIAL_FILE,
    ZipKind.ENCRYPTED: ENCRYPTED,
    ZipKind.OTHER_COMPRESSION: OTHER_COMPRESSION,
}


@runtime_checkable
class Container(Protocol):
    """A listed set of files, each readable by itself."""

    @property
    def reads_in_order(self) -> bool:
        """Members must be asked for by rising position."""

    @property
    def n_threads(self) -> int:
        """Threads that are worth having to read and decode."""

    def entries(self) -> Iterator[Entry]:
        """List everything but folders, in a fixed order."""

    def opened(self) -> AbstractContextManager[Callable[[Member], Load]]:
        """Give a function that finds a member; what it returns reads it, in any thread, before the context ends."""


@dataclass(frozen=True)
class ZipContainer:
    """A zip file."""

    file: LocalFile
    reads_in_order = False
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        return (entry for entry, _ in bounded((entry, b"") for entry in self._entries()))

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        self.file.require_unchanged()
        with self.file.path.open("rb") as file:
            descriptor = file.fileno()
            yield lambda member: partial(read_member, descriptor, member.position)

    def _entries(self) -> Iterator[Entry]:
        unpacked = 0
        with self.file.path.open("rb") as file:
            for found in read_members(file, MAX_MEMBERS):
                unpacked += found.size
                refuse_bomb(self.file, unpacked)
                if found.kind is not ZipKind.FOLDER:
                    member = Member(found.name.removeprefix("./"), found.size, found.place)
                    yield Entry(member, f"{found.crc:08x}", _REFUSALS.get(found.kind))


def open_container(file: LocalFile) -> Container:
    """Tell by its first bytes what a file is, whatever it is called.

    Raises:
        NotAnArchiveError: neither zip, tar, tar.gz nor tar.zst.
    """
    start = _first_bytes(file.path)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return ZipContainer(file)
    if is_header(start):
        return TarContainer(file)
    for packing in PACKINGS:
        if start.startswith(packing.magic) and is_header(_first_unpacked(file.path, packing)):
            return PackedTarContainer(file, packing)
    raise NotAnArchiveError(
        f"{file.path.name!r} is neither a zip, a tar, a tar.gz, a tar.zst nor Parquet; send one of these"
    )


def is_parquet(file: LocalFile) -> bool:
    """Tell by its first bytes whether a file is Parquet."""
    return _first_bytes(file.path).startswith(b"PAR1")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BLOCK)


def _first_unpacked(path: Path, packing: Packing) -> bytes:
    with packing.unpacked(path) as file:
        start = file.read(BLOCK)
    if len(start) < BLOCK:
        packing.check(path)
    return start
