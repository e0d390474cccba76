"""Records of `jobs` to views. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Literal
from urllib.parse import quote

from api.views import (
    ArtifactList,
    ArtifactView,
    EventPage,
    EventView,
    FailureView,
    JobLinks,
    JobView,
    KeyView,
    StageView,
    UnitCounts,
)
from ddoq.errors import hint_of
from ddoq.events import Stage
from jobs.records import ApiKey, Artifact, Failure, Job, JobEvent, StageUnits
from jobs.states import TERMINAL

NO_UNITS = StageUnits(
    n_ready=0, n_running=0, n_done=0, done=0, total=0, attempts=0, started_at=None, finished_at=None, peak_bytes=None
)
GOING_ON = frozenset({"ready", "running"})  # a stage whose worker was stopped is ready again, and its time goes on


def show_job(job: Job, now: datetime) -> JobView:
    """Show a job; `now` ends the seconds of stages that are still running."""
    end = job.finished_at or now
    return JobView(
        id=job.id,
        status=job.state,
        stage=job.stage,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        config=job.config,
        priority=job.priority,
        queue_position=job.queue_position,
        queue_deadline_at=job.queue_deadline_at,
        timeout_s=job.timeout_seconds,
        expires_at=job.expires_at,
        labels=dict(job.labels),
        retried_from=job.retried_from,
        stages=[
            _show_stage(stage, job.stages[stage], end, has_ended=job.state in TERMINAL)
            if stage in job.stages
            else _pending(stage)
            for stage in job.config.stages
        ],
        error=_show_failure(job.failure) if job.failure else None,
        figures=dict(job.figures),
        links=_links(job.id),
    )


def tag_of(job: JobView, body: bytes) -> str:
    """Name the answer `body` about a job: another answer has another tag, but for the seconds of stages that go on.

    The tag is weak for their sake: they grow with every answer.
    """
    if any(stage.seconds is not None and stage.status in GOING_ON for stage in job.stages):
        stages = [stage.model_copy(update={"seconds": None}) for stage in job.stages]
        body = job.model_copy(update={"stages": stages}).model_dump_json().encode()
    return f'W/"{sha256(body).hexdigest()[:32]}"'


@cache
def _pending(stage: Stage) -> StageView:
    return _show_stage(stage, NO_UNITS, datetime.max.replace(tzinfo=UTC), has_ended=False)


def _show_stage(stage: Stage, units: StageUnits, end: datetime, *, has_ended: bool) -> StageView:
    return StageView(
        stage=stage,
        status=_stage_status(units, has_ended=has_ended),
        done=units.done,
        total=units.total,
        units=UnitCounts(ready=units.n_ready, running=units.n_running, done=units.n_done),
        seconds=_seconds(units, end),
        peak_bytes=units.peak_bytes,
        attempts=units.attempts,
    )


def _stage_status(units: StageUnits, *, has_ended: bool) -> Literal["pending", "ready", "running", "done", "stopped"]:
    if units == NO_UNITS:
        return "pending"
    if not units.n_ready and not units.n_running:
        return "done"
    if has_ended:
        return "stopped"
    return "running" if units.n_running or units.n_done else "ready"


def _seconds(units: StageUnits, end: datetime) -> float | None:
    if units.started_at is None:
        return None
    return round(((units.finished_at or end) - units.started_at).total_seconds(), 3)


def _show_failure(failure: Failure) -> FailureView:
    return FailureView(
        code=failure.code,
        stage=failure.stage,
        message=failure.message,
        hint=hint_of(failure.code),
        retryable=failure.retryable,
    )


def job_path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}"


def _links(job_id: str) -> JobLinks:
    path = job_path(job_id)
    return JobLinks(
        self=path,
        events=f"{path}/events",
        artifacts=f"{path}/artifacts",
        cancel=f"{path}/cancel",
        retry=f"{path}/retry",
    )


def show_event(event: JobEvent) -> EventView:
    """Show one event."""
    return EventView(sequence=event.sequence, at=event.at, kind=event.kind, data=dict(event.data))


def show_events(events: Iterable[JobEvent], after: int) -> EventPage:
    """Show events; `after` is where the caller stood."""
    data = [show_event(event) for event in events]
    return EventPage(data=data, next_after=data[-1].sequence if data else after)


def show_artifacts(job_id: str, artifacts: Iterable[Artifact], expires_at: datetime | None) -> ArtifactList:
    """Show the files of a job, which are kept until `expires_at`."""
    return ArtifactList(
        data=[
            ArtifactView(
                name=artifact.name,
                size_bytes=artifact.size_bytes,
                sha256=artifact.sha256,
                media_type=artifact.media_type,
                expires_at=expires_at,
                download_url=f"{job_path(job_id)}/artifacts/{quote(artifact.name)}",
            )
            for artifact in artifacts
        ]
    )


def show_key(key: ApiKey) -> KeyView:
    """Show a key without its secret, which nobody has any more."""
    return KeyView(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        created_at=key.created_at,
        revoked_at=key.revoked_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )
