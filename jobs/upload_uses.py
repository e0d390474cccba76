"""Who needs an upload: jobs that have not ended, and for a while after. What nobody needs is deleted."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Interval, delete, exists, literal, or_, select, update

from ddoq.errors import DatasetNotFoundError
from jobs.errors import StorageUnavailableError
from jobs.multipart import PartStore
from jobs.records import Upload, UploadState
from jobs.rows import now, now_once
from jobs.states import TERMINAL
from jobs.tables import jobs, uploads
from jobs.upload_rows import read_upload

OPEN_LIFE = timedelta(days=1)  # as old as the scan of the bucket lets parts become
AT_ONCE = 100  # uploads that are deleted at a time

log = logging.getLogger(__name__)


def upload_id_of(uri: str) -> str | None:
    """Name the upload that a dataset URI stands for; None for a URI of another scheme."""
    scheme, separator, rest = uri.partition("://")
    return rest if separator and scheme.lower() == "upload" else None


def names_of_uploads(engine: Engine, owner: str, uris: Collection[str]) -> Mapping[str, str]:
    """Tell by dataset URI what a file was called, of the uploads of an owner that were named and are still there."""
    ids = {uri: upload_id for uri in uris if (upload_id := upload_id_of(uri))}
    if not ids:
        return {}
    named = select(uploads.c.id, uploads.c.filename).where(
        uploads.c.owner == owner, uploads.c.id.in_(set(ids.values())), uploads.c.filename.is_not(None)
    )
    with engine.connect() as connection:
        names = {row.id: row.filename for row in connection.execute(named)}
    return {uri: names[upload_id] for uri, upload_id in ids.items() if upload_id in names}


def use_upload(connection: Connection, owner: str, uri: str) -> str | None:
    """Note that a new job of `owner` uses the upload of a dataset URI; None where it is none.

    Its row is held until the job is stored: nobody deletes it meanwhile.

    Raises:
        DatasetNotFoundError: there is no such upload of this owner, or it is not complete.
    """
    upload_id = upload_id_of(uri)
    if upload_id is None:
        return None
    of_owner = (uploads.c.id == upload_id) & (uploads.c.owner == owner)
    used = update(uploads).where(of_owner, uploads.c.state == UploadState.READY).values(used_at=now())
    if connection.execute(used).rowcount == 0:
        raise DatasetNotFoundError(f"there is no complete upload {uri!r}; send the file by POST /v1/uploads first")
    return upload_id


def is_in_use(upload_id: Any, since: ColumnElement[Any] | None = None) -> ColumnElement[bool]:
    """Whether a job that has not ended uses an upload, or one that ended behind `since`."""
    is_open = jobs.c.state.not_in(TERMINAL)
    needs_it = is_open if since is None else or_(is_open, jobs.c.finished_at > since)
    return exists().where(jobs.c.upload_id == upload_id, needs_it)


def clear(parts: PartStore, upload: Upload) -> None:
    """Delete the bytes of an upload whose row is gone, parts too."""
    if upload.key is None:
        return
    if upload.multipart_id is not None:
        parts.abort(upload.key, upload.multipart_id)
    parts.delete(upload.key)


def delete_unused(engine: Engine, parts: PartStore, days: float) -> Sequence[str]:
    """Delete uploads that were never finished, and those that no job has used for so many days; answer them.

    Any number of processes may do so at once. Bytes that could not be deleted are the business of the scan for orphans.
    """
    since = now_once() - literal(timedelta(days=days), Interval)
    is_given_up = (uploads.c.state == UploadState.OPEN) & (
        uploads.c.used_at <= now_once() - literal(OPEN_LIFE, Interval)
    )
    is_old = (uploads.c.state == UploadState.READY) & (uploads.c.used_at <= since)
    due = select(uploads.c.id).where(or_(is_given_up, is_old & ~is_in_use(uploads.c.id, since)))
    with engine.begin() as connection:
        held = connection.execute(due.limit(AT_ONCE).with_for_update(skip_locked=True)).scalars().all()
        is_free = uploads.c.id.in_(held) & ~is_in_use(uploads.c.id)  # asked again: a job may have come before the lock
        gone = connection.execute(delete(uploads).where(is_free).returning(uploads))
        deleted = [read_upload(row) for row in gone]
    for upload in deleted:
        try:
            clear(parts, upload)
        except StorageUnavailableError as error:
            log.warning("%s", error)
    return [upload.id for upload in deleted]
