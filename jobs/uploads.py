"""Files that owners send to be datasets. The row is the truth; bytes lie in the object store, below `uploads/<id>/`.

An upload is `open` until its bytes are all there and checked, then `ready`, and `upload://<id>` is a dataset. Whoever
makes it ready flips one pointer, `key`: of two who send at once one wins, and the other's bytes are deleted.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import IO

from sqlalchemy import Engine, delete, select, update

from jobs.artifacts import make_s3_client
from jobs.errors import ObjectNotFoundError
from jobs.multipart import PartStore, Writing
from jobs.records import Upload, UploadPart, UploadState
from jobs.rows import now
from jobs.settings import Settings
from jobs.submitting import Idempotency
from jobs.tables import uploads
from jobs.upload_beginnings import Begun, NewUpload, begin
from jobs.upload_errors import (
    ChecksumError,
    NoUploadUrlsError,
    SizeNeededError,
    UploadFinishedError,
    UploadIncompleteError,
    UploadInUseError,
    UploadNotFoundError,
)
from jobs.upload_parts import part_bytes, require_whole
from jobs.upload_quota import require_room
from jobs.upload_rows import change, find, find_open, read_upload, require_open
from jobs.upload_uses import OPEN_LIFE, clear, delete_unused, is_in_use


def open_uploads(engine: Engine, settings: Settings) -> "Uploads":
    """Open the uploads of an installation."""
    public = settings.s3_public_endpoint
    public_client = make_s3_client(settings.model_copy(update={"s3_endpoint": public})) if public else None
    return Uploads(engine, PartStore(make_s3_client(settings), settings.s3_bucket, public_client), settings)


class Uploads:
    """Uploads as their owners see them. Somebody else's upload does not exist. Safe to share between threads.

    Every call that asks the object store raises StorageUnavailableError when that is away.
    """

    def __init__(self, engine: Engine, parts: PartStore, settings: Settings) -> None:
        self._engine = engine
        self._parts = parts
        self._settings = settings

    @property
    def has_urls(self) -> bool:
        """Whether bytes may be sent to the object store itself."""
        return self._parts.has_urls

    def expires_at(self, upload: Upload) -> datetime:
        """Tell when an upload is deleted at the earliest; one that a job uses later lives longer."""
        days = timedelta(days=self._settings.upload_days)
        return upload.used_at + (OPEN_LIFE if upload.state is UploadState.OPEN else days)

    def create(self, owner: str, new: NewUpload) -> Upload:
        """Begin an upload; its declared bytes count from now on.

        Raises:
            UploadTooLargeError: the file is larger than is taken.
            TooManyUploadsError: too many are open.
            UploadQuotaError: all together would be too large.
        """
        return self.create_once(owner, new, None).upload

    def create_once(self, owner: str, new: NewUpload, idempotency: Idempotency | None) -> Begun:
        """Begin an upload, unless the request came before: then find the upload that it made.

        Raises:
            IdempotencyMismatchError: the key came before, with another body.
            UploadTooLargeError, TooManyUploadsError, UploadQuotaError: as for `create`.
        """
        with self._engine.begin() as connection:
            return begin(connection, self._settings, owner, new, idempotency)

    def get(self, owner: str, upload_id: str) -> Upload:
        """Read an upload.

        Raises:
            UploadNotFoundError: unknown, or somebody else's.
        """
        with self._engine.connect() as connection:
            return find(connection, owner, upload_id)

    def page(self, owner: str, after: str | None, limit: int) -> tuple[list[Upload], str | None]:
        """Read up to `limit` uploads, newest first, older than `after`; and what to pass as `after` for more."""
        query = select(uploads).where(uploads.c.owner == owner).order_by(uploads.c.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(uploads.c.id < after)
        with self._engine.connect() as connection:
            found = [read_upload(row) for row in connection.execute(query)]
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    def parts(self, upload: Upload) -> list[UploadPart]:
        """List the parts that are there, by number; none before the first and none once it is ready."""
        if upload.key is None or upload.multipart_id is None:
            return []
        try:
            return list(self._parts.list(upload.key, upload.multipart_id))
        except ObjectNotFoundError:  # the server forgot them, as rclone does when it restarts
            return []

    def expect(self, owner: str, upload_id: str, size_bytes: int | None) -> Upload:
        """Find an upload that bytes may be sent for; their number is declared now, if it was not before.

        Raises:
            UploadNotFoundError, UploadFinishedError: there is no such upload, or it is ready.
            SizeNeededError: their number is not known.
            UploadIncompleteError: it is another than was declared.
            UploadTooLargeError, UploadQuotaError: as for `create`.
        """
        with self._engine.begin() as connection:
            upload = find_open(connection, owner, upload_id)
            declared = upload.size_bytes
            if declared is None and size_bytes is None:
                raise SizeNeededError("how many bytes will come? send Content-Length, or begin anew with size_bytes")
            if declared is None:
                require_room(connection, self._settings, owner, size_bytes or 0)
                return change(connection, upload, size_bytes=size_bytes)
            if size_bytes not in (None, declared):
                raise UploadIncompleteError(f"{size_bytes} bytes were announced, and {declared} were declared")
            return upload

    def write(self, upload: Upload) -> Writing:
        """Begin to write the whole of an upload that expects bytes."""
        return Writing(self._parts, f"uploads/{upload.id}/{secrets.token_hex(8)}")

    def finish_written(self, upload: Upload, writing: Writing) -> Upload:
        """Let an upload be what was written, if it is what was declared.

        Raises:
            UploadIncompleteError: fewer or more bytes came than were declared.
            ChecksumError: they are others; nothing of them is left.
            UploadNotFoundError, UploadFinishedError: it was deleted or finished meanwhile.
        """
        if writing.size_bytes != upload.size_bytes:
            raise UploadIncompleteError(f"{writing.size_bytes} bytes came, and {upload.size_bytes} were declared")
        if upload.sha256 not in (None, writing.sha256):
            raise ChecksumError(f"the bytes have SHA-256 {writing.sha256}, and {upload.sha256} was declared")
        writing.close()
        ready = self._make_ready(upload, writing.key, writing.sha256)
        if upload.key and upload.multipart_id:  # parts that are not needed any more
            self._parts.abort(upload.key, upload.multipart_id)
        return ready

    def put_part(self, owner: str, upload_id: str, number: int, piece: IO[bytes]) -> UploadPart:
        """Store a part of an upload, `piece` being of the size that `part_size` says. The same again changes nothing.

        Raises:
            PartConflictError: other bytes are there, which this object store cannot replace.
            UploadNotFoundError, UploadFinishedError, SizeNeededError: as for `expect`.
        """
        upload = self._with_parts(owner, upload_id)
        size_bytes = part_bytes(upload, number)
        try:
            return UploadPart(number, size_bytes, self._put(upload, number, piece))
        except ObjectNotFoundError:
            self._forget_parts(upload)
            return UploadPart(number, size_bytes, self._put(self._with_parts(owner, upload_id), number, piece))

    def part_url(self, owner: str, upload_id: str, number: int) -> tuple[str, int]:
        """Sign a URL by which a part may be stored; answer it with the bytes that the part has to have.

        Raises:
            NoUploadUrlsError: clients do not reach this object store.
            PartError: there is no such part.
            UploadNotFoundError, UploadFinishedError, SizeNeededError: as for `expect`.
        """
        size_bytes = part_bytes(self.expect(owner, upload_id, None), number)
        if not self.has_urls:
            raise NoUploadUrlsError("this service hands out no URLs of its object store; PUT the bytes here")
        key, multipart_id = _place(self._with_parts(owner, upload_id))
        return self._parts.sign(key, multipart_id, number, size_bytes), size_bytes

    def complete(self, owner: str, upload_id: str, given: Mapping[int, str] | None) -> Upload:
        """Let an upload be its parts; one that is ready stays so.

        Args:
            owner: Whose it is.
            upload_id: Which it is.
            given: ETags by number as the caller had them, to be compared with those that are there.

        Raises:
            UploadNotFoundError: there is no such upload.
            UploadIncompleteError: parts are missing, or are others than the caller had.
            ChecksumError: the whole is not what was declared; its parts have to be sent again.
        """
        upload = self.get(owner, upload_id)
        if upload.state is UploadState.READY:
            return upload
        there = self.parts(upload)
        if there or not self._is_assembled(upload):
            require_whole(upload, there, given)
            key, multipart_id = _place(upload)
            self._parts.complete(key, multipart_id, there)
        return self._check_assembled(upload)

    def delete(self, owner: str, upload_id: str) -> None:
        """Delete an upload, whatever has come of it.

        Raises:
            UploadNotFoundError: unknown, or somebody else's.
            UploadInUseError: a job that has not ended uses it.
        """
        with self._engine.begin() as connection:
            upload = find(connection, owner, upload_id, lock=True)
            if connection.execute(select(is_in_use(upload.id))).scalar_one():
                raise UploadInUseError(f"a job that has not ended uses upload {upload_id}")
            connection.execute(delete(uploads).where(uploads.c.id == upload.id))
        clear(self._parts, upload)

    def locate(self, owner: str, upload_id: str) -> str | None:
        """Tell the key of an upload's bytes; None unless it is there, this owner's, and ready."""
        ready = select(uploads.c.key).where(
            uploads.c.id == upload_id, uploads.c.owner == owner, uploads.c.state == UploadState.READY
        )
        with self._engine.connect() as connection:
            return connection.execute(ready).scalar_one_or_none()

    def delete_unused(self) -> Sequence[str]:
        """Delete what was never finished, and what no job has needed for long; answer which."""
        return delete_unused(self._engine, self._parts, self._settings.upload_days)

    def _put(self, upload: Upload, number: int, piece: IO[bytes]) -> str:
        key, multipart_id = _place(upload)
        return self._parts.put(key, multipart_id, number, piece)

    def _with_parts(self, owner: str, upload_id: str) -> Upload:
        """Find an upload that has begun to be sent in parts, begun now if need be."""
        upload = self.expect(owner, upload_id, None)
        if upload.multipart_id is not None:
            return upload
        key = f"uploads/{upload.id}/{secrets.token_hex(8)}"
        multipart_id = self._parts.begin(key)
        with self._engine.begin() as connection:
            upload = find_open(connection, owner, upload_id)
            if upload.multipart_id is None:
                return change(connection, upload, key=key, multipart_id=multipart_id)
        self._parts.abort(key, multipart_id)  # another request was faster
        return upload

    def _forget_parts(self, upload: Upload) -> None:
        gone = update(uploads).where(uploads.c.id == upload.id, uploads.c.multipart_id == upload.multipart_id)
        with self._engine.begin() as connection:
            connection.execute(gone.values(key=None, multipart_id=None))

    def _is_assembled(self, upload: Upload) -> bool:
        """Whether the parts were put together before, by a request whose end nobody wrote down."""
        try:
            return upload.key is not None and self._parts.size(upload.key) == upload.size_bytes
        except ObjectNotFoundError:
            return False

    def _check_assembled(self, upload: Upload) -> Upload:
        key, _ = _place(upload)
        if upload.sha256 is not None and (found := self._parts.sha256(key)) != upload.sha256:
            self._forget_parts(upload)
            self._parts.delete(key)
            raise ChecksumError(f"the bytes have SHA-256 {found}, and {upload.sha256} was declared; send them again")
        return self._make_ready(upload, key, upload.sha256)

    def _make_ready(self, upload: Upload, key: str, sha256: str | None) -> Upload:
        try:
            with self._engine.begin() as connection:
                found = find(connection, upload.owner, upload.id, lock=True)
                if found.state is UploadState.READY and found.key == key:
                    return found
                require_open(found)
                ready = {"state": UploadState.READY, "key": key, "sha256": sha256, "multipart_id": None}
                return change(connection, found, **ready, used_at=now())
        except (UploadNotFoundError, UploadFinishedError):
            self._parts.delete(key)
            raise


def _place(upload: Upload) -> tuple[str, str]:
    if upload.key is None or upload.multipart_id is None:
        raise UploadIncompleteError(f"no part of upload {upload.id} is there; send them, then complete it")
    return upload.key, upload.multipart_id
