"""What the owner of a job may do with it. The rows are the truth; `jobs.leases` has the worker's side.

Lock order, everywhere: a unit's row, then its job's row. The calls here lock the job's row only.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, select

from ddoq.config import DistillConfig
from jobs.backpressure import UNLIMITED, QueueLimits
from jobs.errors import ArtifactExpiredError, JobEndedError, JobNotFoundError
from jobs.options import JobOptions
from jobs.positions import Line
from jobs.reading import JOB, read_job, read_jobs
from jobs.records import Artifact, Job, JobEvent, JobState
from jobs.rows import lock_job, move, now
from jobs.states import TERMINAL, EventKind
from jobs.submitting import Idempotency, find_submitted, let_in
from jobs.tables import artifacts, events, jobs

USUAL = JobOptions()


@dataclass(frozen=True)
class Submitted:
    """What became of a request: `is_new` is false when it came before and the job is that of then."""

    job: Job
    is_new: bool


class Store:
    """Jobs as their owners see them. Somebody else's job does not exist. Safe to share between threads."""

    def __init__(self, engine: Engine, limits: QueueLimits = UNLIMITED, line_seconds: float = 0.0) -> None:
        self._engine = engine
        self._limits = limits
        self._line = Line(line_seconds)

    def submit(self, owner: str, config: DistillConfig, options: JobOptions = USUAL) -> Job:
        """Store a new job with the unit that a worker will begin with.

        Raises:
            QueueFullError: as many jobs are queued as may be.
        """
        return self.submit_once(owner, config, options, None).job

    def submit_once(
        self, owner: str, config: DistillConfig, options: JobOptions, idempotency: Idempotency | None
    ) -> Submitted:
        """Store a new job, unless the request came before: then find the job that it made.

        Raises:
            IdempotencyMismatchError: the key came before, with another body.
            QueueFullError: as many jobs are queued as may be.
        """
        with self._engine.begin() as connection:
            job_id, is_new = let_in(connection, owner, config, options, idempotency, self._limits)
            return Submitted(read_job(connection, job_id, self._line), is_new)

    def submitted(self, owner: str, idempotency: Idempotency) -> Job | None:
        """Find the job of a request that came before.

        Raises:
            IdempotencyMismatchError: the key came before, with another body.
        """
        with self._engine.connect() as connection:
            job_id = find_submitted(connection, owner, idempotency)
        return None if job_id is None else self.get(owner, job_id)

    def get(self, owner: str, job_id: str) -> Job:
        """Read a job.

        Raises:
            JobNotFoundError: unknown, or somebody else's.
        """
        with self._engine.connect() as connection:
            found = read_jobs(connection, _of(owner, *JOB).where(jobs.c.id == job_id), self._line)
        if not found:
            raise JobNotFoundError(f"there is no job {job_id}")
        return found[0]

    def page(self, owner: str, state: JobState | None, after: str | None, limit: int) -> tuple[list[Job], str | None]:
        """Read up to `limit` jobs, newest first, older than the job `after`; and what to pass as `after` for more."""
        query = _of(owner, *JOB).order_by(jobs.c.id.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(jobs.c.state == state)
        if after is not None:
            query = query.where(jobs.c.id < after)
        with self._engine.connect() as connection:
            found = read_jobs(connection, query, self._line)
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
            return read_job(connection, job_id, self._line)

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


def _of(owner: str, *columns: ColumnElement[Any]) -> Select[Any]:
    return select(*(columns or jobs.c)).where(jobs.c.owner == owner)
