"""The two things that every write does: lock a job, and write what happened to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    JSON,
    ColumnElement,
    Connection,
    Insert,
    ScalarSelect,
    Text,
    Update,
    func,
    insert,
    literal,
    select,
    update,
)

from jobs.outbox import announce_end
from jobs.records import Failure, JobState
from jobs.redaction import redact
from jobs.states import TERMINAL, EventKind, require_legal
from jobs.tables import events, jobs

# The database's clock, and not the start of the transaction: a lock may have been waited for.
now = func.clock_timestamp


def now_once() -> ScalarSelect[Any]:
    """The same clock, read once for a statement: only by that can an index be searched, not by one that goes on."""
    return select(now()).scalar_subquery()


@dataclass(frozen=True)
class LockedJob:
    """A job whose row this transaction holds: nobody else moves it meanwhile. `n_running` units were being run."""

    id: str
    owner: str
    state: JobState
    n_running: int


def lock_job(connection: Connection, job_id: str) -> LockedJob:
    """Hold a job's row until the transaction ends. Whoever also needs a unit's row must hold that before."""
    query = select(jobs.c.id, jobs.c.owner, jobs.c.state, jobs.c.n_running).where(jobs.c.id == job_id)
    row = connection.execute(query.with_for_update(key_share=True)).one()
    return LockedJob(row.id, row.owner, JobState(row.state), row.n_running)


def counted(change: Update, *found: ColumnElement[Any]) -> CTE:
    """Number the event of a change of a job's row; answer the job's `id`, that `n_events`, and what else is `found`."""
    numbered = change.values(n_events=jobs.c.n_events + 1)
    return numbered.returning(jobs.c.id, jobs.c.n_events, *found).cte("moved")


def tell(moved: CTE, kind: EventKind, data: ColumnElement[Any]) -> Insert:
    """Write the event of a counted change, in the same statement; nothing where no row changed."""
    row = select(moved.c.id, moved.c.n_events, literal(kind, Text), data)
    return insert(events).from_select(["job_id", "sequence", "kind", "data"], row)


def record(connection: Connection, job: LockedJob, kind: EventKind, data: Mapping[str, Any], **columns: Any) -> None:
    """Write the next event of a job, and in the same step what it changes in the job's row."""
    moved = counted(update(jobs).where(jobs.c.id == job.id).values(columns))
    connection.execute(tell(moved, kind, literal(dict(data), JSON)))


def move(
    connection: Connection, job: LockedJob, to: JobState, kind: EventKind, data: Mapping[str, Any], **columns: Any
) -> None:
    """Move a job to another state, and write the event that tells of it, and for webhooks that it has ended."""
    require_legal(job.state, to)
    if to is JobState.RUNNING:
        columns["started_at"] = func.coalesce(jobs.c.started_at, now())
    if to in TERMINAL:
        columns["finished_at"] = now()
    record(connection, job, kind, data, state=to, **columns)
    if to in TERMINAL:
        announce_end(connection, job.id, to)


def stood_down(connection: Connection, job: LockedJob, kind: EventKind, data: Mapping[str, Any]) -> None:
    """Write that a unit stopped unfinished: the job waits again, or, if it was to be cancelled, now it is."""
    n_running = job.n_running - 1
    if n_running > 0:
        record(connection, job, kind, data, n_running=n_running)
    elif job.state is JobState.CANCELLING:
        move(connection, job, JobState.CANCELLED, EventKind.CANCELLED, data, n_running=n_running)
    else:
        move(connection, job, JobState.QUEUED, kind, data, n_running=n_running)


def fail_job(connection: Connection, job: LockedJob, failure: Failure, **others: Any) -> None:
    """End a job badly; `others` are columns of its row that change with it."""
    data = {"code": failure.code, "stage": failure.stage, "message": storable(failure.message)}
    columns = {f"failure_{name}": value for name, value in data.items()}
    move(
        connection,
        job,
        JobState.FAILED,
        EventKind.FAILED,
        data,
        **columns,
        **others,
        failure_retryable=failure.retryable,
    )


def storable(message: str) -> str:
    """Write out what a column of text cannot hold, and leave out what it must not: secrets."""
    return redact(message).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
