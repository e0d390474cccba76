"""The line in which queued jobs wait, in the order in which workers claim."""

import threading
import time
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, FromClause, Select, cast, func, select, true

from jobs.claims import n_running_by_owner
from jobs.columns import fixed
from jobs.prepared import Prepared
from jobs.records import UnitState
from jobs.states import CLAIMABLE
from jobs.tables import jobs, units

COUNTED_UNITS = 100  # of one job, at most


class Waiting(NamedTuple):
    """A job in the line; `priority` as it is stored."""

    id: str
    owner: str
    priority: int


class _Place(NamedTuple):
    """Where a job stands: sorts as the line does. `n_before` units will its owner have at work when its turn comes."""

    minus_priority: int
    n_before: int
    id: str


class Line:
    """The line as it was at most `seconds` ago, so that many who ask cost no more than few. For many threads.

    A job's position is how many jobs are begun or go on before it, itself counted, if workers took every ready unit one
    after the other and nothing were finished or submitted meanwhile. Of one job, at most `COUNTED_UNITS` are counted
    against its owner: the answer is soon there when millions wait. A job that came since the line was read stands where
    it would with one unit.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        self._places: list[_Place] = []
        self._place_of: dict[str, _Place] = {}
        self._n_running: Mapping[str, int] = {}
        self._n_ready: defaultdict[str, Counter[int]] = defaultdict(Counter)  # of an owner: units by priority

    def positions(self, connection: Connection, waiting: list[Waiting]) -> Mapping[str, int]:
        """Tell the positions of jobs that are queued; 1 is next."""
        if not waiting:
            return {}
        with self._lock:
            if time.monotonic() - self._read_at >= self._seconds:
                self._read(connection)
            return {job.id: bisect_left(self._places, self._find(job)) + 1 for job in waiting}

    def _find(self, job: Waiting) -> _Place:
        if job.id not in self._place_of:
            before = sum(n for priority, n in self._n_ready[job.owner].items() if priority >= job.priority)
            place = _Place(-job.priority, self._n_running.get(job.owner, 0) + before, job.id)
            self._place_of[job.id] = place
            self._n_ready[job.owner][job.priority] += 1
            insort(self._places, place)
        return self._place_of[job.id]

    def _read(self, connection: Connection) -> None:
        self._place_of, self._n_ready = {}, defaultdict(Counter)
        self._n_running = {row[0]: row[1] for row in _BUSY.run(connection, {})}
        for row in _LINE.run(connection, {}):
            job_id, owner, priority, n_ready, n_before = row
            self._place_of[job_id] = _Place(-priority, self._n_running.get(owner, 0) + n_before, job_id)
            self._n_ready[owner][priority] += n_ready
        self._places = sorted(self._place_of.values())
        self._read_at = time.monotonic()


def _line() -> Select[tuple[str, str, int, int, int]]:
    """List the jobs that wait, each with its ready units and those of its owner that come before."""
    waiting = _n_ready()
    n_taken = func.sum(waiting.c.n).over(
        partition_by=jobs.c.owner, order_by=(jobs.c.priority.desc(), jobs.c.id), rows=(None, -1)
    )
    n_before = cast(func.coalesce(n_taken, 0), BigInteger)  # a sum is no integer to PostgreSQL
    claimable = jobs.c.state.in_([fixed(state) for state in sorted(CLAIMABLE)])
    line = select(jobs.c.id, jobs.c.owner, jobs.c.priority, waiting.c.n, n_before.label("n_before"))
    return line.select_from(jobs.join(waiting, true())).where(claimable, waiting.c.n > 0)


def _n_ready() -> FromClause:
    """Count the ready units of one job, but not all of many."""
    ready = units.c.state == fixed(UnitState.READY)
    few = select(units.c.id).where(units.c.job_id == jobs.c.id, ready).limit(COUNTED_UNITS).correlate(jobs).subquery()
    return select(func.count().label("n")).select_from(few).lateral()


_LINE, _BUSY = Prepared(_line()), Prepared(select(n_running_by_owner()))
