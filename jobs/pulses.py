"""A short look at many jobs: just enough to tell that there is news of one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, true

from ddoq.events import Stage
from jobs.positions import Line, Waiting
from jobs.reading import extrapolate
from jobs.records import JobState
from jobs.states import TERMINAL
from jobs.tables import jobs, units


@dataclass(frozen=True)
class Pulse:
    """What changes whenever an answer about the job would; `done` of `total` pieces of the stage are finished."""

    state: JobState
    stage: Stage
    n_events: int
    done: int
    total: int
    queue_position: int | None
    expires_at: datetime | None
    is_deleted: bool

    @property
    def has_ended(self) -> bool:
        return self.state in TERMINAL


def read_pulses(connection: Connection, job_ids: Collection[str], line: Line) -> Mapping[str, Pulse]:
    """Look at those of the jobs that there are, whoever owns them."""
    progress = (
        select(
            func.coalesce(func.sum(units.c.done), 0).label("done"),
            func.coalesce(func.sum(units.c.total), 0).label("total"),
            func.count().label("n_units"),
            func.count().filter(units.c.total > 0).label("n_told"),
        )
        .where(units.c.job_id == jobs.c.id, units.c.stage == jobs.c.stage)
        .lateral()
    )
    named = ("id", "owner", "priority", "state", "stage", "n_events", "expires_at", "deleted_at")
    columns = (jobs.c[name] for name in named)
    query = select(*columns, *progress.c).select_from(jobs.join(progress, true())).where(jobs.c.id.in_(job_ids))
    rows = connection.execute(query).all()
    waiting = [Waiting(row.id, row.owner, row.priority) for row in rows if row.state == JobState.QUEUED]
    positions = line.positions(connection, waiting)
    return {
        row.id: Pulse(
            state=JobState(row.state),
            stage=Stage(row.stage),
            n_events=row.n_events,
            done=row.done,
            total=extrapolate(row.total, row.n_units, row.n_told),
            queue_position=positions.get(row.id),
            expires_at=row.expires_at,
            is_deleted=row.deleted_at is not None,
        )
        for row in rows
    }
