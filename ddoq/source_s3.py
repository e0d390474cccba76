"""`s3://`: objects of the buckets that may be read."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ddoq.errors import BucketNotAllowedError, DatasetChangedError, DatasetNotFoundError
from ddoq.s3_errors import is_passing, reaching, s3_code
from ddoq.source_types import Access, Entry, Load, LocalFile, Member, capped, local_file, require_size, whole
from ddoq.source_uris import require_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NOT_THERE = {"404", "NoSuchBucket", "NoSuchKey"}


@dataclass(frozen=True)
class S3Folder:
    """The objects below a prefix. Each is fetched when it is read."""

    client: "S3Client"
    bucket: str
    prefix: str
    cache: Path
    max_bytes: int
    reads_in_order = False
    n_threads = 8  # waits for the network, not for a core; botocore keeps ten connections
    left_out = ()

    def entries(self) -> Iterator[Entry]:
        return capped(self._listed(), self.max_bytes)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        yield lambda member: partial(self._read, member)

    def fetch(self, member: Member) -> LocalFile:
        return _download(self.client, self.bucket, self.prefix + member.name, self.cache, self.max_bytes)

    def _listed(self) -> Iterator[Entry]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        with reaching(self.bucket):
            for page in pages:
                for found in page.get("Contents", ()):
                    name = found["Key"][len(self.prefix) :]
                    if name and not name.endswith("/"):
                        yield Entry(Member(name, found["Size"]), found["ETag"])

    def _read(self, member: Member) -> bytes:
        with reaching(self.bucket):
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + member.name)["Body"]
            except ClientError as error:
                if is_passing(error):
                    raise
                raise DatasetChangedError(f"{member.name!r} cannot be read any more: {s3_code(error)}") from error
            with closing(body):
                return whole(body.read(member.size + 1), member)


def open_s3(rest: str, access: Access) -> LocalFile | S3Folder:
    """Find the object or the prefix of an `s3://` URI; an object is downloaded."""
    require_bucket(rest, access.s3_buckets, access.own_bucket)
    bucket, _, key = rest.partition("/")
    if access.s3 is None:
        raise BucketNotAllowedError(f"bucket {bucket!r} may not be read here: there is no object store")
    client = access.s3()
    try:
        with reaching(bucket):
            if key and not key.endswith("/") and _is_object(client, bucket, key):
                return _download(client, bucket, key, access.cache, access.reach.max_bytes)
            prefix = f"{key.rstrip('/')}/" if key else ""
            folder = S3Folder(client, bucket, prefix, access.cache, access.reach.max_bytes)
            if next(folder.entries(), None):
                return folder
    except ClientError as error:
        if s3_code(error) not in _NOT_THERE:
            raise BucketNotAllowedError(f"'s3://{rest}' may not be read here: {s3_code(error)}") from error
    raise DatasetNotFoundError(f"there is no object and no prefix 's3://{rest}'")


def open_upload(upload_id: str, access: Access) -> LocalFile:
    """Download what was sent under the id of an `upload://` URI."""
    place = access.uploads(upload_id) if access.uploads else None
    if place is None:
        raise DatasetNotFoundError(f"there is no complete upload 'upload://{upload_id}'; send the file first")
    try:
        return _download(place.s3(), place.bucket, place.key, access.cache, access.reach.max_bytes)
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


def _download(client: "S3Client", bucket: str, key: str, cache: Path, max_bytes: int) -> LocalFile:
    """Fetch an object once; the name in the cache says which content it is, so it can never be out of date."""
    with reaching(bucket):
        return _fetched(client, bucket, key, cache, max_bytes)


def _fetched(client: "S3Client", bucket: str, key: str, cache: Path, max_bytes: int) -> LocalFile:
    found = client.head_object(Bucket=bucket, Key=key)
    require_size(found["ContentLength"], max_bytes)
    path = cache / hashlib.sha256(f"{bucket}\n{key}\n{found['ETag']}".encode()).hexdigest()
    if not path.exists():
        answer = client.get_object(Bucket=bucket, Key=key)
        if answer["ETag"] != found["ETag"]:
            raise DatasetChangedError(f"'s3://{bucket}/{key}' changed while it was read; submit it again")
        cache.mkdir(parents=True, exist_ok=True)
        with closing(answer["Body"]) as body:
            _write_whole(path, body.iter_chunks(1 << 20))
    return local_file(path, found["ETag"])


def _write_whole(path: Path, chunks: Iterator[bytes]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.writelines(chunks)
            file.flush()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise
