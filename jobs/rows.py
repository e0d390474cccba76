"""The two things that every write does: lock a job, and write what happened to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from ddoq.config import DistillConfig
from jobs.records import Failure, JobState, UnitState
from jobs.states import TERMINAL, EventKind, require_legal
from jobs.tables import events, jobs, units

now = (
    func.clock_timestamp
)  # the database's clock, and not the start of the transaction: a lock may have been waited for


@dataclass(frozen=True)
class LockedJob:
    """A job whose row this transaction holds: nobody else moves it meanwhile."""

    id: str
    owner: str
    state: JobState
    config: DistillConfig


def lock_job(connection: Connection, job_id: str) -> LockedJob:
    """Hold a job's row until the transaction ends. Whoever also needs a unit's row must hold that before."""
    query = select(jobs.c.id, jobs.c.owner, jobs.c.state, jobs.c.config).where(jobs.c.id == job_id)
    row = connection.execute(query.with_for_update(key_share=True)).one()
    return LockedJob(row.id, row.owner, JobState(row.state), DistillConfig.model_validate(row.config))


def record(connection: Connection, job: LockedJob, kind: EventKind, data: Mapping[str, Any], **columns: Any) -> None:
    """Write the next event of a job, and in the same step what it changes in the job's row."""
    n_events = connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id)
        .values(n_events=jobs.c.n_events + 1, **columns)
        .returning(jobs.c.n_events)
    ).scalar_one()
    row = {"job_id": job.id, "sequence": n_events, "kind": kind, "data": dict(data)}
    connection.execute(insert(events).values(row))


def move(
    connection: Connection, job: LockedJob, to: JobState, kind: EventKind, data: Mapping[str, Any], **columns: Any
) -> None:
    """Move a job to another state, and write the event that tells of it."""
    require_legal(job.state, to)
    if to is JobState.RUNNING:
        columns["started_at"] = func.coalesce(jobs.c.started_at, now())
    if to in TERMINAL:
        columns["finished_at"] = now()
    record(connection, job, kind, data, state=to, **columns)


def n_running(connection: Connection, job_id: str) -> int:
    """Count the units of a job that somebody works on. Exact while the job's row is held."""
    running = select(func.count()).where(units.c.job_id == job_id, units.c.state == UnitState.RUNNING)
    return connection.execute(running).scalar_one()


def stood_down(connection: Connection, job: LockedJob, kind: EventKind, data: Mapping[str, Any]) -> None:
    """Write that a unit stopped unfinished: the job waits again, or, if it was to be cancelled, now it is."""
    if n_running(connection, job.id) > 0:
        record(connection, job, kind, data)
    elif job.state is JobState.CANCELLING:
        move(connection, job, JobState.CANCELLED, EventKind.CANCELLED, data)
    else:
        move(connection, job, JobState.QUEUED, kind, data)


def fail_job(connection: Connection, job: LockedJob, failure: Failure) -> None:
    """End a job badly."""
    data = {"code": failure.code, "stage": failure.stage, "message": storable(failure.message)}
    columns = {f"failure_{name}": value for name, value in data.items()}
    move(
        connection,
        job,
        JobState.FAILED,
        EventKind.FAILED,
        data,
        **columns,
        failure_retryable=failure.retryable,
    )


def storable(message: str) -> str:
    """Write out what a column of text cannot hold."""
    return message.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
