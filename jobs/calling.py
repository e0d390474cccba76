"""Calls to workers: as many as could do something, and no more."""

from sqlalchemy import Engine, select

from jobs.fanout import n_alive
from jobs.queue import Queue
from jobs.records import UnitState
from jobs.states import CLAIMABLE
from jobs.tables import jobs, units


def call_workers(engine: Engine, queue: Queue) -> int:
    """Call a worker for each unit that waits, or all of them, and one at least that is not known yet; answer how many.

    Raises:
        QueueUnavailableError: the broker did not take the calls; no job is lost, the next sweep calls again.
    """
    with engine.connect() as connection:
        n_workers = max(n_alive(connection), 1)
        waiting = (
            select(units.c.id)
            .join(jobs, jobs.c.id == units.c.job_id)
            .where(units.c.state == UnitState.READY, jobs.c.state.in_(CLAIMABLE))
            .limit(n_workers)
        )
        n_calls = len(connection.execute(waiting).all())
    if n_calls:
        queue.wake(n_calls)
    return n_calls
