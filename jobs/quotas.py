"""What an owner may use in a day and in 30 days. Without a row of its own an owner may use all."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, select
from sqlalchemy.dialects import postgresql

from jobs.errors import QuotaExceededError
from jobs.ids import first_job_id
from jobs.tables import jobs, owner_limits, units

DAY, MONTH = timedelta(days=1), timedelta(days=30)


@dataclass(frozen=True)
class Quota:
    """What an owner may use; None is any amount."""

    jobs_per_day: int | None = None
    worker_seconds_per_month: int | None = None


def read_quota(connection: Connection, owner: str) -> Quota:
    """Read what an owner may use."""
    row = connection.execute(select(owner_limits).where(owner_limits.c.owner == owner)).one_or_none()
    return Quota(row.jobs_per_day, row.worker_seconds_per_month) if row else Quota()


def set_quota(engine: Engine, owner: str, quota: Quota) -> None:
    """Say what an owner may use from now on."""
    new = postgresql.insert(owner_limits).values(owner=owner, **vars(quota))
    with engine.begin() as connection:
        connection.execute(new.on_conflict_do_update(constraint=owner_limits.primary_key, set_=vars(quota)))


def require_quota(connection: Connection, owner: str) -> None:
    """Refuse another job of an owner that has used up its quota. Exact where the caller lets one in at a time.

    Raises:
        QuotaExceededError: it has; the error says when that changes.
    """
    quota, now = read_quota(connection, owner), datetime.now(UTC)
    if quota.jobs_per_day is not None:
        _require_jobs(connection, owner, quota.jobs_per_day, now)
    if quota.worker_seconds_per_month is not None:
        _require_seconds(connection, owner, quota.worker_seconds_per_month, now)


def count_jobs(connection: Connection, owner: str, since: datetime) -> int:
    """Count the jobs that an owner has sent since then."""
    return int(connection.execute(_sent(owner, since, func.count())).scalar_one())


def spent() -> ColumnElement[Any]:
    """Write what the units of a query have kept workers busy for, in seconds: the last attempt of each."""
    until = func.coalesce(units.c.finished_at, func.clock_timestamp())
    return func.coalesce(func.sum(func.extract("epoch", until - units.c.started_at)), 0)


def count_seconds(connection: Connection, owner: str, since: datetime) -> float:
    """Add up for how many seconds the jobs that an owner has sent since then have kept workers busy."""
    query = _sent(owner, since, spent()).join(units, units.c.job_id == jobs.c.id)
    return float(connection.execute(query).scalar_one())


def _require_jobs(connection: Connection, owner: str, limit: int, now: datetime) -> None:
    n_jobs = count_jobs(connection, owner, now - DAY)
    if n_jobs >= limit:
        oldest = _sent(owner, now - DAY, jobs.c.created_at).order_by(jobs.c.id).offset(n_jobs - limit).limit(1)
        leaves_at = connection.execute(oldest).scalar_one_or_none() if limit else None
        raise _exceeded(f"{n_jobs} jobs of {owner!r} came within 24 hours, and {limit} may", leaves_at, DAY, now)


def _require_seconds(connection: Connection, owner: str, limit: int, now: datetime) -> None:
    n_seconds = count_seconds(connection, owner, now - MONTH)
    if n_seconds >= limit:
        of_job = _sent(owner, now - MONTH, jobs.c.id, jobs.c.created_at, spent().label("seconds"))
        of_job = of_job.join(units, units.c.job_id == jobs.c.id).group_by(jobs.c.id)
        each = of_job.subquery()
        so_far = func.sum(each.c.seconds).over(order_by=each.c.id).label("so_far")
        passed = select(each.c.id, each.c.created_at, so_far).subquery()
        enough = select(passed.c.created_at).where(passed.c.so_far > n_seconds - limit).order_by(passed.c.id).limit(1)
        leaves_at = connection.execute(enough).scalar_one_or_none()
        words = f"the jobs of {owner!r} of 30 days took {n_seconds:.0f} seconds of workers, and {limit} may be taken"
        raise _exceeded(words, leaves_at, MONTH, now)


def _exceeded(words: str, leaves_at: datetime | None, window: timedelta, now: datetime) -> QuotaExceededError:
    """Say when enough of what counts is older than the window."""
    resets_at = (leaves_at or now) + window
    wait = max(1, math.ceil((resets_at - now).total_seconds()))
    return QuotaExceededError(f"{words}; send the next after {resets_at:%Y-%m-%d %H:%M:%S} UTC", wait)


def _sent(owner: str, since: datetime, *columns: Any) -> Select[Any]:
    """Query the jobs that an owner has sent since then; ids sort by age, and the owner's are indexed."""
    return select(*columns).select_from(jobs).where(jobs.c.owner == owner, jobs.c.id >= first_job_id(since))
