"""Files of jobs in the object store. Speaks S3 to any server, `rclone serve s3` included."""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from jobs.errors import ObjectNotFoundError, StorageRefusedError, StorageUnavailableError
from jobs.s3_keys import NONE_FOUND, given_keys
from jobs.s3_refusals import refusal
from jobs.settings import Settings

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CreateBucketConfigurationTypeDef

MANIFEST = "manifest.json"  # written last: a folder that has one is complete
CHUNK_BYTES = 256 * 1024
N_TRANSFERS = 8
AWS = (".amazonaws.com", ".amazonaws.com.cn")
HOME_REGION = "us-east-1"  # the one in which AWS makes a bucket that is to be nowhere else


def make_s3_client(settings: Settings) -> "S3Client":
    """Make a client for the installation's object store. Safe to share between threads."""
    keys = given_keys(settings)
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.session_token,
        region_name=settings.s3_region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",  # trailers confuse servers other than AWS
            response_checksum_validation="when_required",
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 4},
            max_pool_connections=4 * N_TRANSFERS,
        ),
    )


@contextmanager
def asking_for(key: str) -> Iterator[None]:
    """Name the object in every error of the object store."""
    try:
        yield
    except ClientError as error:
        raise refusal(key, error) from error
    except NoCredentialsError as error:
        raise StorageRefusedError(NONE_FOUND) from error
    except (BotoCoreError, Boto3Error) as error:
        if isinstance(error.__context__, ClientError):  # uploads wrap what the server said
            raise refusal(key, error.__context__) from error
        raise StorageUnavailableError(f"the object store did not answer for {key!r}: {error}") from error


@dataclass(frozen=True)
class Stored:
    """A line of a listing; `modified` is when it was written, by the object store's clock."""

    key: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True)
class OpenRange:
    """Bytes of an object, read as chunks and closed at their end; who does not read so far closes it."""

    key: str
    body: "StreamingBody"

    def __iter__(self) -> Iterator[bytes]:
        with closing(self), asking_for(self.key):
            yield from self.body.iter_chunks(CHUNK_BYTES)

    def close(self) -> None:
        """End the connection, unless all was read."""
        self.body.close()


class ObjectStore:
    """One bucket. Safe to share between threads.

    Every call raises StorageUnavailableError when the server is away or fails, StorageFullError when it has no room,
    and StorageRefusedError when it does not allow the call.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def ensure_bucket(self) -> None:
        """Create the bucket unless it is there; on AWS, in the client's region."""
        try:
            with asking_for(self._bucket):
                self._client.head_bucket(Bucket=self._bucket)
        except ObjectNotFoundError:
            with asking_for(self._bucket):
                self._create_bucket()

    def _create_bucket(self) -> None:
        """Name the region where AWS needs it. Other stores have regions that mean something else, or nothing."""
        host, region = urlsplit(self._client.meta.endpoint_url).hostname or "", self._client.meta.region_name
        if region == HOME_REGION or not host.endswith(AWS):
            self._client.create_bucket(Bucket=self._bucket)
        else:
            place: CreateBucketConfigurationTypeDef = {"LocationConstraint": region}  # type: ignore[typeddict-item]
            self._client.create_bucket(Bucket=self._bucket, CreateBucketConfiguration=place)

    def is_ready(self) -> bool:
        """Whether the bucket is there and the server answers."""
        try:
            with asking_for(self._bucket):
                self._client.head_bucket(Bucket=self._bucket)
        except (ObjectNotFoundError, StorageUnavailableError):
            return False
        return True

    def list_keys(self, prefix: str) -> Iterator[str]:
        """List the keys below the folder `prefix`, in order; with an empty prefix, all."""
        return (stored.key for stored in self.list_stored(prefix))

    def list_stored(self, prefix: str) -> Iterator[Stored]:
        """List what is below the folder `prefix`, in the order of keys; with an empty prefix, all."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=_folder(prefix))
        with asking_for(prefix):
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield Stored(entry["Key"], entry["Size"], entry["LastModified"])

    def put_file(self, path: Path, key: str, media_type: str) -> None:
        """Store a file under `key`."""
        with asking_for(key):
            self._client.upload_file(str(path), self._bucket, key, ExtraArgs={"ContentType": media_type})

    def put_empty(self, key: str) -> None:
        """Store nothing under `key`, in the place of what was there: what it says is its time."""
        with asking_for(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=b"")

    def upload_folder(self, folder: Path, prefix: str) -> None:
        """Store a complete stage folder below `prefix`, its manifest last."""
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

        def upload(name: str) -> None:
            with asking_for(f"{prefix}/{name}"):
                self._client.upload_file(str(folder / name), self._bucket, f"{prefix}/{name}")

        with ThreadPoolExecutor(N_TRANSFERS) as pool:
            list(pool.map(upload, sorted(names - {MANIFEST})))
        upload(MANIFEST)

    def download_folder(self, prefix: str, folder: Path) -> None:
        """Fetch a complete stage folder from below `prefix`; one that is here already is left as it is.

        Raises:
            ObjectNotFoundError: there is no complete folder at `prefix`.
        """
        if (folder / MANIFEST).is_file():
            return
        keys = list(self.list_keys(prefix))
        if f"{prefix}/{MANIFEST}" not in keys:
            raise ObjectNotFoundError(f"the object store has no complete folder {prefix!r}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)  # what a worker that died here left
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as unfinished:
            self._fetch(keys, prefix, Path(unfinished))
            try:
                os.replace(unfinished, folder)  # noqa: PTH105  one atomic step: never seen half full
            except OSError:
                if not (folder / MANIFEST).is_file():  # else another worker was faster with the same folder
                    raise

    def _fetch(self, keys: list[str], prefix: str, folder: Path) -> None:
        def fetch(key: str) -> None:
            path = folder / key.removeprefix(_folder(prefix))
            path.parent.mkdir(parents=True, exist_ok=True)
            self.fetch_file(key, path)

        with ThreadPoolExecutor(N_TRANSFERS) as pool:
            list(pool.map(fetch, keys))

    def fetch_file(self, key: str, path: Path) -> None:
        """Copy an object to `path`.

        Raises:
            ObjectNotFoundError: there is no such object.
        """
        with asking_for(key):
            self._client.download_file(self._bucket, key, str(path))

    def read(self, key: str) -> bytes:
        """Read a small object whole.

        Raises:
            ObjectNotFoundError: there is no such object.
        """
        with asking_for(key), closing(self._client.get_object(Bucket=self._bucket, Key=key)["Body"]) as body:
            return body.read()

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        with asking_for(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def open_range(self, key: str, start: int, end: int) -> OpenRange:
        """Open the bytes `start` to `end` of an object, both included as in HTTP; a missing one is told at once.

        Raises:
            ObjectNotFoundError: there is no such object.
        """
        with asking_for(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-{end}")
        return OpenRange(key, answer["Body"])

    def presigned_url(self, key: str, file_name: str, media_type: str, seconds: int) -> str:
        """Sign an address from which anybody downloads the object for so long; the server is not asked.

        Args:
            key: Of the object, which may not be there.
            file_name: Under which a browser stores it; ASCII, quoted as in an address.
            media_type: Sent with it.
            seconds: For which the address is good.
        """
        asked = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{file_name}",
            "ResponseContentType": media_type,
        }
        return self._client.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds)

    def delete_prefix(self, prefix: str, keep: Collection[str] = ()) -> int:
        """Delete every object below the folder `prefix` that is not in `keep`; return how many."""
        doomed = [key for key in self.list_keys(prefix) if key not in keep]
        self.delete_keys(doomed)
        return len(doomed)

    def delete_keys(self, keys: Sequence[str]) -> None:
        """Delete objects, those that are there."""
        for start in range(0, len(keys), 1000):  # the most that one request may name
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            with asking_for(keys[start]):
                answer = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": objects, "Quiet": True},  # type: ignore[typeddict-item]
                )
            if errors := answer.get("Errors"):
                raise StorageRefusedError(f"the object store did not delete {errors[0].get('Key')!r}: {errors[0]}")

    def holds(self, key: str) -> bool:
        """Whether there is an object at `key`."""
        try:
            with asking_for(key):
                self._client.head_object(Bucket=self._bucket, Key=key)
        except ObjectNotFoundError:
            return False
        return True

    def abort_uploads(self, before: datetime) -> int:
        """Give up the uploads in parts that began before a moment and never ended; return how many."""
        n_aborted = 0
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket)
        with asking_for("uploads"):
            for upload in (upload for page in pages for upload in page.get("Uploads", ())):
                if upload["Initiated"] < before:
                    key, upload_id = upload["Key"], upload["UploadId"]
                    self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
                    n_aborted += 1
        return n_aborted


def _folder(prefix: str) -> str:
    return f"{prefix.rstrip('/')}/" if prefix else ""
