"""Artifacts: list, and download whole or in ranges. Bytes go through here, since not every S3 speaks Range."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.auth import Reader
from api.errors import ArtifactNotFoundError, DatabaseUnavailableError
from api.openapi import problems
from api.paths import JobId
from api.ranges import applies, is_known, parse_range
from api.services import Services, Using
from api.shapes import show_artifacts
from api.views import ArtifactList
from jobs.artifacts import ObjectStore, OpenRange
from jobs.errors import ArtifactExpiredError, StorageUnavailableError
from jobs.records import Artifact

SIGNED_SECONDS = 15 * 60

router = APIRouter(prefix="/v1/jobs/{job_id}/artifacts", tags=["artifacts"])

Name = Annotated[str, Path(description="As listed; may hold slashes.")]
_BYTES: dict[str, Any] = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_DOWNLOADS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file; its ETag is its sha256.", **_BYTES},
    206: {"description": "The bytes that Range asked for.", **_BYTES},
    304: {"description": "The file is the one that If-None-Match names."},
    307: {"description": "The file is at `Location`, which is good for 15 minutes and needs no key."},
}
_GONE_OR_AWAY = (ArtifactExpiredError, DatabaseUnavailableError, StorageUnavailableError)


class FileStream(StreamingResponse):
    """A file that is open in the object store until its connection is closed, even before its first byte."""

    def __init__(self, opened: OpenRange, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(opened, status, headers)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._opened.close()


@router.get(
    "",
    operation_id="list_artifacts",
    summary="List the files of a job",
    responses=problems(401, 403, 404, ArtifactExpiredError),
)
def list_artifacts(caller: Reader, job_id: JobId, using: Using) -> ArtifactList:
    """List names, sizes, checksums, and until when the files are kept."""
    found = using.store.artifacts(caller.owner, job_id)
    return show_artifacts(job_id, found, using.store.kept_until(caller.owner, job_id))


@router.head(
    "/{name:path}",
    operation_id="inspect_artifact",
    summary="Ask for a file's size and checksum",
    response_class=Response,
    responses={304: _DOWNLOADS[304], **problems(401, 403, 404, ArtifactExpiredError)},
)
def inspect_artifact(request: Request, caller: Reader, job_id: JobId, name: Name, using: Using) -> Response:
    """Answer as a download of the whole file would, without its bytes."""
    artifact = find_artifact(using, caller.owner, job_id, name)
    headers = _headers(artifact)
    if is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(headers={**headers, **_described(artifact, artifact.size_bytes)})


@router.get(
    "/{name:path}",
    operation_id="download_artifact",
    summary="Download a file",
    response_class=Response,
    responses={**_DOWNLOADS, **problems(401, 403, 404, 416, *_GONE_OR_AWAY)},
)
def download_artifact(
    request: Request,
    caller: Reader,
    job_id: JobId,
    name: Name,
    using: Using,
    range_: Annotated[str | None, Header(alias="Range", description="One range: `bytes=FIRST-LAST`.")] = None,
) -> Response:
    """Download the whole file, or one range of it; a range of several is answered with the whole.

    Where callers reach the object store themselves, they are sent there.
    """
    return send_artifact(request, using, find_artifact(using, caller.owner, job_id, name), range_)


def send_artifact(request: Request, using: Services, artifact: Artifact, range_: str | None) -> Response:
    """Send a file, or the range of it that is asked for."""
    headers = _headers(artifact)
    if is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if using.public_objects:
        return _redirect(using.public_objects, artifact)
    is_partial = applies(request.headers.get("if-range"), headers["ETag"])
    wanted = parse_range(range_, artifact.size_bytes) if is_partial else None
    if wanted is None:
        headers |= _described(artifact, artifact.size_bytes)
        if artifact.size_bytes == 0:
            return Response(headers=headers)
        return FileStream(using.objects.open_range(artifact.key, 0, artifact.size_bytes - 1), 200, headers)
    headers |= _described(artifact, wanted.stop - wanted.start) | {"Content-Range": wanted.content_range}
    return FileStream(using.objects.open_range(artifact.key, wanted.start, wanted.stop - 1), 206, headers)


def find_artifact(using: Services, owner: str, job_id: str, name: str) -> Artifact:
    """Find a file of a job by its name.

    Raises:
        ArtifactNotFoundError: it has none of that name.
    """
    artifacts = using.store.artifacts(owner, job_id)
    for artifact in artifacts:
        if artifact.name == name:
            return artifact
    names = ", ".join(artifact.name for artifact in artifacts) or "none yet"
    raise ArtifactNotFoundError(f"job {job_id} has no artifact {name!r}; it has {names}")


def _headers(artifact: Artifact) -> dict[str, str]:
    return {
        "ETag": f'"{artifact.sha256}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache, no-transform",
    }


def _described(artifact: Artifact, length: int) -> dict[str, str]:
    """Describe the body. A report is HTML from a job: a browser is told to store it, not to show it as ours."""
    return {
        "Content-Length": str(length),
        "Content-Type": artifact.media_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{_file_name(artifact)}",
        "X-Content-Type-Options": "nosniff",
    }


def _file_name(artifact: Artifact) -> str:
    return quote(artifact.name.rpartition("/")[2])


def _redirect(objects: ObjectStore, artifact: Artifact) -> Response:
    url = objects.presigned_url(artifact.key, _file_name(artifact), artifact.media_type, SIGNED_SECONDS)
    return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
