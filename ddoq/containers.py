"""Zip, tar and tar.gz files: list the members, read them one by one. Nothing is ever unpacked to disk."""

import gzip
import os
import stat
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from ddoq.errors import DamagedArchiveError, NotAnArchiveError
from ddoq.image_rules import UnreadableImageError
from ddoq.sources import LINK, SPECIAL_FILE, Entry, Load, LocalFile, LocalFolder, Member
from ddoq.tars import BLOCK, Kind, TarMember, is_header, read_members

ENCRYPTED: Final = "encrypted files"
OTHER_COMPRESSION: Final = "files compressed by a method that is not read (stored and deflate are)"
_MAX_RATIO: Final = 200  # images hardly shrink; an archive that claims to unpack to more is a bomb
_RATIO_FREE_BYTES: Final = 2**30
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
    """A zip file."""

    file: LocalFile
    reads_in_order = False
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        with self._archive() as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            _refuse_bomb(self.file, unpacked)
            for position, info in enumerate(archive.infolist()):
                if not info.is_dir():
                    member = Member(info.filename.removeprefix("./"), info.file_size, position)
                    yield Entry(member, f"{info.CRC:08x}", _zip_refusal(info))

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        self.file.require_unchanged()
        lock = threading.Lock()  # a ZipFile counts its open members without one
        with self._archive() as archive:
            infos = archive.infolist()
            yield lambda member: partial(_read_zipped, archive, infos[member.position], lock)

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            archive = zipfile.ZipFile(self.file.path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DamagedArchiveError(f"the zip breaks off or is damaged: {error}; make or upload it again") from error
        with archive:
            yield archive


@dataclass(frozen=True)
class TarContainer:
    """A tar file without compression: members are read at their offsets."""

    file: LocalFile
    reads_in_order = False
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
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


def _zip_refusal(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return LINK
    if kind not in {0, stat.S_IFREG}:
        return SPECIAL_FILE
    if info.flag_bits & 1:
        return ENCRYPTED
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return OTHER_COMPRESSION
    return None


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock) -> bytes:
    try:
        with lock:
            return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnreadableImageError(f"damaged in the zip: {error}") from error


def _tar_entry(found: TarMember, tag: str) -> Entry:
    member = Member(found.name.removeprefix("./"), found.size, found.start)
    return Entry(member, tag, _TAR_REFUSALS.get(found.kind))


def _refuse_bomb(file: LocalFile, unpacked: int) -> None:
    if unpacked > _RATIO_FREE_BYTES + _MAX_RATIO * file.size:
        raise DamagedArchiveError(
            f"{file.size} bytes claim to unpack to {unpacked}, over {_MAX_RATIO} times as many; send an honest archive"
        )
