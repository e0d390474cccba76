"""Let a job in: once for each request, as long as there is room."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Interval,
    RowMapping,
    Select,
    Text,
    bindparam,
    exists,
    func,
    insert,
    select,
)

from ddoq.config import DistillConfig
from jobs.backpressure import QUEUED, QueueLimits, has_ample_room, require_room
from jobs.errors import IdempotencyMismatchError
from jobs.ids import new_job_id
from jobs.options import JobOptions
from jobs.quotas import require_quota
from jobs.records import JobState, UnitState
from jobs.rows import now
from jobs.states import EventKind
from jobs.tables import events, jobs, owner_limits, units
from jobs.tracing import current_traceparent
from jobs.upload_uses import use_upload

SUBMISSION = 0x64646F72  # any number, the same in all processes: where it matters, one job is let in at a time


@dataclass(frozen=True)
class Idempotency:
    """What tells a request that is sent again from a new one: the caller's key, and a digest of the body."""

    key: str
    digest: str


def _new(name: str) -> BindParameter[Any]:
    return bindparam(f"new_{name}", type_=jobs.c[name].type)


def _standing() -> Select[int, int, bool]:
    """Ask how many jobs of an owner are queued, and of all, and whether the owner has a quota."""
    owner = bindparam("of_owner", type_=Text)
    has_quota = exists().where(owner_limits.c.owner == owner)
    return select(func.count().filter(jobs.c.owner == owner), func.count(), has_quota).where(QUEUED)


def _insertion() -> Select[Any]:
    """Write a job, the unit that a worker will begin with, and its first event, in one statement."""
    of_request = ("idempotency_key", "request_digest", "retried_from", "traceparent")
    told = ("id", "owner", "stage", "config", "upload_id", "priority", "timeout_seconds", "labels", *of_request)
    deadline = now() + bindparam("new_queue_deadline", type_=Interval)
    row = {name: _new(name) for name in told} | {"state": JobState.QUEUED, "n_events": 1, "queue_deadline_at": deadline}
    unit = {"job_id": _new("id"), "stage": _new("stage"), "index": 0, "of": 1, "state": UnitState.READY}
    event = {"job_id": _new("id"), "sequence": 1, "kind": EventKind.QUEUED, "data": {}}
    job = insert(jobs).values(row).returning(*jobs.c).cte("job")
    others = (insert(units).values(unit).cte("unit"), insert(events).values(event).cte("event"))
    return select(job).add_cte(*others)


_STANDING, _INSERTION = _standing(), _insertion()  # made once: to make a statement costs more than to run it


def let_in(
    connection: Connection,
    owner: str,
    config: DistillConfig,
    options: JobOptions,
    idempotency: Idempotency | None,
    limits: QueueLimits,
    retried_from: str | None = None,
) -> RowMapping | str:
    """Store a new job, and answer its row; of a request that came before, answer the id of its job.

    Raises:
        IdempotencyMismatchError: the key came before, with another body.
        QuotaExceededError: the owner has used up what it may have.
        QueueFullError: as many jobs are queued as may be.
        DatasetNotFoundError: its dataset is an upload that is not there.
    """
    n_of_owner, n_in_all, has_quota = connection.execute(_STANDING, {"of_owner": owner}).one()
    if idempotency or has_quota or not has_ample_room(n_of_owner, n_in_all, limits):
        connection.execute(select(func.pg_advisory_xact_lock(SUBMISSION)))
        before = find_submitted(connection, owner, idempotency) if idempotency else None
        if before is not None:
            return before
        require_quota(connection, owner)
        require_room(connection, owner, limits)
    columns = {**_columns(options, idempotency), "retried_from": retried_from}
    return _insert(connection, owner, config, columns)


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
    if row.request_digest != idempotency.digest:
        raise IdempotencyMismatchError(
            f"the idempotency key {idempotency.key!r} came with another body, which made {row.id}; use a new key"
        )
    return str(row.id)


def _insert(connection: Connection, owner: str, config: DistillConfig, columns: Mapping[str, Any]) -> RowMapping:
    columns = {
        **columns,
        "upload_id": use_upload(connection, owner, config.dataset.uri),
        "traceparent": current_traceparent(),
    }
    first, given = config.stages[0], config.model_dump(mode="json")
    told = {"id": new_job_id(), "owner": owner, "stage": first, "config": given, **columns}
    return connection.execute(_INSERTION, {f"new_{name}": value for name, value in told.items()}).mappings().one()


def _columns(options: JobOptions, idempotency: Idempotency | None) -> Mapping[str, Any]:
    deadline = options.queue_deadline_s
    return {
        "priority": options.priority.level,
        "queue_deadline": timedelta(seconds=deadline) if deadline else None,
        "timeout_seconds": options.timeout_s,
        "labels": options.labels,
        "idempotency_key": idempotency.key if idempotency else None,
        "request_digest": idempotency.digest if idempotency else None,
    }
