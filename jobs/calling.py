"""Calls to workers: as many as could do something, and no more."""

from sqlalchemy import Engine, Integer, bindparam, select

from jobs.columns import fixed
from jobs.fanout import n_alive
from jobs.prepared import Prepared
from jobs.queue import Queue
from jobs.records import UnitState
from jobs.states import CLAIMABLE
from jobs.tables import jobs, units

_WAITING = Prepared(
    select(units.c.id)
    .join(jobs, jobs.c.id == units.c.job_id)
    .where(
        units.c.state == fixed(UnitState.READY),
        jobs.c.state.in_([fixed(state) for state in sorted(CLAIMABLE)]),
    )
    .limit(bindparam("at_most", type_=Integer))
)


def call_workers(engine: Engine, queue: Queue) -> int:
    """Call a worker for each unit that waits, or all of them, and one at least that is not known yet; answer how many.

    Raises:
        QueueUnavailableError: the broker did not take the calls; no job is lost, the next sweep calls again.
    """
    with engine.connect() as connection:
        n_calls = len(_WAITING.run(connection, {"at_most": max(n_alive(connection), 1)}).all())
    if n_calls:
        queue.wake(n_calls)
    return n_calls
