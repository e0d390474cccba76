"""Tar files, plain or packed by gzip or Zstandard: list the members, read them one by one, look into small ones."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, runtime_checkable

from ddoq.archive_bounds import bounded, refuse_bomb
from ddoq.errors import DamagedArchiveError
from ddoq.packings import Packing, Unpacked
from ddoq.sources import LINK, SPECIAL_FILE, Entry, Load, LocalFile, LocalFolder, Member
from ddoq.tars import Kind, Seekable, TarMember, read_members

_REFUSALS: Final = {Kind.LINK: LINK, Kind.OTHER: SPECIAL_FILE}

Wanted = Callable[[Member], bool]


@runtime_checkable
class ReadThrough(Protocol):
    """A container that shows what is in small members while it lists them, since it is read from the front anyway."""

    def read_through(self, is_wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
        """List everything but folders in the order of the file, each with its bytes if it is a wanted regular file."""


@dataclass(frozen=True)
class TarContainer:
    """A tar file without compression: members are read at their offsets."""

    file: LocalFile
    reads_in_order = False
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        return (entry for entry, _ in self.read_through(_none))

    def read_through(self, is_wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
        return bounded(self._read_through(is_wanted))

    def _read_through(self, is_wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
        with self.file.path.open("rb") as file:
            for found in read_members(file):
                if found.start + found.size > self.file.size:
                    raise DamagedArchiveError(f"the tar breaks off inside {found.name!r}; make or upload it again")
                if found.kind is not Kind.FOLDER:
                    yield _looked_into(file, found, self.file.tag, is_wanted)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        self.file.require_unchanged()
        with self.file.path.open("rb") as file:
            descriptor = file.fileno()
            yield lambda member: partial(os.pread, descriptor, member.size, member.position)


@dataclass(frozen=True)
class PackedTarContainer:
    """A tar file behind gzip or Zstandard: it can only be read from the front."""

    file: LocalFile
    packing: Packing
    reads_in_order = True
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        return (entry for entry, _ in self.read_through(_none))

    def read_through(self, is_wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
        return bounded(self._read_through(is_wanted))

    def _read_through(self, is_wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
        self.packing.check(self.file.path)
        with self.packing.unpacked(self.file.path) as file:
            for found in read_members(file):
                refuse_bomb(self.file, found.start + found.size)
                if found.kind is not Kind.FOLDER:
                    yield _looked_into(file, found, self.file.tag, is_wanted)
            self._read_rest(file)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        self.file.require_unchanged()
        with self.packing.unpacked(self.file.path) as file:

            def read(member: Member) -> Load:
                file.seek(member.position)
                return partial(bytes, file.read(member.size))

            yield read

    def _read_rest(self, file: Unpacked) -> None:
        """Have the checksum compared, which comes behind the end of the tar."""
        while file.read(1 << 20):
            refuse_bomb(self.file, file.tell())


def _looked_into(file: Seekable, found: TarMember, tag: str, is_wanted: Wanted) -> tuple[Entry, bytes]:
    member = Member(found.name.removeprefix("./"), found.size, found.start)
    entry = Entry(member, tag, _REFUSALS.get(found.kind))
    return entry, file.read(found.size) if entry.refusal is None and is_wanted(member) else b""


def _none(_: Member) -> bool:
    return False
