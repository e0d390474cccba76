"""What an owner has used of the service in 30 days, and what it may use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Connection, Date, Engine, cast, func, select

from ddoq.events import Stage
from jobs.ids import first_job_id
from jobs.quotas import DAY, MONTH, Quota, count_jobs, read_quota, spent
from jobs.records import JobState
from jobs.tables import artifacts, jobs, units


@dataclass(frozen=True)
class DayUsage:
    """The jobs that were sent on a day of UTC, and the seconds that they have kept workers busy since."""

    day: date
    n_jobs: int
    worker_seconds: float


@dataclass(frozen=True)
class Usage:
    """What the jobs of an owner add up to: all that were sent since `since`, the days in order.

    `artifact_bytes` are kept now, of jobs of any age. `n_jobs_today` are those of the last 24 hours.
    """

    since: datetime
    jobs: Mapping[JobState, int]
    worker_seconds: Mapping[Stage, float]
    artifact_bytes: int
    days: Sequence[DayUsage]
    n_jobs_today: int
    quota: Quota


def read_usage(engine: Engine, owner: str) -> Usage:
    """Add up what an owner has used."""
    now = datetime.now(UTC)
    since = now - MONTH
    with engine.connect() as connection:
        n_jobs, seconds = _jobs(connection, owner, since), _seconds(connection, owner, since)
        return Usage(
            since=since,
            jobs={state: int(_sum(n_jobs, state)) for state in JobState},
            worker_seconds={stage: round(_sum(seconds, stage), 3) for stage in Stage if _sum(seconds, stage)},
            artifact_bytes=_artifact_bytes(connection, owner),
            days=[_day(day, n_jobs, seconds) for day in sorted({day for day, _ in n_jobs})],
            n_jobs_today=count_jobs(connection, owner, now - DAY),
            quota=read_quota(connection, owner),
        )


Table = Mapping[tuple[date, str], float]
"""Numbers by day, and by a state or a stage."""

_DAY = cast(func.timezone("UTC", jobs.c.created_at), Date)


def _jobs(connection: Connection, owner: str, since: datetime) -> Table:
    query = select(_DAY, jobs.c.state, func.count()).where(jobs.c.owner == owner, jobs.c.id >= first_job_id(since))
    return {(day, state): n for day, state, n in connection.execute(query.group_by(_DAY, jobs.c.state))}


def _seconds(connection: Connection, owner: str, since: datetime) -> Table:
    query = (
        select(_DAY, units.c.stage, spent())
        .join(units, units.c.job_id == jobs.c.id)
        .where(jobs.c.owner == owner, jobs.c.id >= first_job_id(since))
        .group_by(_DAY, units.c.stage)
    )
    return {(day, stage): float(n) for day, stage, n in connection.execute(query)}


def _artifact_bytes(connection: Connection, owner: str) -> int:
    size = func.coalesce(func.sum(artifacts.c.size_bytes), 0)
    kept = select(size).join(jobs, jobs.c.id == artifacts.c.job_id).where(jobs.c.artifacts_deleted_at.is_(None))
    return int(connection.execute(kept.where(jobs.c.owner == owner)).scalar_one())


def _sum(table: Table, name: str) -> float:
    return sum(n for (_, of), n in table.items() if of == name)


def _day(day: date, n_jobs: Table, seconds: Table) -> DayUsage:
    of_day = [sum(n for (on, _), n in table.items() if on == day) for table in (n_jobs, seconds)]
    return DayUsage(day, int(of_day[0]), round(of_day[1], 3))
