"""Dataset URI -> something that can be listed and read. The only place that knows schemes."""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from botocore.exceptions import ClientError

from ddoq.errors import (
    BucketNotAllowedError,
    DatasetChangedError,
    DatasetNotFoundError,
    OutsideRootsError,
    UnknownSchemeError,
)
from ddoq.s3_errors import is_passing, reaching, s3_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Load = Callable[[], bytes]
LINK = "links that are not followed"
LOCKED_FOLDER = "folders that may not be opened"
SPECIAL_FILE = "files that are not regular files"
_NOT_THERE = {"404", "NoSuchBucket", "NoSuchKey"}


@dataclass(frozen=True)
class StoredObject:
    """Where the bytes of an upload are; `s3` makes a client."""

    s3: "Callable[[], S3Client]"
    bucket: str
    key: str


@dataclass(frozen=True)
class Access:
    """What this installation may read.

    `file_roots` are compared after symbolic links were followed. `s3_buckets` is an allow-list, `"*"` means any; `s3`
    makes a client. `cache` takes fetched objects. `uploads` finds the upload of an id, if there is one to read.
    """

    file_roots: tuple[Path, ...]
    s3_buckets: tuple[str, ...]
    s3: "Callable[[], S3Client] | None"
    cache: Path
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
    """A regular file on this machine; `tag` changes with its content."""

    path: Path
    size: int
    modified: str
    tag: str

    def require_unchanged(self) -> None:
        """Raise DatasetChangedError if another file has taken the place of the one that was listed."""
        if not self.path.is_file() or _local_file(self.path, self.tag) != self:
            raise DatasetChangedError(f"{self.path.name!r} changed while it was read; submit it again when it is final")


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine. Links in it are listed and never followed."""

    path: Path
    reads_in_order = False
    n_threads = max(2, min(8, os.cpu_count() or 1))

    def entries(self) -> Iterator[Entry]:
        return _walk(self.path, "")

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        yield lambda member: partial(self._read, member)

    def fetch(self, member: Member) -> LocalFile:
        return _local_file(self.path / member.name)

    def _read(self, member: Member) -> bytes:
        try:
            descriptor = os.open(self.path / member.name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise DatasetChangedError(
                f"{member.name!r} cannot be read any more: {os.strerror(error.errno or 0)}"
            ) from error
        with os.fdopen(descriptor, "rb") as file:
            return _whole(file.read(member.size + 1), member)


@dataclass(frozen=True)
class S3Folder:
    """The objects below a prefix. Each is fetched when it is read."""

    client: "S3Client"
    bucket: str
    prefix: str
    cache: Path
    reads_in_order = False
    n_threads = 8  # waits for the network, not for a core; botocore keeps ten connections

    def entries(self) -> Iterator[Entry]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        with reaching(self.bucket):
            for page in pages:
                for found in page.get("Contents", ()):
                    name = found["Key"][len(self.prefix) :]
                    if name and not name.endswith("/"):
                        yield Entry(Member(name, found["Size"]), found["ETag"])

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        yield lambda member: partial(self._read, member)

    def fetch(self, member: Member) -> LocalFile:
        return _download(self.client, self.bucket, self.prefix + member.name, self.cache)

    def _read(self, member: Member) -> bytes:
        with reaching(self.bucket):
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + member.name)["Body"]
            except ClientError as error:
                if is_passing(error):
                    raise
                raise DatasetChangedError(f"{member.name!r} cannot be read any more: {s3_code(error)}") from error
            with closing(body):
                return _whole(body.read(member.size + 1), member)


Folder = LocalFolder | S3Folder
Source = LocalFile | Folder


def open_source(uri: str, access: Access) -> Source:
    """Find what a dataset URI stands for, if this installation may read it.

    Args:
        uri: `file:///absolute/path` (percent-encoded) or `s3://bucket/key` (as it is). A key that is no object, that is
            empty or that ends in `/` stands for the objects below it. `upload://id` is a file that was sent before.
        access: What may be read.

    Returns:
        A file or a folder. An S3 object is downloaded once, into `access.cache` under its ETag.

    Raises:
        UnknownSchemeError: any other scheme.
        OutsideRootsError: a path that leads outside `access.file_roots`, by links too.
        BucketNotAllowedError: a bucket that is not allowed, here or by the store.
        DatasetNotFoundError: nothing is there.
        DatasetUnavailableError: the store does not answer, or fails; so does whatever reads from it later.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme.lower() == "file":
        return _open_path(rest, access.file_roots)
    if separator and scheme.lower() == "s3":
        return _open_s3(rest, access)
    if separator and scheme.lower() == "upload":
        return _open_upload(rest, access)
    raise UnknownSchemeError(f"{uri!r} is not read here; write file:///absolute/path, s3://bucket/key or upload://id")


def _open_path(rest: str, roots: tuple[Path, ...]) -> Source:
    text = unquote(rest).removeprefix("localhost")
    if not text.startswith("/") or "\0" in text:
        raise DatasetNotFoundError(f"'file://{rest}' is no absolute path; write file:///absolute/path")
    path = Path(os.path.realpath(text))  # unlike resolve(), does not choke on links that lead in a circle
    if not any(path.is_relative_to(root.resolve()) for root in roots):
        raise OutsideRootsError(f"{text!r} is outside the folders that may be read here; move it below one of them")
    try:
        found = path.stat()
    except OSError as error:
        raise DatasetNotFoundError(f"nothing can be read at {text!r}: {os.strerror(error.errno or 0)}") from error
    if stat.S_ISDIR(found.st_mode):
        return LocalFolder(path)
    if stat.S_ISREG(found.st_mode):
        return _local_file(path)
    raise DatasetNotFoundError(f"{text!r} is neither a file nor a folder")


def _open_s3(rest: str, access: Access) -> Source:
    bucket, _, key = rest.partition("/")
    is_name = re.fullmatch(r"[A-Za-z0-9._-]{1,255}", bucket)
    if access.s3 is None or not is_name or not {bucket, "*"} & set(access.s3_buckets):
        raise BucketNotAllowedError(f"bucket {bucket!r} may not be read here; use one of {list(access.s3_buckets)}")
    client = access.s3()
    try:
        with reaching(bucket):
            if key and not key.endswith("/") and _is_object(client, bucket, key):
                return _download(client, bucket, key, access.cache)
            folder = S3Folder(client, bucket, f"{key.rstrip('/')}/" if key else "", access.cache)
            if next(folder.entries(), None):
                return folder
    except ClientError as error:
        if s3_code(error) not in _NOT_THERE:
            raise BucketNotAllowedError(f"'s3://{rest}' may not be read here: {s3_code(error)}") from error
    raise DatasetNotFoundError(f"there is no object and no prefix 's3://{rest}'")


def _open_upload(upload_id: str, access: Access) -> Source:
    place = access.uploads(upload_id) if access.uploads else None
    if place is None:
        raise DatasetNotFoundError(f"there is no complete upload 'upload://{upload_id}'; send the file first")
    client = place.s3()
    try:
        return _download(client, place.bucket, place.key, access.cache)
    except ClientError as error:
        if s3_code(error) not in _NOT_THERE:
            raise
        raise DatasetNotFoundError(f"the bytes of 'upload://{upload_id}' are gone; send them again") from error


def _is_object(client: "S3Client", bucket: str, key: str) -> bool:
    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if s3_code(error) in _NOT_THERE:
            return False
        raise
    return True


def _download(client: "S3Client", bucket: str, key: str, cache: Path) -> LocalFile:
    """Fetch an object once; the name in the cache says which content it is, so it can never be out of date."""
    with reaching(bucket):
        return _fetched(client, bucket, key, cache)


def _fetched(client: "S3Client", bucket: str, key: str, cache: Path) -> LocalFile:
    tag = client.head_object(Bucket=bucket, Key=key)["ETag"]
    path = cache / hashlib.sha256(f"{bucket}\n{key}\n{tag}".encode()).hexdigest()
    if not path.exists():
        answer = client.get_object(Bucket=bucket, Key=key)
        if answer["ETag"] != tag:
            raise DatasetChangedError(f"'s3://{bucket}/{key}' changed while it was read; submit it again")
        cache.mkdir(parents=True, exist_ok=True)
        with closing(answer["Body"]) as body:
            _write_whole(path, body.iter_chunks(1 << 20))
    return _local_file(path, tag)


def _write_whole(path: Path, chunks: Iterator[bytes]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.writelines(chunks)
            file.flush()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


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
            yield Entry(Member(name, child.stat().st_size), _modified(child.stat()))
        else:
            yield Entry(Member(name, 0), refusal=SPECIAL_FILE)


def _local_file(path: Path, tag: str | None = None) -> LocalFile:
    found = path.stat()
    return LocalFile(path, found.st_size, _modified(found), tag or _modified(found))


def _whole(data: bytes, member: Member) -> bytes:
    if len(data) != member.size:
        raise DatasetChangedError(f"{member.name!r} changed while it was read; submit it again when it is final")
    return data


def _modified(found: os.stat_result) -> str:
    return str(found.st_mtime_ns)
