"""A file that a page sends by script: the bytes are the body, so nothing is kept in memory."""

from typing import Annotated

from anyio import CancelScope
from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from api.pages.sessions import Sending
from api.receiving import content_length
from api.services import Using
from api.upload_routes import receive
from api.upload_views import UploadView, show_upload
from jobs.upload_beginnings import NewUpload

router = APIRouter(include_in_schema=False)

FileName = Annotated[str, Query(min_length=1, max_length=255)]


@router.post("/page/uploads", status_code=201)
async def take_file(request: Request, session: Sending, using: Using, filename: FileName) -> UploadView:
    """Begin an upload and send it whole, as callers of the API do in two steps. Cut off, it leaves nothing."""
    owner, uploads = session.owner, using.uploads
    new = NewUpload(filename, content_length(request))
    upload = await run_in_threadpool(uploads.create, owner, new)
    try:
        async with using.receiver.turn():
            upload = await run_in_threadpool(uploads.expect, owner, upload.id, new.size_bytes)
            upload = await receive(request, using, upload)
    except BaseException:  # a browser that went away, too
        with CancelScope(shield=True):
            await run_in_threadpool(uploads.delete, owner, upload.id)
        raise
    return show_upload(upload, uploads.expires_at(upload), has_urls=uploads.has_urls)
