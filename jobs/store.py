"""What the owner of a job may do with it. The rows are the truth; `jobs.leases` has the worker's side.

Lock order, everywhere: a unit's row, then its job's row. The calls here lock the job's row only.
"""

from sqlalchemy import Connection, Engine, Select, insert, select

from ddoq.config import DistillConfig
from jobs.errors import JobEndedError, JobNotFoundError
from jobs.ids import new_job_id
from jobs.records import Artifact, Job, JobEvent, JobState, UnitState
from jobs.rows import lock_job, move, read_job, read_jobs, record
from jobs.states import TERMINAL, EventKind
from jobs.tables import artifacts, events, jobs, units


class Store:
    """Jobs as their owners see them. Somebody else's job does not exist. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, owner: str, config: DistillConfig) -> Job:
        """Store a new job with the unit that a worker will begin with."""
        job_id, first = new_job_id(), config.stages[0]
        row = {"id": job_id, "owner": owner, "state": JobState.QUEUED, "stage": first}
        unit = {"job_id": job_id, "stage": first, "index": 0, "of": 1, "state": UnitState.READY}
        with self._engine.begin() as connection:
            connection.execute(insert(jobs).values(**row, config=config.model_dump(mode="json")))
            connection.execute(insert(units).values(unit))
            record(connection, lock_job(connection, job_id), EventKind.QUEUED, {})
            return read_job(connection, job_id)

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
        """
        query = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.name)
        with self._engine.connect() as connection:
            self._require(connection, owner, job_id)
            rows = connection.execute(query)
            return [Artifact(row.name, row.key, row.size_bytes, row.sha256, row.media_type) for row in rows]

    def _require(self, connection: Connection, owner: str, job_id: str) -> None:
        if connection.execute(_of(owner).where(jobs.c.id == job_id)).one_or_none() is None:
            raise JobNotFoundError(f"there is no job {job_id}")


def _of(owner: str) -> Select[tuple[object, ...]]:
    return select(jobs).where(jobs.c.owner == owner)
