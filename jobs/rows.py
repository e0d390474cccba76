"""Rows to records, and the two things that every write does: lock a job, and write what happened to it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.records import Failure, Job, JobState, Unit, UnitState
from jobs.states import TERMINAL, EventKind, require_legal
from jobs.tables import events, figures, jobs, units

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


def read_job(connection: Connection, job_id: str) -> Job:
    """Read one job that exists."""
    return read_jobs(connection, select(jobs).where(jobs.c.id == job_id))[0]


def read_jobs(connection: Connection, query: Select[Any]) -> list[Job]:
    """Read the jobs that a query over the table of jobs finds, in its order, with their units and figures."""
    rows = connection.execute(query).mappings().all()
    ids = [row["id"] for row in rows]
    units_of, figures_of = _units(connection, ids), _figures(connection, ids)
    return [_job(row, tuple(units_of[row["id"]]), figures_of[row["id"]]) for row in rows]


def _units(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[Unit]]:
    found: defaultdict[str, list[Unit]] = defaultdict(list)
    query = select(units).where(units.c.job_id.in_(ids)).order_by(units.c.id)
    for row in connection.execute(query).mappings():
        found[row["job_id"]].append(_unit(row))
    return found


def _figures(connection: Connection, ids: Sequence[str]) -> Mapping[str, dict[str, float]]:
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    query = select(figures).where(figures.c.job_id.in_(ids)).order_by(figures.c.name)
    for row in connection.execute(query):
        found[row.job_id][row.name] = row.value
    return found


def _unit(row: RowMapping) -> Unit:
    return Unit(
        id=row["id"],
        job_id=row["job_id"],
        stage=Stage(row["stage"]),
        index=row["index"],
        of=row["of"],
        state=UnitState(row["state"]),
        attempt=row["attempt"],
        worker=row["worker"],
        done=row["done"],
        total=row["total"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        peak_bytes=row["peak_bytes"],
    )


def _job(row: RowMapping, of_job: tuple[Unit, ...], numbers: Mapping[str, float]) -> Job:
    return Job(
        id=row["id"],
        owner=row["owner"],
        state=JobState(row["state"]),
        stage=Stage(row["stage"]),
        config=DistillConfig.model_validate(row["config"]),
        failure=_failure(row),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        units=of_job,
        figures=numbers,
    )


def _failure(row: RowMapping) -> Failure | None:
    if row["failure_code"] is None:
        return None
    stage = row["failure_stage"]
    return Failure(
        row["failure_code"], row["failure_message"], row["failure_retryable"], Stage(stage) if stage else None
    )
