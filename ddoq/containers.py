"""Zip, tar and tar.gz files: list the members, read them one by one. Nothing is ever unpacked to disk."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from ddoq import zips
from ddoq.errors import DamagedArchiveError, NotAnArchiveError, TooManyFilesError
from ddoq.sources import LINK, SPECIAL_FILE, Entry, Load, LocalFile, LocalFolder, Member
from ddoq.tars import BLOCK, Kind, TarMember, is_header, read_members
from ddoq.zips import ZipKind, read_member

ENCRYPTED: Final = "encrypted files"
OTHER_COMPRESSION: Final = "files compressed by a method that is not read (stored and deflate are)"
LONG_NAME: Final = "files whose names are longer than 1,024 characters"
MAX_MEMBERS: Final = 5_000_000
MAX_NAME: Final = 1024
_MAX_NAMES_BYTES: Final = 2**29
_SHOWN: Final = 100  # of a long name
_MAX_RATIO: Final = 200  # images hardly shrink; an archive that claims to unpack to more is a bomb
_RATIO_FREE_BYTES: Final = 2**30
_ZIP_REFUSALS: Final = {
    ZipKind.LINK: LINK,
    ZipKind.SPECIAL: SPECIAL_FILE,
    ZipKind.ENCRYPTED: ENCRYPTED,
    ZipKind.OTHER_COMPRESSION: OTHER_COMPRESSION,
}
_TAR_REFUSALS: Final = {Kind.LINK: LINK, Kind.OTHER: SPECIAL_FILE}


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
    """A zip file. A member's position is the place of its line in the directory, so that nothing else is kept."""

    file: LocalFile
    reads_in_order = False
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        return _bounded(self._entries())

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        self.file.require_unchanged()
        with self.file.path.open("rb") as file:
            descriptor = file.fileno()
            yield lambda member: partial(read_member, descriptor, member.position)

    def _entries(self) -> Iterator[Entry]:
        unpacked = 0
        with self.file.path.open("rb") as file:
            for found in zips.read_members(file, MAX_MEMBERS):
                unpacked += found.size
                _refuse_bomb(self.file, unpacked)
                if found.kind is not ZipKind.FOLDER:
                    member = Member(found.name.removeprefix("./"), found.size, found.place)
                    yield Entry(member, f"{found.crc:08x}", _ZIP_REFUSALS.get(found.kind))


@dataclass(frozen=True)
class TarContainer:
    """A tar file without compression: members are read at their offsets."""

    file: LocalFile
    reads_in_order = False
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        return _bounded(self._entries())

    def _entries(self) -> Iterator[Entry]:
        with self.file.path.open("rb") as file:
            for found in read_members(file):
                if found.start + found.size > self.file.size:
                    raise DamagedArchiveError(f"the tar breaks off inside {found.name!r}; make or upload it again")
                if found.kind is not Kind.FOLDER:
                    yield _tar_entry(found, self.file.tag)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        self.file.require_unchanged()
        with self.file.path.open("rb") as file:
            descriptor = file.fileno()
            yield lambda member: partial(os.pread, descriptor, member.size, member.position)


@dataclass(frozen=True)
class TarGzContainer:
    """A tar file behind gzip: it can only be read from the front."""

    file: LocalFile
    reads_in_order = True
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        return _bounded(self._entries())

    def _entries(self) -> Iterator[Entry]:
        with self._unpacked() as file:
            for found in read_members(file):
                _refuse_bomb(self.file, found.start + found.size)
                if found.kind is not Kind.FOLDER:
                    yield _tar_entry(found, self.file.tag)
            while file.read(1 << 20):  # gzip checks its sum at the end, which lies behind the end of the tar
                _refuse_bomb(self.file, file.tell())

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        self.file.require_unchanged()
        with self._unpacked() as file:

            def read(member: Member) -> Load:
                file.seek(member.position)
                return partial(bytes, file.read(member.size))

            yield read

    @contextmanager
    def _unpacked(self) -> Iterator[gzip.GzipFile]:
        with gzip.open(self.file.path) as file:
            try:
                yield file
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise DamagedArchiveError(f"the tar.gz breaks off or is damaged: {error}; make it again") from error


def open_container(file: LocalFile) -> Container:
    """Tell by its first bytes what a file is, whatever it is called.

    Raises:
        NotAnArchiveError: neither zip, tar nor tar.gz.
    """
    start = _first_bytes(file.path)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return ZipContainer(file)
    if is_header(start):
        return TarContainer(file)
    if start.startswith(b"\x1f\x8b") and is_header(_first_unpacked(file.path)):
        return TarGzContainer(file)
    raise NotAnArchiveError(f"{file.path.name!r} is neither a zip, a tar, a tar.gz nor Parquet; send one of these")


def is_parquet(file: LocalFile) -> bool:
    """Tell by its first bytes whether a file is Parquet."""
    return _first_bytes(file.path).startswith(b"PAR1")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BLOCK)


def _first_unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedArchiveError(f"the tar.gz breaks off or is damaged: {error}; make it again") from error


def _bounded(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Refuse more members, and longer names, than can be listed in memory."""
    n_bytes = 0
    for n_before, entry in enumerate(entries):
        name = entry.member.name
        if len(name) > MAX_NAME:
            yield Entry(Member(f"{name[:_SHOWN]}…", 0), refusal=LONG_NAME)
            continue
        n_bytes += len(name)
        if n_before >= MAX_MEMBERS or n_bytes > _MAX_NAMES_BYTES:
            raise TooManyFilesError(
                f"the archive holds more than {MAX_MEMBERS} members or {_MAX_NAMES_BYTES >> 20} MiB of names; "
                f"at {name[:_SHOWN]!r} the listing ends"
            )
        yield entry


def _tar_entry(found: TarMember, tag: str) -> Entry:
    member = Member(found.name.removeprefix("./"), found.size, found.start)
    return Entry(member, tag, _TAR_REFUSALS.get(found.kind))


def _refuse_bomb(file: LocalFile, unpacked: int) -> None:
    if unpacked > _RATIO_FREE_BYTES + _MAX_RATIO * file.size:
        raise DamagedArchiveError(
            f"{file.size} bytes claim to unpack to {unpacked}, over {_MAX_RATIO} times as many; send an honest archive"
        )
