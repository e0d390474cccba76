"""Uploads: begin, send whole or in parts, complete, look, list, delete."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from anyio import CancelScope
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.auth import Reader, Writer
from api.bodies import json_body
from api.errors import DatabaseUnavailableError, TooManyBodiesError
from api.openapi import body_of, problems
from api.paging import Cursor
from api.paths import UploadId
from api.receiving import content_length, pieces, require_digest
from api.repeating import REPLAYED, IdempotencyKey, digest_of
from api.services import Services, Using
from api.upload_views import (
    Completion,
    PartUrl,
    PartView,
    UploadPage,
    UploadRequest,
    UploadView,
    UploadWithParts,
    show_part,
    show_parts,
    show_upload,
    upload_path,
)
from jobs.errors import StorageUnavailableError
from jobs.multipart import URL_SECONDS
from jobs.records import Upload
from jobs.submitting import Idempotency
from jobs.upload_errors import (
    ChecksumError,
    NoUploadUrlsError,
    PartConflictError,
    PartError,
    TooManyUploadsError,
    UploadFinishedError,
    UploadIncompleteError,
    UploadInUseError,
)
from jobs.upload_parts import MOST_PARTS, part_bytes, part_size

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

Number = Annotated[int, Path(ge=1, le=MOST_PARTS, description="From 1 to the upload's `n_parts`.")]
_BYTES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_PARTS = (ChecksumError, PartError)
_CONFLICTS = (PartConflictError, UploadFinishedError)
_AWAY = (DatabaseUnavailableError, StorageUnavailableError, TooManyBodiesError)
EXAMPLE = {"filename": "flowers.zip", "size_bytes": 60_270_631}


class UploadPaging(BaseModel):
    """Which uploads to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100, description="Uploads a page.")
    cursor: Cursor = None


@router.post(
    "",
    operation_id="create_upload",
    summary="Begin an upload",
    status_code=201,
    response_description="The upload, open; `Location` says where to look at it.",
    responses=problems(400, 401, 403, 413, 415, 422, 507, TooManyUploadsError),
    openapi_extra=body_of(UploadRequest, EXAMPLE),
)
def create_upload(
    caller: Writer,
    new: Annotated[UploadRequest, Depends(json_body(UploadRequest))],
    using: Using,
    response: Response,
    key: IdempotencyKey = None,
) -> UploadView:
    """Say what is to be sent. What is not complete after a day is deleted.

    A request that is sent again with its `Idempotency-Key` is answered with the upload that it began the first time,
    as it is now, and with `Idempotency-Replayed: true`.
    """
    begun = using.uploads.create_once(caller.owner, new.record, Idempotency(key, digest_of(new)) if key else None)
    response.headers["Location"] = upload_path(begun.upload.id)
    response.headers.update({} if begun.is_new else REPLAYED)
    return _show(using, begun.upload)


@router.get(
    "",
    operation_id="list_uploads",
    summary="List uploads, newest first",
    responses=problems(401, 403, 422),
)
def list_uploads(caller: Reader, paging: Annotated[UploadPaging, Query()], using: Using) -> UploadPage:
    """List one's own uploads, page by page."""
    listing = (caller.owner, "uploads")
    after = using.cursors.unseal(paging.cursor, *listing) if paging.cursor else None
    uploads, last = using.uploads.page(caller.owner, after, paging.limit)
    return UploadPage(
        data=[_show(using, upload) for upload in uploads],
        next_cursor=using.cursors.seal(last, *listing) if last else None,
    )


@router.get(
    "/{upload_id}",
    operation_id="get_upload",
    summary="Look at an upload",
    responses=problems(401, 403, 404, *_AWAY),
)
def get_upload(caller: Reader, upload_id: UploadId, using: Using) -> UploadWithParts:
    """Tell which parts are there, so that a client that was cut off sends only the others."""
    upload = using.uploads.get(caller.owner, upload_id)
    return show_parts(_show(using, upload), using.uploads.parts(upload))


@router.put(
    "/{upload_id}/content",
    operation_id="send_upload",
    summary="Send the whole file",
    response_description="The upload, ready.",
    responses=problems(401, 403, 404, 408, 411, 413, 422, 507, ChecksumError, *_CONFLICTS, *_AWAY),
    openapi_extra=_BYTES,
)
async def send_upload(request: Request, caller: Writer, upload_id: UploadId, using: Using) -> UploadView:
    """Send the file in one request, as `curl -T FILE` does: it is ready with the answer. Cut off, it leaves nothing."""
    length = content_length(request)
    upload = await run_in_threadpool(using.uploads.expect, caller.owner, upload_id, length)
    async with using.receiver.turn():
        return _show(using, await receive(request, using, upload))


@router.put(
    "/{upload_id}/parts/{number}",
    operation_id="send_part",
    summary="Send a part",
    response_description="The part, which is there now.",
    responses=problems(401, 403, 404, 408, 411, 413, 422, *_PARTS, *_CONFLICTS, *_AWAY),
    openapi_extra=_BYTES,
)
async def send_part(request: Request, caller: Writer, upload_id: UploadId, number: Number, using: Using) -> PartView:
    """Send one part, in any order, again if need be; `Content-MD5` or `Content-Digest` are checked where they are."""
    upload = await run_in_threadpool(using.uploads.expect, caller.owner, upload_id, None)
    size_bytes = part_bytes(upload, number)
    if (length := content_length(request)) not in (None, size_bytes):
        raise PartError(f"part {number} has {size_bytes} bytes, and {length} were announced")
    async with using.receiver.turn():
        received = [piece async for piece in pieces(request, size_bytes, size_bytes)]
        if not received or received[0][1] != size_bytes:
            raise PartError(f"part {number} has {size_bytes} bytes, and fewer came; send it again")
        await run_in_threadpool(require_digest, request, received[0][0])
        part = await run_in_threadpool(using.uploads.put_part, caller.owner, upload_id, number, received[0][0])
    return show_part(part)


@router.post(
    "/{upload_id}/parts/{number}/url",
    operation_id="sign_part_url",
    summary="Get a URL to send a part past this server",
    responses=problems(401, 403, 404, 411, 422, PartError, NoUploadUrlsError, *_CONFLICTS, *_AWAY),
)
def sign_part_url(caller: Writer, upload_id: UploadId, number: Number, using: Using) -> PartUrl:
    """Sign a URL of the object store, for an hour and for a body of exactly `size_bytes`."""
    expires_at = datetime.now(UTC) + timedelta(seconds=URL_SECONDS)
    url, size_bytes = using.uploads.part_url(caller.owner, upload_id, number)
    return PartUrl(url=url, size_bytes=size_bytes, expires_at=expires_at)


@router.post(
    "/{upload_id}/complete",
    operation_id="complete_upload",
    summary="Let an upload be its parts",
    response_description="The upload, ready.",
    responses=problems(400, 401, 403, 404, 413, 415, 422, 507, *_PARTS, UploadIncompleteError, *_CONFLICTS, *_AWAY),
    openapi_extra=body_of(Completion, {}),
)
def complete_upload(
    caller: Writer, upload_id: UploadId, asked: Annotated[Completion, Depends(json_body(Completion))], using: Using
) -> UploadView:
    """Check that all parts are there and put them together; where a sha256 was declared, the whole is read once.

    An upload that is ready stays so.
    """
    given = None if asked.parts is None else {part.number: part.etag for part in asked.parts}
    return _show(using, using.uploads.complete(caller.owner, upload_id, given))


@router.delete(
    "/{upload_id}",
    operation_id="delete_upload",
    summary="Delete an upload",
    status_code=204,
    responses=problems(401, 403, 404, UploadInUseError, *_AWAY),
)
def delete_upload(caller: Writer, upload_id: UploadId, using: Using) -> None:
    """Delete what was sent, or give up what was begun; refused while a job that has not ended uses it."""
    using.uploads.delete(caller.owner, upload_id)


async def receive(request: Request, using: Services, upload: Upload) -> Upload:
    """Store a whole body, or nothing of it."""
    size_bytes = upload.size_bytes or 0
    writing = await run_in_threadpool(using.uploads.write, upload)
    try:
        async for piece, n_bytes in pieces(request, part_size(size_bytes), size_bytes):
            await run_in_threadpool(writing.write, piece, n_bytes)
        return await run_in_threadpool(using.uploads.finish_written, upload, writing)
    except BaseException:  # a client that went away, too
        with CancelScope(shield=True):
            await run_in_threadpool(writing.abort)
        raise


def _show(using: Services, upload: Upload) -> UploadView:
    return show_upload(upload, using.uploads.expires_at(upload), has_urls=using.uploads.has_urls)
