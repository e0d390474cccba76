"""`file://`: files and folders of this machine, below the roots that may be read."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from ddoq.errors import DatasetChangedError, DatasetNotFoundError, OutsideRootsError
from ddoq.source_types import (
    LINK,
    LOCKED_FOLDER,
    SPECIAL_FILE,
    Access,
    Entry,
    Load,
    LocalFile,
    Member,
    local_file,
    modified,
    whole,
)


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine. Links in it are listed and never followed."""

    path: Path
    reads_in_order = False
    n_threads = max(2, min(8, os.cpu_count() or 1))
    left_out = ()

    def entries(self) -> Iterator[Entry]:
        return _walk(self.path, "")

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        yield lambda member: partial(self._read, member)

    def fetch(self, member: Member) -> LocalFile:
        return local_file(self.path / member.name)

    def _read(self, member: Member) -> bytes:
        try:
            descriptor = os.open(self.path / member.name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise DatasetChangedError(
                f"{member.name!r} cannot be read any more: {os.strerror(error.errno or 0)}"
            ) from error
        with os.fdopen(descriptor, "rb") as file:
            return whole(file.read(member.size + 1), member)


def open_path(rest: str, access: Access) -> LocalFile | LocalFolder:
    """Find what lies at the percent-encoded path of a `file://` URI."""
    text = unquote(rest).removeprefix("localhost")
    if not text.startswith("/") or "\0" in text:
        raise DatasetNotFoundError(f"'file://{rest}' is no absolute path; write file:///absolute/path")
    path = Path(os.path.realpath(text))  # unlike resolve(), does not choke on links that lead in a circle
    if not any(path.is_relative_to(root.resolve()) for root in access.file_roots):
        raise OutsideRootsError(f"{text!r} is outside the folders that may be read here; move it below one of them")
    try:
        found = path.stat()
    except OSError as error:
        raise DatasetNotFoundError(f"nothing can be read at {text!r}: {os.strerror(error.errno or 0)}") from error
    if stat.S_ISDIR(found.st_mode):
        return LocalFolder(path)
    if stat.S_ISREG(found.st_mode):
        return local_file(path)
    raise DatasetNotFoundError(f"{text!r} is neither a file nor a folder")


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as found:
            children = sorted(found, key=lambda child: child.name)
    except PermissionError:
        yield Entry(Member(prefix or str(folder), 0), refusal=LOCKED_FOLDER)
        return
    for child in children:
        name = prefix + child.name
        if child.is_symlink():
            yield Entry(Member(name, 0), refusal=LINK)
        elif child.is_dir():
            yield from _walk(Path(child.path), name + "/")
        elif child.is_file():
            yield Entry(Member(name, child.stat().st_size), modified(child.stat()))
        else:
            yield Entry(Member(name, 0), refusal=SPECIAL_FILE)
