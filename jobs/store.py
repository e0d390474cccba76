"""What the owner of a job may do with it. The rows are the truth; `jobs.leases` has the worker's side.

Lock order, everywhere: a unit's row, then its job's row. The calls here lock the job's row only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, insert, select

from ddoq.config import DistillConfig
from jobs.backpressure import UNLIMITED, QueueLimits, require_room
from jobs.errors import ArtifactExpiredError, IdempotencyMismatchError, JobEndedError, JobNotFoundError
from jobs.ids import new_job_id
from jobs.options import JobOptions
from jobs.quotas import require_quota
from jobs.reading import read_job, read_jobs
from jobs.records import Artifact, Job, JobEvent, JobState, UnitState
from jobs.rows import lock_job, move, now, record
from jobs.states import TERMINAL, EventKind
from jobs.tables import artifacts, events, jobs, units
from jobs.tracing import current_traceparent

USUAL = JobOptions()
SUBMISSION = 0x64646F72  # any number, the same in all processes: one job is let in at a time


@dataclass(frozen=True)
class Idempotency:
    """What tells a request that is sent again from a new one: the caller's key, and a digest of the body."""

    key: str
    digest: str


@dataclass(frozen=True)
class Submitted:
    """What became of a request: `is_new` is false when it came before and the job is that of then."""

    job: Job
    is_new: bool


class Store:
    """Jobs as their owners see them. Somebody else's job does not exist. Safe to share between threads."""

    def __init__(self, engine: Engine, limits: QueueLimits = UNLIMITED) -> None:
        self._engine = engine
        self._limits = limits

    def submit(self, owner: str, config: DistillConfig, options: JobOptions = USUAL) -> Job:
        """Store a new job with the unit that a worker will begin with.

        Raises:
            QuotaExceededError: the owner has used up what it may have.
            QueueFullError: as many jobs are queued as may be.
        """
        return self.submit_once(owner, config, options, None).job

    def submit_once(
        self, owner: str, config: DistillConfig, options: JobOptions, idempotency: Idempotency | None
    ) -> Submitted:
        """Store a new job, unless the request came before: then find the job that it made.

        Raises:
            IdempotencyMismatchError: the key came before, with another body.
            QuotaExceededError: the owner has used up what it may have.
            QueueFullError: as many jobs are queued as may be.
        """
        with self._engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(SUBMISSION)))
            before = _submitted_before(connection, owner, idempotency) if idempotency else None
            if before is None:
                require_quota(connection, owner)
                require_room(connection, owner, self._limits)
            job_id = before or _insert(connection, owner, config, _columns(options, idempotency))
        return Submitted(self.get(owner, job_id), is_new=before is None)

    def submitted(self, owner: str, idempotency: Idempotency) -> Job | None:
        """Find the job of a request that came before.

        Raises:
            IdempotencyMismatchError: the key came before, with another body.
        """
        with self._engine.connect() as connection:
            job_id = _submitted_before(connection, owner, idempotency)
        return None if job_id is None else self.get(owner, job_id)

    def get(self, owner: str, job_id: str) -> Job:
        """Read a job.

        Raises:
            JobNotFoundError: unknown, or somebody else's.
        """
        with self._engine.connect() as connection:
            found = read_jobs(connection, _of(owner).where(jobs.c.id == job_id))
        if not found:
            raise JobNotFoundError(f"there is no job {job_id}")
        return found[0]

    def page(self, owner: str, state: JobState | None, after: str | None, limit: int) -> tuple[list[Job], str | None]:
        """Read up to `limit` jobs, newest first, older than the job `after`; and what to pass as `after` for more."""
        query = _of(owner).order_by(jobs.c.id.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(jobs.c.state == state)
        if after is not None:
            query = query.where(jobs.c.id < after)
        with self._engine.connect() as connection:
            found = read_jobs(connection, query)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    def cancel(self, owner: str, job_id: str) -> Job:
        """Cancel a job: at once when nobody works on it, else as soon as the worker has stopped.

        Raises:
            JobNotFoundError: unknown, or somebody else's.
            JobEndedError: it ended before.
        """
        with self._engine.begin() as connection:
            self._require(connection, owner, job_id)
            job = lock_job(connection, job_id)
            if job.state in TERMINAL:
                raise JobEndedError(f"job {job_id} has {job.state} already")
            if job.n_running == 0:
                move(connection, job, JobState.CANCELLED, EventKind.CANCELLED, {})
            elif job.state is JobState.RUNNING:
                move(connection, job, JobState.CANCELLING, EventKind.CANCELLING, {})
            return read_job(connection, job_id)

    def events(self, owner: str, job_id: str, after: int, limit: int) -> list[JobEvent]:
        """Read up to `limit` events behind the sequence number `after`, in order.

        Raises:
            JobNotFoundError: unknown, or somebody else's.
        """
        query = select(events).where(events.c.job_id == job_id, events.c.sequence > after)
        with self._engine.connect() as connection:
            self._require(connection, owner, job_id)
            rows = connection.execute(query.order_by(events.c.sequence).limit(limit))
            return [JobEvent(row.sequence, row.at, row.kind, row.data) for row in rows]

    def artifacts(self, owner: str, job_id: str) -> list[Artifact]:
        """Read what the job has made so far, by name.

        Raises:
            JobNotFoundError: unknown, or somebody else's.
            ArtifactExpiredError: what it made was kept as long as things are, and is deleted.
        """
        query = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.name)
        expired = select(jobs.c.expires_at).where(jobs.c.id == job_id, jobs.c.expires_at <= now())
        with self._engine.connect() as connection:
            self._require(connection, owner, job_id)
            if expired_at := connection.execute(expired).scalar_one_or_none():
                raise ArtifactExpiredError(f"what job {job_id} made was kept until {expired_at:%Y-%m-%d %H:%M} UTC")
            rows = connection.execute(query)
            return [Artifact(row.name, row.key, row.size_bytes, row.sha256, row.media_type) for row in rows]

    def _require(self, connection: Connection, owner: str, job_id: str) -> None:
        if connection.execute(_of(owner).where(jobs.c.id == job_id)).one_or_none() is None:
            raise JobNotFoundError(f"there is no job {job_id}")


def _of(owner: str) -> Select[Any]:
    return select(jobs).where(jobs.c.owner == owner)


def _submitted_before(connection: Connection, owner: str, idempotency: Idempotency) -> str | None:
    row = connection.execute(_of(owner).where(jobs.c.idempotency_key == idempotency.key)).one_or_none()
    if row is None:
        return None
    if row.request_digest != idempotency.digest:
        raise IdempotencyMismatchError(
            f"the idempotency key {idempotency.key!r} came with another body, which made {row.id}; use a new key"
        )
    return str(row.id)


def _insert(connection: Connection, owner: str, config: DistillConfig, columns: Mapping[str, Any]) -> str:
    job_id, first = new_job_id(), config.stages[0]
    row = {"id": job_id, "owner": owner, "state": JobState.QUEUED, "stage": first, **columns}
    row["traceparent"] = current_traceparent()
    unit = {"job_id": job_id, "stage": first, "index": 0, "of": 1, "state": UnitState.READY}
    connection.execute(insert(jobs).values(row | {"config": config.model_dump(mode="json")}))
    connection.execute(insert(units).values(unit))
    record(connection, lock_job(connection, job_id), EventKind.QUEUED, {})
    return job_id


def _columns(options: JobOptions, idempotency: Idempotency | None) -> Mapping[str, Any]:
    deadline = options.queue_deadline_s
    return {
        "priority": options.priority.level,
        "queue_deadline_at": now() + timedelta(seconds=deadline) if deadline else None,
        "timeout_seconds": options.timeout_s,
        "idempotency_key": idempotency.key if idempotency else None,
        "request_digest": idempotency.digest if idempotency else None,
    }
