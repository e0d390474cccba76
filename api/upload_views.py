"""Uploads over the wire, and records of them to views. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.paging import NextCursor
from api.views import View
from jobs.records import Upload, UploadPart, UploadState
from jobs.settings import MOST_UPLOAD_BYTES
from jobs.upload_beginnings import NewUpload
from jobs.upload_parts import MOST_PARTS, n_parts, part_size


class UploadRequest(BaseModel):
    """A file that is to be sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(None, description="For people.")
    size_bytes: Annotated[int, Field(ge=1, le=MOST_UPLOAD_BYTES)] | None = Field(
        None, description="Bytes of the file. Needed for parts; a file that is sent whole may say it by Content-Length."
    )
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="Hexadecimal; when it is given, other bytes are refused."
    )
    media_type: Annotated[str, Field(pattern=r"^[\w.+-]{1,100}/[\w.+-]{1,100}$")] | None = Field(
        None, description="For people: what a file is, is told by its content."
    )

    @property
    def record(self) -> NewUpload:
        """As the store takes it."""
        return NewUpload(**dict(self))


class PartView(View):
    """A part that is there."""

    number: int = Field(description="From 1.")
    size_bytes: int
    etag: str = Field(description="As the object store calls its content.")


class UploadLinks(View):
    """Where to go from here, as paths on this server."""

    self: str
    content: str = Field(description="PUT the whole file here.")
    parts: str = Field(description="PUT each part here, behind a slash and its number.")
    complete: str = Field(description="POST here when all parts are there.")


class UploadView(View):
    """A file that is sent, or was."""

    id: str = Field(description="`upload_` and 26 characters; sorts by age.")
    uri: str = Field(description="As the `dataset.uri` of a job, once it is ready.")
    state: UploadState = Field(description="open: takes bytes; ready: they are all there.")
    filename: str | None
    media_type: str | None
    size_bytes: int | None = Field(description="As declared or sent; null until known.")
    sha256: str | None = Field(description="As declared, or of the bytes when they were sent whole; null if not known.")
    created_at: datetime
    expires_at: datetime = Field(
        description="It is deleted then if it is still open, or if no job has used it since; not while one does."
    )
    part_size_bytes: int | None = Field(description="Bytes of every part but the last; null until the size is known.")
    n_parts: int | None = Field(description="Parts of the whole; null until the size is known.")
    has_urls: bool = Field(description="Whether parts can be sent past this server, by POST …/parts/{number}/url.")
    links: UploadLinks


class UploadWithParts(UploadView):
    """A file that is sent, and which of its parts are there."""

    parts: list[PartView] = Field(description="By number; empty when it is ready, or was sent whole.")


class UploadPage(View):
    """Uploads, newest first."""

    data: list[UploadView]
    next_cursor: NextCursor


class PartUrl(View):
    """Where to send a part without this server."""

    url: str = Field(description="PUT exactly `size_bytes` bytes here, without an API key. It is a secret.")
    size_bytes: int
    expires_at: datetime


class GivenPart(BaseModel):
    """A part as its sender knows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=1, le=MOST_PARTS)
    etag: str = Field(min_length=1, max_length=200)


class Completion(BaseModel):
    """What is complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: tuple[GivenPart, ...] | None = Field(
        None, max_length=MOST_PARTS, description="The parts that were sent; others are refused. Default: those there."
    )


def upload_path(upload_id: str) -> str:
    return f"/v1/uploads/{upload_id}"


def show_upload(upload: Upload, expires_at: datetime, *, has_urls: bool) -> UploadView:
    """Show an upload without its parts."""
    path, size = upload_path(upload.id), upload.size_bytes
    return UploadView(
        id=upload.id,
        uri=f"upload://{upload.id}",
        state=upload.state,
        filename=upload.filename,
        media_type=upload.media_type,
        size_bytes=size,
        sha256=upload.sha256,
        created_at=upload.created_at,
        expires_at=expires_at,
        part_size_bytes=part_size(size) if size else None,
        n_parts=n_parts(size) if size else None,
        has_urls=has_urls,
        links=UploadLinks(self=path, content=f"{path}/content", parts=f"{path}/parts", complete=f"{path}/complete"),
    )


def show_part(part: UploadPart) -> PartView:
    return PartView(number=part.number, size_bytes=part.size_bytes, etag=part.etag)


def show_parts(shown: UploadView, parts: Iterable[UploadPart]) -> UploadWithParts:
    """Add the parts to an upload that is shown."""
    return UploadWithParts(**dict(shown), parts=[show_part(part) for part in parts])
