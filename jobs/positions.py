"""The line in which queued jobs wait, in the order in which workers claim."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Subquery, func, select

from jobs.records import UnitState
from jobs.states import CLAIMABLE, HELD
from jobs.tables import jobs, units


def queue_positions(connection: Connection, ids: Sequence[str]) -> Mapping[str, int]:
    """Tell, of jobs that are queued, how many jobs are begun or go on before each, itself counted: 1 is next.

    That is, if workers took every ready unit one after the other, and nothing were finished or submitted meanwhile.
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
    waiting, busy = _n_ready_by_job(), _n_running_by_owner()
    n_taken = func.sum(waiting.c.n).over(
        partition_by=jobs.c.owner, order_by=(jobs.c.priority.desc(), jobs.c.id), rows=(None, -1)
    )
    n_before = func.coalesce(busy.c.n, 0) + func.coalesce(n_taken, 0)
    joined = jobs.join(waiting, waiting.c.job_id == jobs.c.id).outerjoin(busy, busy.c.owner == jobs.c.owner)
    return select(jobs.c.id, jobs.c.priority, n_before.label("n_before")).select_from(joined).subquery()


def _n_ready_by_job() -> Subquery:
    ready = select(units.c.job_id, func.count().label("n")).join(jobs, jobs.c.id == units.c.job_id)
    open_jobs = ready.where(jobs.c.state.in_(CLAIMABLE), units.c.state == UnitState.READY)
    return open_jobs.group_by(units.c.job_id).subquery()


def _n_running_by_owner() -> Subquery:
    running = select(jobs.c.owner, func.sum(jobs.c.n_running).label("n")).where(jobs.c.state.in_(HELD))
    return running.group_by(jobs.c.owner).subquery()
