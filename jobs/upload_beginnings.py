"""Begin uploads: once for each request, as long as there is room."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from jobs.ids import new_upload_id
from jobs.records import Upload, UploadState
from jobs.settings import Settings
from jobs.submitting import Idempotency
from jobs.tables import uploads
from jobs.upload_quota import count_alone, require_room
from jobs.upload_rows import read_upload


@dataclass(frozen=True)
class NewUpload:
    """What an owner says of a file before sending it. `sha256` is hexadecimal."""

    filename: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    media_type: str | None = None


@dataclass(frozen=True)
class Begun:
    """What became of a request: `is_new` is false when it came before and the upload is that of then."""

    upload: Upload
    is_new: bool


def begin(connection: Connection, most: Settings, owner: str, new: NewUpload, idempotency: Idempotency | None) -> Begun:
    """Store a new upload, unless the request came before: then find the upload that it made.

    Raises:
        IdempotencyMismatchError: the key came before, with another body.
        UploadTooLargeError, TooManyUploadsError, UploadQuotaError: there is no room for it.
    """
    before = _find_begun(connection, owner, idempotency) if idempotency else None
    if before is not None:
        return Begun(before, is_new=False)
    require_room(connection, most, owner, new.size_bytes or 0, n_new=1)
    request = {"idempotency_key": idempotency.key, "request_digest": idempotency.digest} if idempotency else {}
    row = {"id": new_upload_id(), "owner": owner, "state": UploadState.OPEN, **vars(new), **request}
    return Begun(read_upload(connection.execute(insert(uploads).values(row).returning(uploads)).one()), is_new=True)


def _find_begun(connection: Connection, owner: str, idempotency: Idempotency) -> Upload | None:
    """Find the upload of a request that came before; nobody else begins one for the owner meanwhile."""
    count_alone(connection, owner)
    same_key = select(uploads).where(uploads.c.owner == owner, uploads.c.idempotency_key == idempotency.key)
    row = connection.execute(same_key).one_or_none()
    if row is None:
        return None
    idempotency.require_same(row.request_digest, row.id)
    return read_upload(row)
