"""What has run out of time: leases, silent stages, cancels that nobody obeys, queue deadlines, timeouts.

Each unit and each job has a short transaction of its own, and one that fails is left for the next sweep.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, exists, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from ddoq.events import Stage
from jobs.attempts import take_back
from jobs.errors import JobTimeoutError
from jobs.records import Failure, JobState, UnitState
from jobs.rows import LockedJob, fail_job, lock_job, move, now
from jobs.states import CLAIMABLE, EventKind
from jobs.tables import events, jobs, units

AT_ONCE = 1000  # units or jobs a sweep, so that none takes for ever
SILENT = "its worker fell silent"

log = logging.getLogger(__name__)


def take_back_expired(engine: Engine, max_attempts: int) -> tuple[str, ...]:
    """Take back the units whose leases ran out; answer their jobs."""
    return _take_back_each(engine, units.c.lease_expires_at <= now(), lambda _: SILENT, max_attempts)


def take_back_stalled(engine: Engine, stall_seconds: Mapping[Stage, float], max_attempts: int) -> tuple[str, ...]:
    """Take back the units whose workers live but tell of no progress; answer their jobs."""
    is_silent = or_(
        *(
            and_(units.c.stage == stage, units.c.progress_at <= now() - timedelta(seconds=seconds))
            for stage, seconds in stall_seconds.items()
        )
    )
    return _take_back_each(
        engine,
        is_silent,
        lambda unit: f"stalled: no progress in {stall_seconds[unit['stage']]:g} seconds",
        max_attempts,
    )


def take_back_deaf(engine: Engine, grace_seconds: float, max_attempts: int) -> tuple[str, ...]:
    """Take back the units whose workers have not stopped so long after a cancel; answer their jobs."""
    is_ignored = exists().where(
        jobs.c.id == units.c.job_id,
        jobs.c.state == JobState.CANCELLING,
        events.c.job_id == jobs.c.id,
        events.c.kind == EventKind.CANCELLING,
        events.c.at <= now() - timedelta(seconds=grace_seconds),
    )
    return _take_back_each(engine, is_ignored, lambda _: "its worker ignored the cancel", max_attempts)


def expire_queued(engine: Engine) -> tuple[str, ...]:
    """End the jobs that no worker began before their queue deadline; answer them."""
    is_late = and_(jobs.c.state == JobState.QUEUED, jobs.c.started_at.is_(None), jobs.c.queue_deadline_at <= now())

    def expire(connection: Connection, job: LockedJob) -> None:
        move(connection, job, JobState.EXPIRED, EventKind.EXPIRED, {})

    return _end_each(engine, is_late, expire)


def fail_overtime(engine: Engine) -> tuple[str, ...]:
    """Fail the jobs that have run for longer than their timeout; answer them."""
    timeout = func.make_interval(0, 0, 0, 0, 0, 0, jobs.c.timeout_seconds)
    is_over = and_(jobs.c.state.in_(CLAIMABLE), jobs.c.started_at + timeout <= now())
    return _end_each(engine, is_over, _fail_overtime)


def _fail_overtime(connection: Connection, job: LockedJob) -> None:
    query = select(jobs.c.stage, jobs.c.timeout_seconds).where(jobs.c.id == job.id)
    row = connection.execute(query).one()
    message = (
        f"the job was begun {row.timeout_seconds} seconds ago, which is its timeout, and is at stage {row.stage}; "
        "submit it again with a longer job.timeout_s"
    )
    fail_job(connection, job, Failure(JobTimeoutError.code, message, retryable=True, stage=Stage(row.stage)))


def _take_back_each(
    engine: Engine, which: ColumnElement[bool], reason: Callable[[RowMapping], str], max_attempts: int
) -> tuple[str, ...]:
    is_due = and_(units.c.state == UnitState.RUNNING, which)

    def take(connection: Connection, unit_id: Any) -> str | None:
        held = select(units).where(units.c.id == unit_id, is_due).with_for_update(skip_locked=True)
        unit = connection.execute(held).mappings().one_or_none()
        if unit is None:  # its worker was faster
            return None
        take_back(connection, unit, reason(unit), max_attempts)
        return str(unit["job_id"])

    return _each(engine, units.c.id, is_due, take)


def _end_each(
    engine: Engine, is_due: ColumnElement[bool], end: Callable[[Connection, LockedJob], None]
) -> tuple[str, ...]:
    def end_one(connection: Connection, job_id: Any) -> str | None:
        job = lock_job(connection, job_id)
        if not connection.execute(select(exists().where(jobs.c.id == job_id, is_due))).scalar_one():
            return None
        end(connection, job)
        return job.id

    return _each(engine, jobs.c.id, is_due, end_one)


def _each(
    engine: Engine,
    ids: ColumnElement[Any],
    is_due: ColumnElement[bool],
    act: Callable[[Connection, Any], str | None],
) -> tuple[str, ...]:
    """Act on every row that is due, in a transaction of its own; answer the jobs for which it was still due."""
    with engine.connect() as connection:
        due = connection.execute(select(ids).where(is_due).order_by(ids).limit(AT_ONCE)).scalars().all()
    done = []
    for one in due:
        try:
            with engine.begin() as connection:
                done.append(act(connection, one))
        except (SQLAlchemyError, ValueError) as error:  # a row that cannot be read is a ValueError
            log.warning("%s %s is left for the next sweep: %s", ids, one, error)
    return tuple(job_id for job_id in done if job_id is not None)
