"""What a worker may do with a unit while its lease lasts: claim, report, finish, or stop early.

Every write names the claim's token and is refused once the lease ran out: a worker that lost its unit can waste time,
but it cannot change anything. Lock order: the unit's row, then its job's row.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, RowMapping, exists, insert, select, update
from sqlalchemy.dialects import postgresql

from ddoq.events import Stage
from jobs.attempts import free, take_back
from jobs.claims import close_done, is_held, start_best_unit, to_claim, told
from jobs.columns import fixed
from jobs.errors import LeaseLostError
from jobs.fanout import mark_gone, mark_present, open_stage
from jobs.records import Artifact, Claim, Failure, JobState, Order, UnitState
from jobs.rows import LockedJob, fail_job, lock_job, move, now, stood_down, storable
from jobs.states import HELD, TERMINAL, EventKind, stage_after
from jobs.tables import artifacts as artifact_rows
from jobs.tables import figures as figure_rows
from jobs.tables import jobs, units

LONGEST_REST_SECONDS = 60
NO_FIGURES: Mapping[str, float] = MappingProxyType({})


class Leases:
    """Units as their workers see them. Safe to share between threads (a heartbeat runs beside the work)."""

    def __init__(self, engine: Engine, lease_seconds: float, max_attempts: int = 3) -> None:
        self._engine = engine
        self._one_statement = engine.execution_options(isolation_level="AUTOCOMMIT")  # no round trip holds a lock
        self._lease = timedelta(seconds=lease_seconds)
        self._max_attempts = max_attempts

    def present(self, worker: str) -> None:
        """Note that a worker is alive: stages are cut into units for those that said so within a minute."""
        with self._engine.begin() as connection:
            mark_present(connection, worker)

    def gone(self, worker: str) -> None:
        """Note that a worker has left."""
        with self._engine.begin() as connection:
            mark_gone(connection, worker)

    def claim(self, worker: str) -> Claim | None:
        """Take the best ready unit for `worker` (a name for people to read), or None when there is none.

        The best is of the highest priority, then of the owner with the fewest running units, then of the oldest job.
        """
        token = uuid4().hex
        while True:
            with self._one_statement.connect() as connection:
                started = start_best_unit(connection, worker, token, self._lease)
            if started is None:
                return None
            if started["id"] is not None:
                return to_claim(started, worker, token)

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
            .where(is_held(claim.unit_id, claim.token), jobs.c.id == units.c.job_id, jobs.c.state.in_(HELD))
            .values(lease_expires_at=now() + self._lease, **columns)
            .returning(jobs.c.state)
        )
        with self._one_statement.connect() as connection:
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
        blocks: Mapping[Stage, int] | None = None,
    ) -> int:
        """Make this attempt's objects the unit's output, keep its artifacts and figures, and open what follows.

        A job that was to be cancelled is cancelled, unless this was its last unit: then it has succeeded.

        Args:
            claim: Whose work is done.
            artifacts: Files for the job's owner.
            figures: Numbers of the report, by name.
            peak_bytes: The memory that the attempt took, where that was measured.
            blocks: Into how many blocks each later stage can be cut at most, from the stage that knows.

        Returns:
            How many units became ready by it: so many workers may be called.

        Raises:
            LeaseLostError: the unit is no longer this worker's; nothing was kept.
        """
        is_plain = not artifacts and not figures and blocks is None
        if is_plain and self._finish_among_others(claim, peak_bytes):
            return 0
        with self._engine.begin() as connection:
            job = close_done(connection, claim, peak_bytes)
            if job is None:
                raise _lost(claim)
            _keep(connection, job.id, artifacts, figures)
            if blocks is not None:
                connection.execute(update(jobs).where(jobs.c.id == job.id).values(blocks=dict(blocks)))
            return _go_on(connection, job, claim)

    def _finish_among_others(self, claim: Claim, peak_bytes: int | None) -> bool:
        """Finish a unit after which others are still being run, so that nothing follows from it."""
        with self._one_statement.connect() as connection:
            return close_done(connection, claim, peak_bytes, n_others=1) is not None

    def give_back(self, claim: Claim, reason: str | None = None) -> None:
        """Let another worker do the unit: this one is leaving, or has another `reason`. Not held against the unit.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        with self._engine.begin() as connection:
            _, job = _hold(connection, claim)
            free(connection, claim.unit_id, **(_rest(claim) if reason else {}))
            why = {"reason": storable(reason)} if reason else {}
            stood_down(connection, job, EventKind.DRAINED, {**told(claim), **why})

    def fail(self, claim: Claim, failure: Failure) -> None:
        """End the job badly: another attempt would fail in the same way.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        with self._engine.begin() as connection:
            _, job = _hold(connection, claim)
            free(connection, claim.unit_id)
            fail_job(connection, job, failure, n_running=job.n_running - 1)

    def crash(self, claim: Claim, reason: str, *, out_of_memory: bool = False, code: str | None = None) -> None:
        """Hold against the unit that its attempt broke in a way that another may not; too many such fail the job.

        Running out of memory is not counted the first time: the next attempt tries less at once where it can.
        `code` is that of the job's failure, should this be its end; without one it tells of attempts only.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
        """
        with self._engine.begin() as connection:
            unit, _ = _hold(connection, claim)
            take_back(connection, unit, reason, self._max_attempts, out_of_memory=out_of_memory, code=code)

    def crash_lost(self, unit_id: int, token: str, reason: str, *, out_of_memory: bool = False) -> None:
        """Hold against a unit that its process died, as soon as the successor on the machine finds out.

        Raises:
            LeaseLostError: the unit has been taken back already.
        """
        lost = select(units).where(units.c.id == unit_id, units.c.lease_token == token).with_for_update()
        with self._engine.begin() as connection:
            unit = connection.execute(lost).mappings().one_or_none()
            if unit is None:
                raise LeaseLostError(f"unit {unit_id} has been taken back already")
            take_back(connection, unit, reason, self._max_attempts, out_of_memory=out_of_memory)

    def unended(self, job_ids: Collection[str]) -> set[str]:
        """Say which of these jobs have not ended."""
        going_on = select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.state.not_in(TERMINAL))
        with self._engine.connect() as connection:
            return set(connection.execute(going_on).scalars())

    def stop_cancelled(self, claim: Claim) -> None:
        """Say that the work has stopped because the job is to be cancelled.

        Raises:
            LeaseLostError: the unit is no longer this worker's.
            ValueError: nobody asked for the job to be cancelled.
        """
        with self._engine.begin() as connection:
            _, job = _hold(connection, claim)
            if job.state is not JobState.CANCELLING:
                raise ValueError(f"job {job.id} is {job.state}; give the unit back instead")
            free(connection, claim.unit_id)
            stood_down(connection, job, EventKind.DRAINED, told(claim))


def _hold(connection: Connection, claim: Claim) -> tuple[RowMapping, LockedJob]:
    """Lock the unit and its job, or refuse: the lease is over, or the job is."""
    held = select(units).where(is_held(claim.unit_id, claim.token)).with_for_update()
    unit = connection.execute(held).mappings().one_or_none()
    if unit is None:
        raise _lost(claim)
    job = lock_job(connection, claim.job_id)
    if job.state not in HELD:
        raise _lost(claim)
    return unit, job


def _rest(claim: Claim) -> Mapping[str, Any]:
    """Let a unit rest before its next attempt, the longer the more there were: others go before it."""
    seconds = min(2**claim.attempt, LONGEST_REST_SECONDS)
    return {"progress_at": now() + timedelta(seconds=seconds)}


def _lost(claim: Claim) -> LeaseLostError:
    return LeaseLostError(
        f"attempt {claim.attempt} of {claim.stage} {claim.index} of job {claim.job_id} is no longer {claim.worker}'s"
    )


def _keep(connection: Connection, job_id: str, artifacts: Sequence[Artifact], figures: Mapping[str, float]) -> None:
    if artifacts:
        connection.execute(insert(artifact_rows), [{"job_id": job_id, **vars(artifact)} for artifact in artifacts])
    if figures:
        rows = [{"job_id": job_id, "name": name, "value": value} for name, value in figures.items()]
        new = postgresql.insert(figure_rows)
        update_old = new.on_conflict_do_update(constraint=figure_rows.primary_key, set_={"value": new.excluded.value})
        connection.execute(update_old, rows)


def _go_on(connection: Connection, job: LockedJob, claim: Claim) -> int:
    """Open what follows a finished unit. The job's row is held, so that exactly one unit is the last of its stage."""
    if job.n_running > 0:
        return 0
    is_last = not _has_ready(connection, job.id)
    following = stage_after(claim.stage, claim.config.stages)
    if is_last and following is None:
        move(connection, job, JobState.SUCCEEDED, EventKind.SUCCEEDED, {})
    elif job.state is JobState.CANCELLING:
        move(connection, job, JobState.CANCELLED, EventKind.CANCELLED, {})
    elif is_last and following is not None:
        return open_stage(connection, job.id, claim.stage, following)
    return 0


def _has_ready(connection: Connection, job_id: str) -> bool:
    ready = exists().where(units.c.job_id == job_id, units.c.state == fixed(UnitState.READY))
    return connection.execute(select(ready)).scalar_one()
