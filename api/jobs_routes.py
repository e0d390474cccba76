"""Jobs: submit, look, list, cancel, try again, delete."""

from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from api.auth import Reader, Writer
from api.bodies import json_body
from api.changing import cancel, retry, submit
from api.examples import REQUEST
from api.listing import Paging
from api.openapi import body_of, problems
from api.paths import JobId
from api.plan_views import PlanView
from api.planning import plan_job
from api.preferences import Preferences, wait_seconds
from api.problem_codes import REFUSALS, UNPLANNED
from api.ranges import is_known
from api.repeating import REPLAYED, IdempotencyKey
from api.services import Services, Using
from api.shapes import job_path
from api.shown import Shown, page_of, shown
from api.views import JobPage, JobRequest, JobView
from api.waiting import opaque, see_job
from jobs.errors import JobEndedError, JobNotEndedError, QueueFullError, QuotaExceededError
from jobs.records import JobState
from jobs.store import Submitted
from jobs.submitting import Idempotency

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

POLL_SECONDS = "2"
JSON = "application/json"
_NO_ROOM = (QueueFullError, QuotaExceededError)


IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="The `ETag` of an answer that the caller has.")
]
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "It is as `If-None-Match` has it."}}
ValidateOnly = Annotated[
    bool, Query(description="Answer what the job would be, or why it would be refused, and store nothing.")
]


@router.post(
    "",
    operation_id="submit_job",
    summary="Ask for a distillation",
    status_code=202,
    response_model=JobView,
    response_description="The job is queued; `Location` says where to watch it.",
    responses={
        200: {"model": PlanView, "description": "What the job would be, by `validate_only`."},
        **problems(400, 401, 403, 410, 413, 415, 422, *REFUSALS, *_NO_ROOM, *UNPLANNED),
    },
    openapi_extra=body_of(JobRequest, REQUEST),
)
def submit_job(
    caller: Writer,
    request: Annotated[JobRequest, Depends(json_body(JobRequest))],
    using: Using,
    key: IdempotencyKey = None,
    validate_only: ValidateOnly = False,
) -> Response:
    """Check what can be checked without reading the data, and queue the job.

    A request that is sent again with its `Idempotency-Key` is answered with the job that it made the first time, and
    with `Idempotency-Replayed: true`. With `validate_only` the dataset is looked at instead, and nothing is stored.
    """
    if validate_only:
        return Response(plan_job(using, caller.owner, request.config).model_dump_json(), media_type=JSON)
    submitted = submit(using, caller.owner, request, Idempotency(key, request.digest) if key else None)
    return _answer_submitted(using, submitted)


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs, newest first",
    response_model=JobPage,
    responses=problems(401, 403, 422),
)
def list_jobs(caller: Reader, paging: Annotated[Paging, Query()], using: Using) -> Response:
    """List one's own jobs, page by page; `Link` leads to the next page, as `next_cursor` does."""
    listing = (caller.owner, *paging.listing)
    after = using.cursors.unseal(paging.cursor, *listing) if paging.cursor else None
    jobs, last = using.shown.page(caller.owner, paging.which, after, paging.limit)
    following = using.cursors.seal(last, *listing) if last else None
    headers = {"Link": paging.following(following)} if following else {}
    return Response(page_of(jobs, following), headers=headers, media_type=JSON)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Look at a job",
    response_model=JobView,
    responses={**_NOT_MODIFIED, **problems(401, 403, 404, 410)},
)
@router.head(
    "/{job_id}",
    operation_id="inspect_job",
    summary="Ask whether a job has changed",
    response_class=Response,
    responses={**_NOT_MODIFIED, **problems(401, 403, 404, 410)},
)
async def get_job(
    caller: Reader, job_id: JobId, using: Using, known: IfNoneMatch = None, preferences: Preferences = None
) -> Response:
    """Answer 200 whatever became of the job; `Retry-After` while it has not ended.

    `ETag` is another whenever the answer is, but for the seconds of stages that run. With `Prefer: wait=SECONDS` the
    answer comes when there is news.
    """
    seconds = wait_seconds(preferences)
    job = await see_job(using, caller.owner, job_id, known, seconds)
    applied = {} if seconds is None else {"Preference-Applied": f"wait={seconds}"}
    return _answer(job, 304 if is_known(known, opaque(job.tag)) else 200, applied)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    status_code=202,
    response_model=JobView,
    response_description="The job is `cancelling`: it stops at its next batch.",
    responses={
        200: {"model": JobView, "description": "The job is cancelled."},
        **problems(401, 403, 404, 410, JobEndedError),
    },
)
def cancel_job(caller: Writer, job_id: JobId, using: Using) -> Response:
    """Stop a job. One that has succeeded, failed or expired is refused; one that is cancelled stays so."""
    job = cancel(using, caller.owner, job_id)
    return _answer(shown(job), 200 if job.state is JobState.CANCELLED else 202, {})


@router.post(
    "/{job_id}/retry",
    operation_id="retry_job",
    summary="Try a job again",
    status_code=202,
    response_model=JobView,
    response_description="Another job is queued; `Location` says where to watch it.",
    responses=problems(401, 403, 404, 410, 422, *REFUSALS, *_NO_ROOM, JobNotEndedError),
)
def retry_job(
    caller: Writer,
    job_id: JobId,
    using: Using,
    key: IdempotencyKey = None,
) -> Response:
    """Queue a new job with the config of one that has ended, its labels and the way in which it was to be run.

    It is checked as a new one is. The new job's `retried_from` names the old one, which stays as it is.
    """
    idempotency = Idempotency(key, sha256(f"retry {job_id}".encode()).hexdigest()) if key else None
    return _answer_submitted(using, retry(using, caller.owner, job_id, idempotency))


@router.delete(
    "/{job_id}",
    operation_id="delete_job",
    summary="Delete a job",
    status_code=204,
    responses=problems(401, 403, 404, 410, JobNotEndedError),
)
def delete_job(caller: Writer, job_id: JobId, using: Using) -> None:
    """Delete a job that has ended, its config, labels, events and files; from now on it is answered with 410."""
    using.store.delete(caller.owner, job_id)


def _answer_submitted(using: Services, submitted: Submitted) -> Response:
    if submitted.is_new:
        using.waker.wake()
    replayed = {} if submitted.is_new else REPLAYED
    return _answer(shown(submitted.job), 202, {"Location": job_path(submitted.job.id), **replayed})


def _answer(job: Shown, status: int, more: Mapping[str, str]) -> Response:
    headers = {"ETag": job.tag, "Cache-Control": "private, no-cache", **more}
    if not job.has_ended:
        headers["Retry-After"] = POLL_SECONDS
    body = b"" if status == HTTPStatus.NOT_MODIFIED else job.body
    return Response(body, status, headers, None if status == HTTPStatus.NOT_MODIFIED else JSON)
