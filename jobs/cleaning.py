"""What is deleted: what ended jobs did not hand out, artifacts past their time, workers that are gone."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Interval, delete, exists, func, literal, select, update

from jobs.artifacts import ObjectStore
from jobs.errors import StorageRefusedError, StorageUnavailableError
from jobs.records import UnitState
from jobs.rows import now, now_once
from jobs.tables import artifacts, jobs, units, workers

AT_ONCE = 100  # jobs a sweep, so that none takes for ever
GONE = timedelta(days=1)
LATEST = timedelta(hours=1)  # after that, objects of ended jobs are the business of the scan for orphans

log = logging.getLogger(__name__)


def clean_ended(engine: Engine, objects: ObjectStore, late: timedelta) -> tuple[str, ...]:
    """Delete what ended jobs wrote and did not hand out: inputs of later stages, losing attempts.

    And `late` after their end once more, for the sake of workers that slept through it.
    """
    in_use = exists().where(units.c.job_id == jobs.c.id, units.c.state == UnitState.RUNNING)

    def clean(job_id: str) -> None:
        with engine.connect() as connection:
            kept = set(connection.execute(select(artifacts.c.key).where(artifacts.c.job_id == job_id)).scalars())
        objects.delete_prefix(f"jobs/{job_id}", kept)

    is_first = jobs.c.finished_at.is_not(None) & jobs.c.cleaned_at.is_(None)
    wait, since = literal(late, Interval), now_once() - literal(late, Interval)
    is_second = jobs.c.finished_at.between(since - literal(LATEST, Interval), since) & (
        jobs.c.cleaned_at < jobs.c.finished_at + wait
    )
    due = (is_first & ~in_use, is_second & ~in_use)  # in one statement they may cost a look at all jobs that ended
    return tuple(
        job_id for is_due in due for job_id in _each(engine, is_due, jobs.c.finished_at, clean, jobs.c.cleaned_at)
    )


def delete_expired(engine: Engine, objects: ObjectStore, retention_days: float) -> tuple[str, ...]:
    """Delete the artifacts of jobs that ended long ago; when that is for each job is written down at its end."""
    of_ended = jobs.c.finished_at.is_not(None) & jobs.c.artifacts_deleted_at.is_(None)
    kept = func.make_interval(0, 0, 0, 0, 0, 0, timedelta(days=retention_days).total_seconds())
    dated = {"expires_at": jobs.c.finished_at + kept}  # in seconds: a day may have 23 hours where the server stands
    with engine.begin() as connection:
        connection.execute(update(jobs).where(of_ended, jobs.c.expires_at.is_(None)).values(dated))
    return _each(
        engine,
        of_ended & (jobs.c.expires_at <= now_once()),
        jobs.c.expires_at,
        lambda job_id: objects.delete_prefix(f"jobs/{job_id}"),
        jobs.c.artifacts_deleted_at,
    )


def forget_workers(engine: Engine) -> int:
    """Forget the workers that nobody has seen for a day; answer how many."""
    with engine.begin() as connection:
        return connection.execute(delete(workers).where(workers.c.seen_at <= now() - GONE)).rowcount


def _each(
    engine: Engine,
    is_due: ColumnElement[bool],
    oldest_first: ColumnElement[Any],
    act: Callable[[str], object],
    marked: ColumnElement[Any],
) -> tuple[str, ...]:
    """Act for each job that is due and mark it by the moment; stop when the object store is away."""
    with engine.connect() as connection:
        due = select(jobs.c.id).where(is_due).order_by(oldest_first).limit(AT_ONCE)
        ids = connection.execute(due).scalars().all()
    done = []
    for job_id in ids:
        try:
            act(job_id)
        except StorageRefusedError as error:  # as for a locked object: others have none
            log.warning("%s", error)
            continue
        except StorageUnavailableError as error:
            log.warning("%s", error)
            break
        with engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values({marked: now()}))
        done.append(job_id)
    return tuple(done)
