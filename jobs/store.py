"""What the owner of a job may do with it. The rows are the truth; `jobs.leases` has the worker's side.

Lock order, everywhere: a unit's row, then its job's row. The calls here lock the job's row only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Integer, Row, Select, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import JSONB

from ddoq.config import DistillConfig
from jobs.backpressure import UNLIMITED, QueueLimits
from jobs.errors import ArtifactExpiredError, JobDeletedError, JobEndedError, JobNotEndedError, JobNotFoundError
from jobs.options import JobOptions
from jobs.positions import Line
from jobs.reading import JOB, VERSION, read_job, read_jobs, read_version
from jobs.records import Artifact, Job, JobEvent, JobState, Version
from jobs.rows import lock_job, move, now
from jobs.states import TERMINAL, EventKind
from jobs.submitting import Idempotency, NewJob, find_submitted, let_in, let_in_at_once, queued_job
from jobs.tables import artifacts, events, jobs
from jobs.tombstones import bury

USUAL = JobOptions()
_OF_OWNER: ColumnElement[bool] = and_(jobs.c.owner == bindparam("of_owner"), jobs.c.deleted_at.is_(None))
_ONE = select(*JOB).where(_OF_OWNER, jobs.c.id == bindparam("named"))
_SEVERAL = select(*JOB).where(_OF_OWNER, jobs.c.id.in_(bindparam("named", expanding=True))).order_by(jobs.c.id.desc())
_STANDING = select(*VERSION, jobs.c.finished_at, jobs.c.deleted_at).where(
    jobs.c.owner == bindparam("of_owner"), jobs.c.id == bindparam("named")
)


@dataclass(frozen=True)
class Submitted:
    """What became of a request: `is_new` is false when it came before and the job is that of then."""

    job: Job
    is_new: bool


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list: those in one of the states, if any are named, that have all of the labels."""

    states: frozenset[JobState] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class News:
    """What happened to a job behind some event. `is_all` when the job has ended and no more of it follows."""

    events: tuple[JobEvent, ...]
    is_all: bool


class Store:
    """Jobs as their owners see them. Somebody else's job does not exist. Safe to share between threads.

    Every call that names a job raises JobNotFoundError where it is unknown or somebody else's, and JobDeletedError
    where its owner deleted it.

    What a job made expires `retention` after its end. The sweep writes that down a moment later, by which it stays.
    """

    def __init__(
        self,
        engine: Engine,
        limits: QueueLimits = UNLIMITED,
        line: Line | None = None,
        retention: timedelta | None = None,
    ) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")  # saves a round trip before and behind
        self._limits = limits
        self._line = line or Line()
        self._retention = retention

    def submit(self, owner: str, config: DistillConfig, options: JobOptions = USUAL) -> Job:
        """Store a new job with the unit that a worker will begin with.

        Raises:
            QuotaExceededError: the owner has used up what it may have.
            QueueFullError: as many jobs are queued as may be.
        """
        return self.submit_once(owner, config, options, None).job

    def submit_once(
        self,
        owner: str,
        config: DistillConfig,
        options: JobOptions,
        idempotency: Idempotency | None,
        retried_from: str | None = None,
    ) -> Submitted:
        """Store a new job, unless the request came before: then find the job that it made.

        Raises:
            IdempotencyMismatchError: the key came before, with another body.
            QuotaExceededError: the owner has used up what it may have.
            QueueFullError: as many jobs are queued as may be.
            DatasetNotFoundError: its dataset is an upload that is not there.
        """
        new = NewJob(owner, config, options, idempotency, retried_from)
        limits = UNLIMITED if self._line.leaves_room(owner, self._limits) else self._limits
        with self._single.connect() as connection:
            row = let_in_at_once(connection, new, limits)
            if row is not None:
                return Submitted(queued_job(connection, row, new, self._line), is_new=True)
        with self._engine.begin() as connection:
            found = let_in(connection, new, self._limits)
            if not isinstance(found, str):
                return Submitted(queued_job(connection, found, new, self._line), is_new=True)
        return Submitted(self.get(owner, found), is_new=False)

    def submitted(self, owner: str, idempotency: Idempotency) -> Job | None:
        """Find the job of a request that came before.

        Raises:
            IdempotencyMismatchError: the key came before, with another body.
        """
        with self._single.connect() as connection:
            job_id = find_submitted(connection, owner, idempotency)
        return None if job_id is None else self.get(owner, job_id)

    def get(self, owner: str, job_id: str) -> Job:
        """Read a job."""
        with self._single.connect() as connection:
            found = read_jobs(connection, _ONE, self._line, {"of_owner": owner, "named": job_id})
            if not found:
                self._require(connection, owner, job_id)  # says which of both it is
                raise JobNotFoundError(f"there is no job {job_id}")
        return self._dated(found[0])

    def page(self, owner: str, which: JobFilter, after: str | None, limit: int) -> tuple[list[Job], str | None]:
        """Read up to `limit` jobs, newest first, older than the job `after`; and what to pass as `after` for more."""
        versions, last = self.versions(owner, which, after, limit)
        return self.several(owner, [version.job_id for version in versions]), last

    def versions(self, owner: str, which: JobFilter, after: str | None, limit: int) -> tuple[list[Version], str | None]:
        """Look at up to `limit` jobs as `page` reads them."""
        query, values = listing(owner, which, after, limit + 1)
        with self._single.connect() as connection:
            found = [read_version(row) for row in connection.execute(query, values)]
        return found[:limit], found[limit - 1].job_id if len(found) > limit else None

    def several(self, owner: str, job_ids: Sequence[str]) -> list[Job]:
        """Read those of the jobs that there are, newest first."""
        if not job_ids:
            return []
        with self._single.connect() as connection:
            found = read_jobs(connection, _SEVERAL, self._line, {"of_owner": owner, "named": job_ids})
        return [self._dated(job) for job in found]

    def version(self, owner: str, job_id: str) -> Version:
        """Look at a job without reading it."""
        with self._single.connect() as connection:
            return read_version(self._require(connection, owner, job_id))

    def n_queued(self, owner: str) -> int:
        """Count the owner's jobs that are queued."""
        queued = select(func.count()).where(
            jobs.c.owner == owner, jobs.c.state == JobState.QUEUED, jobs.c.deleted_at.is_(None)
        )
        with self._single.connect() as connection:
            return connection.execute(queued).scalar_one()

    def cancel(self, owner: str, job_id: str) -> Job:
        """Cancel a job: at once when nobody works on it, else as soon as the worker has stopped.

        Raises:
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
            return self._dated(read_job(connection, job_id, self._line))

    def delete(self, owner: str, job_id: str) -> None:
        """Delete a job that has ended, with all that it made; what is left says that it was deleted.

        Raises:
            JobNotEndedError: it may still be run.
        """
        with self._engine.begin() as connection:
            self._require_ended(connection, owner, job_id)
            bury(connection, job_id)

    def ended(self, owner: str, job_id: str) -> Job:
        """Read a job that has ended.

        Raises:
            JobNotEndedError: it may still be run.
        """
        with self._single.connect() as connection:
            self._require_ended(connection, owner, job_id)
            return self._dated(read_job(connection, job_id, self._line))

    def events(self, owner: str, job_id: str, after: int, limit: int) -> list[JobEvent]:
        """Read up to `limit` events behind the sequence number `after`, in order."""
        return list(self.news(owner, job_id, after, limit).events)

    def news(self, owner: str, job_id: str, after: int, limit: int) -> News:
        """Read up to `limit` events behind the sequence number `after`, in order, and whether those are the last."""
        query = select(events).where(events.c.job_id == job_id, events.c.sequence > after)
        with self._single.connect() as connection:
            has_ended = self._require(connection, owner, job_id).state in TERMINAL  # asked first: events come with it
            rows = connection.execute(query.order_by(events.c.sequence).limit(limit)).all()
        found = tuple(map(_event, rows))
        return News(found, is_all=has_ended and len(found) < limit)

    def latest_events(self, owner: str, job_id: str, limit: int) -> list[JobEvent]:
        """Read the last `limit` events, newest first."""
        query = select(events).where(events.c.job_id == job_id).order_by(events.c.sequence.desc()).limit(limit)
        with self._single.connect() as connection:
            self._require(connection, owner, job_id)
            return [_event(row) for row in connection.execute(query)]

    def kept_until(self, owner: str, job_id: str) -> datetime | None:
        """Tell when the job's artifacts are deleted; none until it has ended."""
        with self._single.connect() as connection:
            standing = self._require(connection, owner, job_id)
        return self._expiry(standing.expires_at, standing.finished_at)

    def artifacts(self, owner: str, job_id: str) -> list[Artifact]:
        """Read what the job has made so far, by name.

        Raises:
            ArtifactExpiredError: what it made was kept as long as things are, and is deleted.
        """
        query = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.name)
        expired = select(jobs.c.expires_at).where(jobs.c.id == job_id, jobs.c.expires_at <= now())
        with self._single.connect() as connection:
            self._require(connection, owner, job_id)
            if expired_at := connection.execute(expired).scalar_one_or_none():
                raise ArtifactExpiredError(f"what job {job_id} made was kept until {expired_at:%Y-%m-%d %H:%M} UTC")
            rows = connection.execute(query)
            return [Artifact(row.name, row.key, row.size_bytes, row.sha256, row.media_type) for row in rows]

    def _dated(self, job: Job) -> Job:
        expires_at = self._expiry(job.expires_at, job.finished_at)
        return job if expires_at == job.expires_at else replace(job, expires_at=expires_at)

    def _expiry(self, written: datetime | None, finished_at: datetime | None) -> datetime | None:
        if written is None and finished_at is not None and self._retention is not None:
            return finished_at + self._retention
        return written

    def _require(self, connection: Connection, owner: str, job_id: str) -> Row[*tuple[Any, ...]]:
        row = connection.execute(_STANDING, {"of_owner": owner, "named": job_id}).one_or_none()
        if row is None:
            raise JobNotFoundError(f"there is no job {job_id}")
        if row.deleted_at is not None:
            raise JobDeletedError(f"job {job_id} was deleted at {row.deleted_at:%Y-%m-%d %H:%M} UTC")
        return row

    def _require_ended(self, connection: Connection, owner: str, job_id: str) -> None:
        state = self._require(connection, owner, job_id).state
        if state not in TERMINAL:
            raise JobNotEndedError(f"job {job_id} is {state}; cancel it first, or wait for its end")


def _event(row: Row[*tuple[Any, ...]]) -> JobEvent:
    return JobEvent(row.sequence, row.at, row.kind, row.data)


def listing(
    owner: str, which: JobFilter, after: str | None, limit: int
) -> tuple[Select[tuple[Any, ...]], Mapping[str, Any]]:
    """Select up to `limit` of an owner's jobs, newest first, older than the job `after`; answer query and values."""
    labels = {f"label_{number}": {key: value} for number, (key, value) in enumerate(sorted(which.labels))}
    values = {"of_owner": owner, "states": sorted(which.states), "behind": after, "most": limit, **labels}
    query = _listing(has_states=bool(which.states), n_labels=len(labels), has_after=after is not None)
    return query, {name: value for name, value in values.items() if value is not None and value != []}


@cache
def _listing(*, has_states: bool, n_labels: int, has_after: bool) -> Select[tuple[Any, ...]]:
    wanted = [_OF_OWNER, *(jobs.c.labels.contains(bindparam(f"label_{n}", type_=JSONB)) for n in range(n_labels))]
    if has_states:
        wanted.append(jobs.c.state.in_(bindparam("states", expanding=True)))
    if has_after:
        wanted.append(jobs.c.id < bindparam("behind"))
    return select(*VERSION).where(*wanted).order_by(jobs.c.id.desc()).limit(bindparam("most", type_=Integer))
