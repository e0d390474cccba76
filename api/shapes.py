"""Records of `jobs` to views. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
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
)
from ddoq.events import Stage
from jobs.records import ApiKey, Artifact, Failure, Job, JobEvent, Unit, UnitState
from jobs.states import TERMINAL


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
        stages=[_show_stage(stage, job, end) for stage in job.config.stages],
        error=_show_failure(job.failure) if job.failure else None,
        figures=dict(job.figures),
        links=_links(job.id),
    )


def _show_stage(stage: Stage, job: Job, end: datetime) -> StageView:
    units = [unit for unit in job.units if unit.stage == stage]
    return StageView(
        stage=stage,
        status=_stage_status(units, has_ended=job.state in TERMINAL),
        done=sum(unit.done for unit in units),
        total=sum(unit.total for unit in units),
        seconds=_seconds(units, end),
        peak_bytes=max((unit.peak_bytes for unit in units if unit.peak_bytes is not None), default=None),
        attempts=max((unit.attempt for unit in units), default=0),
    )


def _stage_status(
    units: Sequence[Unit], *, has_ended: bool
) -> Literal["pending", "ready", "running", "done", "stopped"]:
    if not units:
        return "pending"
    if all(unit.state is UnitState.DONE for unit in units):
        return "done"
    if has_ended:
        return "stopped"
    return "ready" if all(unit.state is UnitState.READY for unit in units) else "running"


def _seconds(units: Sequence[Unit], end: datetime) -> float | None:
    starts = [unit.started_at for unit in units if unit.started_at]
    if not starts:
        return None
    finishes = [unit.finished_at if unit.state is UnitState.DONE and unit.finished_at else end for unit in units]
    return round((max(finishes) - min(starts)).total_seconds(), 3)


def _show_failure(failure: Failure) -> FailureView:
    return FailureView(code=failure.code, stage=failure.stage, message=failure.message, retryable=failure.retryable)


def job_path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}"


def _links(job_id: str) -> JobLinks:
    path = job_path(job_id)
    return JobLinks(self=path, events=f"{path}/events", artifacts=f"{path}/artifacts", cancel=f"{path}/cancel")


def show_events(events: Iterable[JobEvent], after: int) -> EventPage:
    """Show events; `after` is where the caller stood."""
    data = [EventView(sequence=e.sequence, at=e.at, kind=e.kind, data=dict(e.data)) for e in events]
    return EventPage(data=data, next_after=data[-1].sequence if data else after)


def show_artifacts(job_id: str, artifacts: Iterable[Artifact]) -> ArtifactList:
    """Show the files of a job."""
    return ArtifactList(
        data=[
            ArtifactView(
                name=artifact.name,
                size_bytes=artifact.size_bytes,
                sha256=artifact.sha256,
                media_type=artifact.media_type,
                download_url=f"{job_path(job_id)}/artifacts/{quote(artifact.name)}",
            )
            for artifact in artifacts
        ]
    )


def show_key(key: ApiKey) -> KeyView:
    """Show a key without its secret, which nobody has any more."""
    return KeyView(
        id=key.id, name=key.name, scopes=list(key.scopes), created_at=key.created_at, revoked_at=key.revoked_at
    )
