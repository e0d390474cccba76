"""Folders kept under content keys, so that no job makes again what another has made."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol, runtime_checkable

GRACE_SECONDS: Final = 3600  # what was used within them is not evicted
FOLDER_BYTES: Final = 20 * 2**30  # that a local folder keeps
_FASTER: Final = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT}  # why a rename fails after another's
_UNFINISHED: Final = ".unfinished"  # beside what is kept: from there it comes, and there it goes, in one step


@runtime_checkable
class Cache(Protocol):
    """Folders kept under content keys, from job to job.

    A name is two parts joined by "/", such as `<key>/prior`. It stands for its content: who stores under a name that
    is there already has nothing new to say. Storing may evict what was unused longest, so a name that was there may be
    gone; nobody needs what is kept but to save work, and what was fetched is a copy.
    """

    def names(self, prefix: str) -> list[str]:
        """Name, in full and sorted, what is kept directly below `prefix/`."""
        ...

    def fetch(self, name: str, folder: Path) -> bool:
        """Copy what is kept under `name` into `folder`, which is replaced; False, and no change, when nothing is."""
        ...

    def store(self, name: str, folder: Path) -> None:
        """Keep a copy of `folder`, with everything below it, under `name`: whole or not at all."""
        ...

    def forget(self, name: str) -> None:
        """Keep nothing under `name` any longer; there need not be anything."""
        ...


@dataclass(frozen=True)
class Kept:
    """A folder in a cache; `used_at` (seconds) is when it was last stored or fetched, by the clock of that cache."""

    name: str
    size_bytes: int
    used_at: float


def choose_evicted(kept: Iterable[Kept], max_bytes: int) -> list[str]:
    """Name what has to go until the rest takes `max_bytes` at most: what was unused longest, first.

    What was used less than `GRACE_SECONDS` before the latest use of all is never named, and may take more than
    `max_bytes`. So no running job loses by it: a stage copies what it fetches at once and needs the cache no more, a
    checkpoint is replaced by the next within minutes, and what one stage stores the same job does not fetch again.
    Two that evict at once choose alike, and a name may be forgotten twice.
    """
    oldest_first = sorted(kept, key=lambda each: (each.used_at, each.name))
    excess, evicted = sum(each.size_bytes for each in oldest_first) - max_bytes, list[str]()
    for each in oldest_first:
        if excess <= 0 or each.used_at > oldest_first[-1].used_at - GRACE_SECONDS:
            break
        evicted.append(each.name)
        excess -= each.size_bytes
    return evicted


@dataclass(frozen=True)
class FolderCache:
    """A cache in a local folder, for the command line without a service. A folder's modification time is its use."""

    root: Path
    max_bytes: int = FOLDER_BYTES

    def names(self, prefix: str) -> list[str]:
        """Name, in full and sorted, what is kept directly below `prefix/`."""
        below = self.root / prefix
        return sorted(f"{prefix}/{entry.name}" for entry in below.iterdir()) if below.is_dir() else []

    def fetch(self, name: str, folder: Path) -> bool:
        """Copy what is kept under `name` into `folder`, which is replaced; False, and no change, when nothing is."""
        kept = self.root / name
        if not _use(kept):
            return False
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as unfinished:
            copy = Path(unfinished, "copy")
            try:
                shutil.copytree(kept, copy)
            except OSError as error:
                if not _is_missing(error):
                    raise
                return False  # another process has evicted it meanwhile, and may have stored it again
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(copy, folder)  # noqa: PTH105  one atomic step: never seen half full
        return True

    def store(self, name: str, folder: Path) -> None:
        """Keep a copy of `folder`, with everything below it, under `name`: whole or not at all."""
        kept = self.root / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        with self._unfinished() as scratch:
            shutil.copytree(folder, scratch / "copy")
            _move(scratch / "copy", kept)
        _use(kept)
        for evicted in choose_evicted(self._kept(), self.max_bytes):
            self.forget(evicted)

    def forget(self, name: str) -> None:
        """Keep nothing under `name` any longer; there need not be anything."""
        with self._unfinished() as scratch:
            if (self.root / name).is_dir():
                _move(self.root / name, scratch / "old")

    def _kept(self) -> list[Kept]:
        kept = []
        for folder in self.root.glob("*/*"):
            if folder.parent.name != _UNFINISHED:
                with suppress(FileNotFoundError):  # another process has evicted it meanwhile
                    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                    name = folder.relative_to(self.root).as_posix()
                    kept.append(Kept(name, size_bytes, folder.stat().st_mtime))
        return kept

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        (self.root / _UNFINISHED).mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.root / _UNFINISHED) as scratch:
            yield Path(scratch)


def _use(kept: Path) -> bool:
    """Note that a folder was used just now; False when it is not there."""
    try:
        os.utime(kept)
    except FileNotFoundError:
        return False
    return True


def _is_missing(error: OSError) -> bool:
    """Tell whether nothing but missing files stopped `copytree`, which keeps of each failure only the text."""
    if isinstance(error, shutil.Error):
        return all(f"[Errno {errno.ENOENT}]" in why for *_, why in error.args[0])
    return isinstance(error, FileNotFoundError)


def _move(folder: Path, to: Path) -> None:
    """Rename in one step, unless another process of the same mind was faster."""
    try:
        os.rename(folder, to)  # noqa: PTH104  beside `Path.rename` this says that it is one system call
    except OSError as error:
        if error.errno not in _FASTER:
            raise
