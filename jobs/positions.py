"""The line in which queued jobs wait, in the order in which workers claim."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, FromClause, Subquery, func, select, true

from jobs.claims import fixed, n_running_by_owner
from jobs.records import UnitState
from jobs.states import CLAIMABLE
from jobs.tables import jobs, units

COUNTED_UNITS = 100  # of one job, at most


def queue_positions(connection: Connection, ids: Sequence[str]) -> Mapping[str, int]:
    """Tell, of jobs that are queued, how many jobs are begun or go on before each, itself counted: 1 is next.

    That is, if workers took every ready unit one after the other, and nothing were finished or submitted meanwhile.
    Of one job, at most `COUNTED_UNITS` are counted against its owner: the answer is soon there when millions wait.
    """
    if not ids:
        return {}
    line = _line()
    place = func.row_number().over(order_by=(line.c.priority.desc(), line.c.n_before, line.c.id))
    placed = select(line.c.id, place.label("position")).subquery()
    rows = connection.execute(select(placed).where(placed.c.id.in_(ids)))
    return {row.id: row.position for row in rows}


def _line() -> Subquery:
    """List the jobs that wait, each with the units that its owner will have at work when its turn comes."""
    waiting, busy = _n_ready(), n_running_by_owner()
    n_taken = func.sum(waiting.c.n).over(
        partition_by=jobs.c.owner, order_by=(jobs.c.priority.desc(), jobs.c.id), rows=(None, -1)
    )
    n_before = func.coalesce(busy.c.n, 0) + func.coalesce(n_taken, 0)
    joined = jobs.join(waiting, true()).outerjoin(busy, busy.c.owner == jobs.c.owner)
    line = select(jobs.c.id, jobs.c.priority, n_before.label("n_before")).select_from(joined)
    claimable = jobs.c.state.in_([fixed(state) for state in sorted(CLAIMABLE)])
    return line.where(claimable, waiting.c.n > 0).subquery()


def _n_ready() -> FromClause:
    """Count the ready units of one job, but not all of many."""
    ready = units.c.state == fixed(UnitState.READY)
    few = select(units.c.id).where(units.c.job_id == jobs.c.id, ready).limit(COUNTED_UNITS).correlate(jobs).subquery()
    return select(func.count().label("n")).select_from(few).lateral()
