"""Objects written in parts: each part by itself, in any order, resumable; nothing is there before the whole is."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import IO, TYPE_CHECKING

from botocore.exceptions import ClientError

from jobs.artifacts import CHUNK_BYTES, asking_for
from jobs.errors import ObjectNotFoundError
from jobs.records import UploadPart
from jobs.upload_errors import PartConflictError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

URL_SECONDS = 3600


class PartStore:
    """The parts of objects in one bucket. Safe to share between threads.

    Every call raises StorageUnavailableError when the server is away or fails, and where parts are asked for,
    ObjectNotFoundError when the server knows nothing of them any more.
    """

    def __init__(self, client: "S3Client", bucket: str, public_client: "S3Client | None" = None) -> None:
        self._client = client
        self._bucket = bucket
        self._public_client = public_client

    @property
    def has_urls(self) -> bool:
        """Whether clients reach the object store themselves."""
        return self._public_client is not None

    def begin(self, key: str) -> str:
        """Begin an object of parts; answer what the server calls them."""
        with asking_for(key):
            return self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]

    def put(self, key: str, multipart_id: str, number: int, part: IO[bytes]) -> str:
        """Store a part, in the place of what was there; answer its ETag.

        Raises:
            PartConflictError: the server has other bytes there, and cannot replace them.
        """
        part.seek(0)
        with asking_for(key):
            try:
                answer = self._client.upload_part(
                    Bucket=self._bucket, Key=key, UploadId=multipart_id, PartNumber=number, Body=part
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "NotImplemented":
                    raise
                raise PartConflictError(f"part {number} is there with other bytes and cannot be replaced") from error
        return answer["ETag"]

    def list(self, key: str, multipart_id: str) -> Iterator[UploadPart]:
        """List the parts that are there, by number."""
        pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=multipart_id)
        with asking_for(key):
            for page in pages:
                for part in page.get("Parts", ()):
                    yield UploadPart(part["PartNumber"], part["Size"], part["ETag"])

    def complete(self, key: str, multipart_id: str, parts: Sequence[UploadPart]) -> None:
        """Make the object of its parts."""
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with asking_for(key):
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=multipart_id,
                MultipartUpload={"Parts": listed},  # type: ignore[typeddict-item]
            )

    def abort(self, key: str, multipart_id: str) -> None:
        """Give the parts up, if they are there."""
        try:
            with asking_for(key):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=multipart_id)
        except ObjectNotFoundError:
            return

    def sign(self, key: str, multipart_id: str, number: int, size_bytes: int) -> str:
        """Make a URL by which anybody may store this part, of exactly so many bytes, for `URL_SECONDS`."""
        assert self._public_client is not None  # noqa: S101  callers ask `has_urls`
        parameters = {
            "Bucket": self._bucket,
            "Key": key,
            "UploadId": multipart_id,
            "PartNumber": number,
            "ContentLength": size_bytes,
        }
        return self._public_client.generate_presigned_url("upload_part", Params=parameters, ExpiresIn=URL_SECONDS)

    def size(self, key: str) -> int:
        """Tell how many bytes an object has.

        Raises:
            ObjectNotFoundError: there is no such object.
        """
        with asking_for(key):
            return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]

    def sha256(self, key: str) -> str:
        """Read an object once; answer its SHA-256 in hexadecimal."""
        digest = hashlib.sha256()
        with asking_for(key), closing(self._client.get_object(Bucket=self._bucket, Key=key)["Body"]) as body:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        with asking_for(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)


class Writing:
    """An object that is written from front to end, of which nothing is there before `close`. For one thread."""

    def __init__(self, parts: PartStore, key: str) -> None:
        self.key = key
        self.size_bytes = 0
        self._parts = parts
        self._id = parts.begin(key)
        self._written = list[UploadPart]()
        self._digest = hashlib.sha256()

    def write(self, piece: IO[bytes], size_bytes: int) -> None:
        """Write a piece, of at least 5 MiB unless it is the last."""
        piece.seek(0)
        while chunk := piece.read(CHUNK_BYTES):
            self._digest.update(chunk)
        number = len(self._written) + 1
        etag = self._parts.put(self.key, self._id, number, piece)
        self._written.append(UploadPart(number, size_bytes, etag))
        self.size_bytes += size_bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written, in hexadecimal."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let the object be there."""
        self._parts.complete(self.key, self._id, self._written)

    def abort(self) -> None:
        """Leave nothing behind."""
        self._parts.abort(self.key, self._id)
