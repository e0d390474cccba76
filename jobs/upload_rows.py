"""The rows of uploads: find, hold, change."""

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, select, update

from jobs.records import Upload, UploadState
from jobs.tables import uploads
from jobs.upload_errors import UploadFinishedError, UploadNotFoundError


def find(connection: Connection, owner: str, upload_id: str, *, lock: bool = False) -> Upload:
    """Read an upload of an owner, and hold its row if asked.

    Raises:
        UploadNotFoundError: unknown, or somebody else's.
    """
    query = select(uploads).where(uploads.c.owner == owner, uploads.c.id == upload_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UploadNotFoundError(f"there is no upload {upload_id}")
    return read_upload(row)


def find_open(connection: Connection, owner: str, upload_id: str) -> Upload:
    """Hold the row of an upload that takes bytes.

    Raises:
        UploadNotFoundError: unknown, or somebody else's.
        UploadFinishedError: it is ready.
    """
    return require_open(find(connection, owner, upload_id, lock=True))


def require_open(upload: Upload) -> Upload:
    """Refuse an upload that is ready."""
    if upload.state is not UploadState.OPEN:
        raise UploadFinishedError(f"upload {upload.id} is ready; begin another for other bytes")
    return upload


def change(connection: Connection, upload: Upload, **columns: Any) -> Upload:
    """Write columns of an upload; answer it as it is then."""
    changed = update(uploads).where(uploads.c.id == upload.id).values(columns)
    return read_upload(connection.execute(changed.returning(uploads)).one())


def read_upload(row: Row[*tuple[Any, ...]]) -> Upload:
    """Turn a row into the record."""
    shown = {field.name: row._mapping[field.name] for field in fields(Upload)}
    return Upload(**{**shown, "state": UploadState(shown["state"])})
