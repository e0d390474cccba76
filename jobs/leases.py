"""What a worker may do with a unit while its lease lasts: claim, report, finish, or stop for one of three reasons.

Every write names the claim's token and is refused once the lease ran out: a worker that lost its unit can waste time,
but it cannot change anything. Lock order: the unit's row, then its job's row.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, func, insert, select, update
from sqlalchemy.dialects import postgresql

from ddoq.events import Stage
from jobs.errors import LeaseLostError
from jobs.records import Artifact, Claim, Failure, Job, JobState, Order, UnitState
from jobs.rows import LockedJob, fail_job, lock_job, move, n_running, now, read_job, record, stood_down, storable
from jobs.states import CLAIMABLE, HELD, EventKind, stage_after
from jobs.tables import artifacts as artifact_rows
from jobs.tables import figures as figure_rows
from jobs.tables import jobs, units

NO_FIGURES: Mapping[str, float] = MappingProxyType({})
NO_LEASE: Mapping[str, Any] = MappingProxyType({"lease_token": None, "lease_expires_at": None})
"""What every unit that nobody works on looks like."""


def _best_ready_unit() -> Any:
    """Find the unit to claim: of the owner with the fewest running, then of the oldest job."""
    busy = (
        select(jobs.c.owner, func.count().label("n"))
        .join(units, units.c.job_id == jobs.c.id)
        .where(units.c.state == UnitState.RUNNING, jobs.c.state.in_(HELD))
        .group_by(jobs.c.owner)
        .subquery()
    )
    return (
        select(units.c.id, units.c.job_id, units.c.stage, units.c.index, units.c.of)
        .join(jobs, jobs.c.id == units.c.job_id)
        .outerjoin(busy, busy.c.owner == jobs.c.owner)
        .where(units.c.state == UnitState.READY, jobs.c.state.in_(CLAIMABLE))
        .order_by(func.coalesce(busy.c.n, 0), jobs.c.id, units.c.id)
        .limit(1)
        .with_for_update(of=units, skip_locked=True)
    )


class Leases:
    """Units as their workers see them. Safe to share between threads (a heartbeat runs beside the work)."""

    def __init__(self, engine: Engine, lease_seconds: float) -> None:
        self._engine = engine
        self._lease = timedelta(seconds=lease_seconds)

    def claim(self, worker: str) -> Claim | None:
        """Take the best ready unit for `worker` (a name for people to read), or None when there is none."""
        while True:
            with self._engine.begin() as connection:
                unit = connection.execute(_best_ready_unit()).mappings().one_or_none()
                if unit is None:
                    return None
                job = lock_job(connection, unit["job_id"])
                if job.state in CLAIMABLE:  # it may have been cancelled since the query looked
                    return self._start(connection, unit, job, worker)

    def _start(self, connection: Connection, unit: RowMapping, job: LockedJob, worker: str) -> Claim:
        token, stage = uuid4().hex, Stage(unit["stage"])
        started = {
            "state": UnitState.RUNNING,
            "attempt": units.c.attempt + 1,
            "worker": worker,
            "lease_token": token,
            "lease_expires_at": now() + self._lease,
            "started_at": now(),
            "progress_at": now(),
            "finished_at": None,
            "crash_reason": None,
            "done": 0,
            "total": 0,
        }
        start = update(units).where(units.c.id == unit["id"]).values(started).returning(units.c.attempt)
        attempt = connection.execute(start).scalar_one()
        claim = Claim(
            unit_id=unit["id"],
            job_id=job.id,
            owner=job.owner,
            stage=stage,
            index=unit["index"],
            of=unit["of"],
            attempt=attempt,
            token=token,
            worker=worker,
            config=job.config,
            inputs=_inputs(connection, job.id, stage),
            prefix=f"jobs/{job.id}/{stage}/{unit['index']}/{attempt}",
        )
        if job.state is JobState.QUEUED:
            move(connection, job, JobState.RUNNING, EventKind.UNIT_STARTED, _told(claim))
        else:
            record(connection, job, EventKind.UNIT_STARTED, _told(claim))
        return claim

    def heartbeat(self, claim: Claim) -> Order:
        """Extend the lease, and hear whether to go on.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        return self._extend(claim, {})

    def report(self, claim: Claim, done: int, total: int) -> Order:
        """Extend the lease, say that `done` of `total` pieces are finished, and hear whether to go on.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        return self._extend(claim, {"done": done, "total": total, "progress_at": now()})

    def _extend(self, claim: Claim, columns: Mapping[str, Any]) -> Order:
        extend = (
            update(units)
            .where(_is_held(claim), jobs.c.id == units.c.job_id, jobs.c.state.in_(HELD))
            .values(lease_expires_at=now() + self._lease, **columns)
            .returning(jobs.c.state)
        )
        with self._engine.begin() as connection:
            state = connection.execute(extend).scalar_one_or_none()
        if state is None:
            raise _lost(claim)
        return Order.CANCEL if state == JobState.CANCELLING else Order.CONTINUE

    def finish(
        self,
        claim: Claim,
        artifacts: Sequence[Artifact] = (),
        figures: Mapping[str, float] = NO_FIGURES,
        peak_bytes: int | None = None,
    ) -> Job:
        """Make this attempt's objects the unit's output, keep its artifacts and figures, and open what follows.

        A job that was to be cancelled is cancelled, unless this was its last unit: then it has succeeded.
        `peak_bytes` is the memory that the attempt took, where that was measured.

        Raises:
            LeaseLostError: the unit is no longer this worker's; nothing was kept.
        """
        with self._engine.begin() as connection:
            job = _hold(connection, claim)
            _close(connection, claim, {"state": UnitState.DONE, "prefix": claim.prefix, "peak_bytes": peak_bytes})
            _keep(connection, job.id, artifacts, figures)
            record(connection, job, EventKind.UNIT_FINISHED, _told(claim))
            _go_on(connection, job, claim)
            return read_job(connection, job.id)

    def give_back(self, claim: Claim) -> None:
        """Let another worker do the unit, since this one is leaving. Not held against the unit.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        with self._engine.begin() as connection:
            job = _hold(connection, claim)
            _close(connection, claim, {"state": UnitState.READY})
            stood_down(connection, job, EventKind.DRAINED, _told(claim))

    def fail(self, claim: Claim, failure: Failure) -> None:
        """End the job badly: another attempt would fail in the same way.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        with self._engine.begin() as connection:
            job = _hold(connection, claim)
            _close(connection, claim, {"state": UnitState.READY})
            fail_job(connection, job, failure)

    def crash(self, claim: Claim, reason: str) -> None:
        """End the lease now, since the attempt broke in a way that another may not; the sweep does what follows.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        with self._engine.begin() as connection:
            _hold(connection, claim)
            ended = {"lease_expires_at": now(), "crash_reason": storable(reason)}
            connection.execute(update(units).where(units.c.id == claim.unit_id).values(**ended))

    def stop_cancelled(self, claim: Claim) -> None:
        """Say that the work has stopped because the job is to be cancelled.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
            ValueError: nobody asked for the job to be cancelled.
        """
        with self._engine.begin() as connection:
            job = _hold(connection, claim)
            if job.state is not JobState.CANCELLING:
                raise ValueError(f"job {job.id} is {job.state}; give the unit back instead")
            _close(connection, claim, {"state": UnitState.READY})
            stood_down(connection, job, EventKind.DRAINED, _told(claim))


def _is_held(claim: Claim) -> ColumnElement[bool]:
    return (units.c.id == claim.unit_id) & (units.c.lease_token == claim.token) & (units.c.lease_expires_at > now())


def _hold(connection: Connection, claim: Claim) -> LockedJob:
    """Lock the unit and its job, or refuse: the lease is over, or the job is."""
    held = select(units.c.id).where(_is_held(claim)).with_for_update()
    if connection.execute(held).one_or_none() is None:
        raise _lost(claim)
    job = lock_job(connection, claim.job_id)
    if job.state not in HELD:
        raise _lost(claim)
    return job


def _lost(claim: Claim) -> LeaseLostError:
    return LeaseLostError(
        f"attempt {claim.attempt} of {claim.stage} {claim.index} of job {claim.job_id} is no longer {claim.worker}'s"
    )


def _close(connection: Connection, claim: Claim, columns: Mapping[str, Any]) -> None:
    close = update(units).where(units.c.id == claim.unit_id).values(**NO_LEASE, **columns, finished_at=now())
    connection.execute(close)


def _keep(connection: Connection, job_id: str, artifacts: Sequence[Artifact], figures: Mapping[str, float]) -> None:
    if artifacts:
        connection.execute(insert(artifact_rows), [{"job_id": job_id, **vars(artifact)} for artifact in artifacts])
    if figures:
        rows = [{"job_id": job_id, "name": name, "value": value} for name, value in figures.items()]
        new = postgresql.insert(figure_rows)
        update_old = new.on_conflict_do_update(constraint=figure_rows.primary_key, set_={"value": new.excluded.value})
        connection.execute(update_old, rows)


def _go_on(connection: Connection, job: LockedJob, claim: Claim) -> None:
    """Open what follows a finished unit. The job's row is held, so that exactly one unit is the last of its stage."""
    following = stage_after(claim.stage, claim.config.stages)
    is_last = _n_unfinished(connection, job.id, claim.stage) == 0
    if is_last and following is None:
        move(connection, job, JobState.SUCCEEDED, EventKind.SUCCEEDED, {})
    elif job.state is JobState.CANCELLING:
        if n_running(connection, job.id) == 0:
            move(connection, job, JobState.CANCELLED, EventKind.CANCELLED, {})
    elif is_last:
        unit = {"job_id": job.id, "stage": following, "index": 0, "of": 1, "state": UnitState.READY}
        connection.execute(insert(units).values(unit))
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(stage=following))


def _n_unfinished(connection: Connection, job_id: str, stage: Stage) -> int:
    left = select(func.count()).where(units.c.job_id == job_id, units.c.stage == stage)
    return connection.execute(left.where(units.c.state != UnitState.DONE)).scalar_one()


def _inputs(connection: Connection, job_id: str, stage: Stage) -> Mapping[Stage, tuple[str, ...]]:
    """List where the finished stages before this one wrote, in the order of their units."""
    done = select(units.c.stage, units.c.prefix).where(units.c.job_id == job_id, units.c.state == UnitState.DONE)
    found: dict[Stage, tuple[str, ...]] = {}
    for row in connection.execute(done.where(units.c.stage != stage).order_by(units.c.index)):
        found[Stage(row.stage)] = (*found.get(Stage(row.stage), ()), row.prefix)
    return found


def _told(claim: Claim) -> Mapping[str, Any]:
    return {
        "stage": claim.stage,
        "index": claim.index,
        "of": claim.of,
        "attempt": claim.attempt,
        "worker": claim.worker,
    }
