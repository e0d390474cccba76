"""Jobs: submit, look, list, cancel, follow."""

import logging
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Reader, Writer
from api.bodies import json_body
from api.openapi import body_of, problems
from api.paths import JobId
from api.plan_views import PlanView
from api.planning import plan_job
from api.services import Services, Using
from api.shapes import job_path, show_events, show_job
from api.views import EventPage, JobPage, JobRequest, JobView
from jobs.admission import admit
from jobs.errors import JobEndedError, QueueUnavailableError
from jobs.records import ApiKey, Job, JobState
from jobs.states import TERMINAL
from jobs.store import Idempotency, Submitted

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

POLL_SECONDS = "2"
EXAMPLE = {"dataset": {"uri": "s3://datasets/flowers.zip"}, "images_per_class": 10}


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[ -~]*$",
        description="Any text of printable ASCII, new for each job: a request that is sent again makes no second job.",
    ),
]


ValidateOnly = Annotated[
    bool, Query(description="Answer what the job would be, or why it would be refused, and store nothing.")
]


class Paging(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    state: JobState | None = Field(None, description="Only jobs in this state.")
    limit: int = Field(20, ge=1, le=100, description="Jobs a page.")
    cursor: str | None = Field(None, max_length=200, description="The `next_cursor` of the page before.")


class Following(BaseModel):
    """Which events to list."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, ge=0, lt=2**31, description="Only events with a higher sequence.")
    limit: int = Field(100, ge=1, le=1000, description="Events an answer.")


@router.post(
    "",
    operation_id="submit_job",
    summary="Ask for a distillation",
    status_code=202,
    response_model=JobView,
    response_description="The job is queued; `Location` says where to watch it.",
    responses={
        200: {"model": PlanView, "description": "What the job would be, by `validate_only`."},
        **problems(400, 401, 403, 413, 415, 422, 429, 503),
    },
    openapi_extra=body_of(JobRequest, EXAMPLE),
)
def submit_job(
    caller: Writer,
    request: Annotated[JobRequest, Depends(json_body(JobRequest))],
    using: Using,
    response: Response,
    background: BackgroundTasks,
    key: IdempotencyKey = None,
    validate_only: ValidateOnly = False,
) -> JobView | Response:
    """Check what can be checked without reading the data, and queue the job.

    A request that is sent again with its `Idempotency-Key` is answered with the job that it made the first time, and
    with `Idempotency-Replayed: true`. With `validate_only` the dataset is looked at instead, and nothing is stored.
    """
    if validate_only:
        return Response(plan_job(using, caller.owner, request.config).model_dump_json(), media_type="application/json")
    submitted = _submit(using, caller.owner, request, Idempotency(key, request.digest) if key else None)
    if submitted.is_new:
        background.add_task(_wake, using)
    else:
        response.headers["Idempotency-Replayed"] = "true"
    response.headers["Location"] = job_path(submitted.job.id)
    return _show(submitted.job, response)


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs, newest first",
    responses=problems(401, 403, 422),
)
def list_jobs(caller: Reader, paging: Annotated[Paging, Query()], using: Using) -> JobPage:
    """List one's own jobs, page by page."""
    listing = (caller.owner, paging.state or "")
    after = using.cursors.unseal(paging.cursor, *listing) if paging.cursor else None
    jobs, last = using.store.page(caller.owner, paging.state, after, paging.limit)
    now = datetime.now(UTC)
    return JobPage(
        data=[show_job(job, now) for job in jobs],
        next_cursor=using.cursors.seal(last, *listing) if last else None,
    )


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Look at a job",
    responses=problems(401, 403, 404),
)
def get_job(caller: Reader, job_id: JobId, using: Using, response: Response) -> JobView:
    """Answer 200 whatever became of the job; `Retry-After` while it has not ended."""
    return _show(using.store.get(caller.owner, job_id), response)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    status_code=202,
    response_description="The job is `cancelling`: it stops at its next batch.",
    responses={200: {"model": JobView, "description": "The job is cancelled."}, **problems(401, 403, 404, 409)},
)
def cancel_job(caller: Writer, job_id: JobId, using: Using, response: Response) -> JobView:
    """Stop a job. One that has succeeded, failed or expired is refused; one that is cancelled stays so."""
    job = _cancel(using, caller, job_id)
    if job.state is JobState.CANCELLED:
        response.status_code = 200
    return _show(job, response)


@router.get(
    "/{job_id}/events",
    operation_id="list_events",
    summary="List what happened to a job",
    responses=problems(401, 403, 404, 422),
)
def list_events(caller: Reader, job_id: JobId, following: Annotated[Following, Query()], using: Using) -> EventPage:
    """List events, oldest first; ask again with `next_after` for more."""
    events = using.store.events(caller.owner, job_id, following.after, following.limit)
    return show_events(events, following.after)


def _submit(using: Services, owner: str, request: JobRequest, idempotency: Idempotency | None) -> Submitted:
    """Queue a job that is admitted; one that came before was, whatever has become of its dataset since."""
    before = using.store.submitted(owner, idempotency) if idempotency else None
    if before is not None:
        return Submitted(before, is_new=False)
    config = request.config
    admit(config, using.settings)
    return using.store.submit_once(owner, config, request.job, idempotency)


def _cancel(using: Services, caller: ApiKey, job_id: str) -> Job:
    try:
        return using.store.cancel(caller.owner, job_id)
    except JobEndedError:
        job = using.store.get(caller.owner, job_id)
        if job.state is not JobState.CANCELLED:
            raise
        return job


def _show(job: Job, response: Response) -> JobView:
    if job.state not in TERMINAL:
        response.headers["Retry-After"] = POLL_SECONDS
    return show_job(job, datetime.now(UTC))


def _wake(using: Services) -> None:
    """Call a worker, after the answer: a broker that is away delays nobody, and the sweep calls again."""
    try:
        using.queue.wake()
    except QueueUnavailableError as error:
        log.warning("%s", error)
