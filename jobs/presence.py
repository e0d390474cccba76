"""Who is working: the workers that were seen lately, and on what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from ddoq.events import Stage
from jobs.fanout import ALIVE
from jobs.records import UnitState
from jobs.rows import now
from jobs.tables import units, workers


@dataclass(frozen=True)
class Presence:
    """A worker; `stage` is that of the unit which it runs, if it runs one."""

    name: str
    since: datetime
    seen_at: datetime
    stage: Stage | None


def read_present(engine: Engine) -> Sequence[Presence]:
    """List the workers that were seen within the last minute, by name."""
    runs = (units.c.worker == workers.c.name) & (units.c.state == UnitState.RUNNING)
    stage = select(units.c.stage).where(runs).order_by(units.c.id).limit(1).correlate(workers).scalar_subquery()
    query = select(workers, stage.label("stage")).where(workers.c.seen_at > now() - ALIVE).order_by(workers.c.name)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [Presence(row.name, row.started_at, row.seen_at, Stage(row.stage) if row.stage else None) for row in rows]
