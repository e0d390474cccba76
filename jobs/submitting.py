"""Let a job in: once for each request, as long as there is room."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    Insert,
    Interval,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.backpressure import QUEUED, QueueLimits, has_ample_room, require_room
from jobs.columns import fixed
from jobs.errors import IdempotencyMismatchError
from jobs.ids import new_job_id
from jobs.options import JobOptions
from jobs.positions import Line, Waiting
from jobs.prepared import Prepared
from jobs.quotas import require_quota
from jobs.records import Job, JobState, StageUnits, UnitState
from jobs.rows import now
from jobs.states import EventKind
from jobs.tables import events, jobs, owner_limits, units
from jobs.tracing import current_traceparent
from jobs.upload_uses import upload_id_of, use_upload

SUBMISSION = 0x64646F72  # any number, the same in all processes: where it matters, one job is let in at a time


@dataclass(frozen=True)
class Idempotency:
    """What tells a request that is sent again from a new one: the caller's key, and a digest of the body."""

    key: str
    digest: str

    def require_same(self, digest: str, made: str) -> None:
        """Refuse a request that has the key, but not the body, of the one that made `made`.

        Raises:
            IdempotencyMismatchError: the bodies differ.
        """
        if digest != self.digest:
            raise IdempotencyMismatchError(
                f"the idempotency key {self.key!r} came with another body, which made {made}; use a new key"
            )


@dataclass(frozen=True)
class NewJob:
    """What is asked for: by whom, and as another try of which job, if of one."""

    owner: str
    config: DistillConfig
    options: JobOptions
    idempotency: Idempotency | None = None
    retried_from: str | None = None


# what is to be known of a job that was just written; its labels are in the order in which the database keeps them
_TOLD = (jobs.c.id, jobs.c.stage, jobs.c.created_at, jobs.c.queue_deadline_at, jobs.c.labels)
_FIRST_UNIT = StageUnits(
    n_ready=1, n_running=0, n_done=0, done=0, total=0, attempts=0, started_at=None, finished_at=None, peak_bytes=None
)
_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")


def _new(name: str) -> BindParameter[Any]:
    return bindparam(f"new_{name}", type_=jobs.c[name].type)


def _may_come() -> ColumnElement[bool]:
    """Whether nobody need wait for others who come at the same moment: the queue is far from full, and no quota set."""
    owner, of_owner, in_all = _new("owner"), *(bindparam(f"most_{whose}", type_=BigInteger) for whose in ("own", "all"))
    room = and_(
        has_ample_room(func.count().filter(jobs.c.owner == owner), of_owner),
        has_ample_room(func.count(), in_all),
    )
    is_unlimited = and_(of_owner.is_(None), in_all.is_(None))  # then nothing is counted
    has_quota = exists().where(owner_limits.c.owner == owner)
    return and_(~has_quota, or_(is_unlimited, select(room).where(QUEUED).scalar_subquery()))


def _insertion() -> Select[Any]:
    """Write a job, the unit that a worker will begin with, and its first event, in one statement.

    It writes nothing where `is_checked` is false and the job may not come yet, and where its idempotency key came.
    """
    of_request = ("idempotency_key", "request_digest", "retried_from", "traceparent")
    given = ("id", "owner", "stage", "config", "upload_id", "priority", "timeout_seconds", "labels", *of_request)
    deadline = now() + bindparam("new_queue_deadline", type_=Interval)
    row: dict[str, ColumnElement[Any]] = {name: _new(name) for name in given}
    row |= {"state": fixed(JobState.QUEUED), "n_events": _ONE, "queue_deadline_at": deadline}
    came = select(*row.values()).where(or_(bindparam("is_checked", type_=Boolean), _may_come()))
    written = insert(jobs).from_select(list(row), came)
    once = written.on_conflict_do_nothing(index_elements=[jobs.c.owner, jobs.c.idempotency_key])
    job = once.returning(*_TOLD).cte("job")
    unit = {"job_id": job.c.id, "stage": job.c.stage, "index": _ZERO, "of": _ONE, "state": fixed(UnitState.READY)}
    event = {"job_id": job.c.id, "sequence": _ONE, "kind": fixed(EventKind.QUEUED), "data": literal_column("'{}'")}
    return select(job).add_cte(_beside(units, unit).cte("unit"), _beside(events, event).cte("event"))


def _beside(table: Table, values: Mapping[str, ColumnElement[Any]]) -> Insert:
    """Write a row into another table for each job that was written."""
    return insert(table).from_select(list(values), select(*values.values()))


_INSERTION = Prepared(_insertion())


def let_in_at_once(connection: Connection, new: NewJob, limits: QueueLimits) -> RowMapping | None:
    """Store a new job and answer its row, by one statement; None, and nothing is stored, where more has to be asked."""
    if upload_id_of(new.config.dataset.uri) is not None:
        return None
    return _INSERTION.run(connection, _values(new, None, limits)).mappings().one_or_none()


def let_in(connection: Connection, new: NewJob, limits: QueueLimits) -> RowMapping | str:
    """Store a new job, and answer its row; of a request that came before, answer the id of its job.

    Raises:
        IdempotencyMismatchError: the key came before, with another body.
        QuotaExceededError: the owner has used up what it may have.
        QueueFullError: as many jobs are queued as may be.
        DatasetNotFoundError: its dataset is an upload that is not there.
    """
    connection.execute(select(func.pg_advisory_xact_lock(SUBMISSION)))
    before = find_submitted(connection, new.owner, new.idempotency) if new.idempotency else None
    if before is not None:
        return before
    require_quota(connection, new.owner)
    require_room(connection, new.owner, limits)
    upload_id = use_upload(connection, new.owner, new.config.dataset.uri)
    row = _INSERTION.run(connection, _values(new, upload_id, None)).mappings().one_or_none()
    return row or let_in(connection, new, limits)  # its key came meanwhile, by `let_in_at_once`: now it is found


def queued_job(connection: Connection, row: RowMapping, new: NewJob, line: Line) -> Job:
    """Tell of a job that was just let in, without reading it back: one unit of its first stage waits, and no more."""
    options, job_id = new.options, row["id"]
    return Job(
        id=job_id,
        owner=new.owner,
        state=JobState.QUEUED,
        stage=(stage := Stage(row["stage"])),
        config=new.config,
        failure=None,
        created_at=row["created_at"].astimezone(UTC),
        started_at=None,
        finished_at=None,
        stages={stage: _FIRST_UNIT},
        figures={},
        priority=options.priority,
        queue_deadline_at=deadline.astimezone(UTC) if (deadline := row["queue_deadline_at"]) else None,
        timeout_seconds=options.timeout_s,
        expires_at=None,
        queue_position=line.positions(connection, [Waiting(job_id, new.owner, options.priority.level)])[job_id],
        labels=row["labels"],
        retried_from=new.retried_from,
    )


def find_submitted(connection: Connection, owner: str, idempotency: Idempotency) -> str | None:
    """Find the job of a request that came before.

    Raises:
        IdempotencyMismatchError: the key came before, with another body.
    """
    same_key = select(jobs.c.id, jobs.c.request_digest).where(
        jobs.c.owner == owner, jobs.c.idempotency_key == idempotency.key
    )
    row = connection.execute(same_key).one_or_none()
    if row is None:
        return None
    idempotency.require_same(row.request_digest, row.id)
    return str(row.id)


def _values(new: NewJob, upload_id: str | None, limits: QueueLimits | None) -> Mapping[str, Any]:
    """Fill the statement; without limits, all that may be asked was asked."""
    options, idempotency, deadline = new.options, new.idempotency, new.options.queue_deadline_s
    columns = {
        "id": new_job_id(),
        "owner": new.owner,
        "stage": new.config.stages[0],
        "config": new.config.model_dump_json(),
        "upload_id": upload_id,
        "priority": options.priority.level,
        "queue_deadline": timedelta(seconds=deadline) if deadline else None,
        "timeout_seconds": options.timeout_s,
        "labels": json.dumps(options.labels),
        "idempotency_key": idempotency.key if idempotency else None,
        "request_digest": idempotency.digest if idempotency else None,
        "retried_from": new.retried_from,
        "traceparent": current_traceparent(),
    }
    of_owner, in_all = (limits.of_owner, limits.in_all) if limits else (None, None)
    asked = {"is_checked": limits is None, "most_own": of_owner, "most_all": in_all}
    return {f"new_{name}": value for name, value in columns.items()} | asked
