"""Zip, tar, tar.gz and tar.zst files: list the members, read them one by one. Nothing is ever unpacked to disk."""

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
from ddoq.images import UnreadableImageError
from ddoq.packings import PACKINGS, Packing
from ddoq.sources import LINK, SPECIAL_FILE, Entry, Load, LocalFile, LocalFolder, Member
from ddoq.tar_containers import PackedTarContainer, TarContainer, refuse_bomb
from ddoq.tars import BLOCK, is_header

ENCRYPTED: Final = "encrypted files"
OTHER_COMPRESSION: Final = "files compressed by a method that is not read (stored and deflate are)"


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
            refuse_bomb(self.file, unpacked)
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
