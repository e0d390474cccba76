"""What every kind of source is made of: what may be read, members, listings, files."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ddoq.errors import DatasetChangedError, DatasetTooLargeError
from ddoq.source_uris import Reach

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Load = Callable[[], bytes]
LINK = "links that are not followed"
LOCKED_FOLDER = "folders that may not be opened"
SPECIAL_FILE = "files that are not regular files"


@dataclass(frozen=True)
class StoredObject:
    """Where the bytes of an upload are; `s3` makes a client."""

    s3: "Callable[[], S3Client]"
    bucket: str
    key: str


@dataclass(frozen=True)
class Access:
    """What this installation may read.

    `file_roots` are compared after symbolic links were followed. `s3_buckets` is an allow-list, `"*"` means any but
    `own_bucket`, where the service keeps what it writes; `s3` makes a client. `cache` takes fetched files. `reach` is
    for `https://` and `hf://`; its `max_bytes` is for `s3://` too. `uploads` finds the upload of an id, if there is one
    to read.
    """

    file_roots: tuple[Path, ...]
    s3_buckets: tuple[str, ...]
    s3: "Callable[[], S3Client] | None"
    cache: Path
    reach: Reach = field(default_factory=Reach)
    own_bucket: str | None = None
    uploads: Callable[[str], StoredObject | None] | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A readable file of a dataset: its path below the dataset, bytes when unpacked, and where its container has it."""

    name: str
    size: int
    position: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a listing. `tag` changes with the content; `refusal` says why the file is not read, if so."""

    member: Member
    tag: str = ""
    refusal: str | None = None


@dataclass(frozen=True)
class LocalFile:
    """A regular file on this machine; `tag` changes with its content.

    `hub_names` are the names of the integers of a label column, by column, where the dataset's card on a hub has them.
    `left_out` are sentences on what of the source is not read.
    """

    path: Path
    size: int
    modified: str
    tag: str
    hub_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)
    left_out: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def require_unchanged(self) -> None:
        """Raise DatasetChangedError if another file has taken the place of the one that was listed."""
        if not self.path.is_file() or local_file(self.path, self.tag) != self:
            raise DatasetChangedError(f"{self.path.name!r} changed while it was read; submit it again when it is final")


def local_file(path: Path, tag: str | None = None) -> LocalFile:
    """Look at a file that is there; without a `tag`, the time of its last change is one."""
    found = path.stat()
    return LocalFile(path, found.st_size, modified(found), tag or modified(found))


def modified(found: os.stat_result) -> str:
    return str(found.st_mtime_ns)


def whole(data: bytes, member: Member) -> bytes:
    """Raise DatasetChangedError unless as much was read as was listed; who calls reads a byte more than that."""
    if len(data) != member.size:
        raise DatasetChangedError(f"{member.name!r} changed while it was read; submit it again when it is final")
    return data


def capped(entries: Iterator[Entry], max_bytes: int) -> Iterator[Entry]:
    """Raise DatasetTooLargeError in the middle of a listing that goes beyond `max_bytes`."""
    n_bytes = 0
    for entry in entries:
        n_bytes += entry.member.size
        require_size(n_bytes, max_bytes)
        yield entry


def require_size(n_bytes: int, max_bytes: int) -> None:
    """Raise DatasetTooLargeError for more than may be fetched."""
    if n_bytes > max_bytes:
        raise DatasetTooLargeError(f"the dataset has {n_bytes} bytes or more; at most {max_bytes} are fetched here")
