"""Files behind a job's page: images one by one, plots, downloads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Request, Response

from api.artifact_routes import find_artifact, send_artifact
from api.errors import ArtifactNotFoundError
from api.pages.job_images import read_image
from api.pages.sessions import Glancing, Looking
from api.paths import JobId
from api.ranges import is_known
from api.services import Services, Using
from jobs.errors import ArtifactExpiredError, ObjectNotFoundError
from jobs.records import Artifact, Job
from jobs.upload_uses import names_of_uploads

router = APIRouter(include_in_schema=False)

KEPT: Final[Mapping[str, str]] = MappingProxyType({"Cache-Control": "private, max-age=31536000, immutable"})
DRAWN: Final[Mapping[str, str]] = MappingProxyType(
    {**KEPT, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
)
"""Plots carry their own style, and nothing of them runs."""

Number = Annotated[int, Path(ge=0, lt=2**31)]


@router.get("/jobs/{job_id}/images/{budget}/{label}/{codeword}")
def send_image(
    request: Request, session: Glancing, job_id: JobId, budget: str, label: Number, codeword: Number, using: Using
) -> Response:
    """Send one distilled image, which never changes."""
    artifacts = using.store.artifacts(session.owner, job_id)
    headers = {**KEPT, "ETag": f'"{label}-{codeword}"'}
    if is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    image = read_image(using, job_id, artifacts, (budget, label, codeword))
    if image is None:
        image = _read_growing(using, using.store.get(session.owner, job_id), (budget, label, codeword))
    return Response(image, headers=headers, media_type="image/png")


@router.get("/jobs/{job_id}/plots/{name}")
def send_plot(request: Request, session: Glancing, job_id: JobId, name: str, using: Using) -> Response:
    """Send a plot of the report, to be shown."""
    plot = find_artifact(using, session.owner, job_id, name)
    if not name.endswith(".svg"):
        raise ArtifactNotFoundError(f"{name!r} of job {job_id} is no plot; download it instead")
    headers = {**DRAWN, "ETag": f'"{plot.sha256}"'}
    if is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(using.objects.read(plot.key), headers=headers, media_type="image/svg+xml")


@router.get("/jobs/{job_id}/files/{name:path}")
def send_file(
    request: Request,
    session: Looking,
    job_id: JobId,
    name: str,
    using: Using,
    range_: Annotated[str | None, Header(alias="Range")] = None,
) -> Response:
    """Send a file to be kept, whole or in ranges, as the API does."""
    return send_artifact(request, using, find_artifact(using, session.owner, job_id, name), range_)


def _read_growing(using: Services, job: Job, place: tuple[str, int, int]) -> bytes:
    try:
        return using.previews.look(job).image(*place)
    except ObjectNotFoundError as error:
        raise ArtifactNotFoundError(str(error)) from error


def file_of(using: Services, job: Job) -> str | None:
    """What the upload that is the dataset of a job was called, if that is known."""
    uri = job.config.dataset.uri
    return names_of_uploads(using.engine, job.owner, [uri]).get(uri)


def artifacts_of(using: Services, job: Job) -> list[Artifact]:
    """List what a job has made and what is still kept of it."""
    try:
        return using.store.artifacts(job.owner, job.id)
    except ArtifactExpiredError:
        return []
