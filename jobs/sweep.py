"""What nobody else will do: take back the units of lost workers, call workers again, clear up after ended jobs.

Any process may sweep, as often as it likes: the database elects one at a time.
"""

import logging
from dataclasses import dataclass

from sqlalchemy import Engine, exists, func, select, update

from jobs.artifacts import ObjectStore
from jobs.attempts import take_back
from jobs.errors import QueueUnavailableError, StorageUnavailableError
from jobs.queue import Queue
from jobs.records import UnitState
from jobs.rows import now
from jobs.states import CLAIMABLE
from jobs.tables import artifacts, jobs, units

ELECTION = 0x64646F71  # any number, the same in all processes
SILENT = "its worker fell silent"
CLEANED_AT_ONCE = 100  # jobs a sweep, so that none takes for ever

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """What a sweep did, by job. `is_elected` is false when another process was sweeping."""

    is_elected: bool
    requeued: tuple[str, ...] = ()
    cleaned: tuple[str, ...] = ()
    woken: bool = False


class Sweeper:
    """Sweeps. Safe to share between threads."""

    def __init__(self, engine: Engine, objects: ObjectStore, queue: Queue, max_attempts: int) -> None:
        self._engine = engine
        self._objects = objects
        self._queue = queue
        self._max_attempts = max_attempts

    def sweep(self) -> Swept:
        """Do once whatever there is to do, unless another process is doing it."""
        with self._engine.begin() as election:  # holds no row: each step below has its own short transaction
            if not election.execute(select(func.pg_try_advisory_xact_lock(ELECTION))).scalar_one():
                return Swept(is_elected=False)
            requeued = self._take_back_expired()
            woken = self._wake()
            return Swept(is_elected=True, requeued=requeued, cleaned=self._clean(), woken=woken)

    def _take_back_expired(self) -> tuple[str, ...]:
        taken = []
        while (job_id := self._take_back_one()) is not None:
            taken.append(job_id)
        return tuple(taken)

    def _take_back_one(self) -> str | None:
        expired = (
            select(units)
            .where(units.c.state == UnitState.RUNNING, units.c.lease_expires_at <= now())
            .order_by(units.c.lease_expires_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._engine.begin() as connection:
            unit = connection.execute(expired).mappings().one_or_none()
            if unit is None:
                return None
            take_back(connection, unit, SILENT, self._max_attempts)
            return str(unit["job_id"])

    def _wake(self) -> bool:
        """Call a worker when a unit waits: the row is its own outbox, so that a lost call costs one sweep."""
        waiting = (
            select(units.c.id)
            .join(jobs, jobs.c.id == units.c.job_id)
            .where(units.c.state == UnitState.READY, jobs.c.state.in_(CLAIMABLE))
            .limit(1)
        )
        with self._engine.connect() as connection:
            if connection.execute(waiting).one_or_none() is None:
                return False
        try:
            self._queue.wake()
        except QueueUnavailableError as error:
            log.warning("%s", error)
            return False
        return True

    def _clean(self) -> tuple[str, ...]:
        """Delete what ended jobs wrote and did not hand out: inputs of later stages, losing attempts."""
        cleaned = []
        for job_id in self._unclean():
            try:
                self._clean_one(job_id)
            except StorageUnavailableError as error:
                log.warning("%s", error)
                break
            cleaned.append(job_id)
        return tuple(cleaned)

    def _unclean(self) -> list[str]:
        in_use = exists().where(units.c.job_id == jobs.c.id, units.c.state == UnitState.RUNNING)
        query = (
            select(jobs.c.id)
            .where(jobs.c.finished_at.is_not(None), jobs.c.cleaned_at.is_(None), ~in_use)
            .order_by(jobs.c.finished_at)
            .limit(CLEANED_AT_ONCE)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def _clean_one(self, job_id: str) -> None:
        with self._engine.connect() as connection:
            kept = set(connection.execute(select(artifacts.c.key).where(artifacts.c.job_id == job_id)).scalars())
        self._objects.delete_prefix(f"jobs/{job_id}", kept)
        with self._engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(cleaned_at=now()))
