"""What is left of a job that its owner deleted: a row that says so, for a while. Its files go with the clean-up."""

from datetime import timedelta

from sqlalchemy import JSON, Connection, Engine, delete, literal, update

from jobs.records import UnitState
from jobs.rows import now, now_once
from jobs.tables import artifacts, events, figures, jobs, units

KEPT_DAYS = 30  # after that the job is as unknown as if it had never been


def bury(connection: Connection, job_id: str) -> None:
    """Empty an ended job of all that its owner said and that it made; have its files deleted by the next clean-up.

    What a worker may still hold goes with the tombstone.
    """
    connection.execute(delete(units).where(units.c.job_id == job_id, units.c.state != UnitState.RUNNING))
    for table in (events, artifacts, figures):
        connection.execute(delete(table).where(table.c.job_id == job_id))
    emptied = {"config": literal({}, JSON), "labels": {}, "failure_message": None}
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(deleted_at=now(), expires_at=now(), **emptied))


def forget_deleted(engine: Engine) -> int:
    """Drop the tombstones that were kept long enough and whose files are gone; answer how many."""
    is_old = jobs.c.deleted_at <= now_once() - timedelta(days=KEPT_DAYS)
    with engine.begin() as connection:
        return connection.execute(delete(jobs).where(is_old, jobs.c.artifacts_deleted_at.is_not(None))).rowcount
