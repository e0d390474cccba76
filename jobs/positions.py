"""The line in which queued jobs wait, in the order in which workers claim."""

import math
import threading
import time
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, FromClause, Select, cast, func, select, true

from jobs.backpressure import AMPLE, QueueLimits
from jobs.claims import n_running_by_owner
from jobs.columns import fixed
from jobs.prepared import Prepared
from jobs.records import UnitState
from jobs.states import CLAIMABLE
from jobs.tables import jobs, units

COUNTED_UNITS = 100  # of one job, at most
PROCESSES = 8  # of the API: so many keep to the limits together, though each knows of the others' jobs late
OF_NO_USE = 3  # so many times as old as it may be before it is read again


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
    """The line as it was about `seconds` ago, so that many who ask cost no more than few. For many threads.

    One of them reads it again when that is due; the others go on with the line of before, unless it is far too old.

    A job's position is how many jobs are begun or go on before it, itself counted, if workers took every ready unit one
    after the other and nothing were finished or submitted meanwhile. Of one job, at most `COUNTED_UNITS` are counted
    against its owner: the answer is soon there when millions wait. A job that came since the line was read stands where
    it would with one unit.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._read_at = -math.inf
        self._places: list[_Place] = []
        self._place_of: dict[str, _Place] = {}
        self._n_running: Mapping[str, int] = {}
        self._n_ready: defaultdict[str, Counter[int]] = defaultdict(Counter)  # of an owner: units by priority

    def positions(self, connection: Connection, waiting: list[Waiting]) -> Mapping[str, int]:
        """Tell the positions of jobs that are queued; 1 is next."""
        if not waiting:
            return {}
        self._refresh(connection)
        with self._lock:
            return {job.id: bisect_left(self._places, self._find(job)) + 1 for job in waiting}

    def leaves_room(self, owner: str, limits: QueueLimits) -> bool:
        """Whether so few jobs wait that another of `owner` may come, whatever other processes let in meanwhile."""
        with self._lock:
            if self._is_due():
                return False
            n_own = self._n_ready[owner].total() if owner in self._n_ready else 0
            known = ((n_own, limits.of_owner), (len(self._places), limits.in_all))
        return all(limit is None or (n + AMPLE) * PROCESSES < limit for n, limit in known)

    def _find(self, job: Waiting) -> _Place:
        if job.id not in self._place_of:
            before = sum(n for priority, n in self._n_ready[job.owner].items() if priority >= job.priority)
            place = _Place(-job.priority, self._n_running.get(job.owner, 0) + before, job.id)
            self._place_of[job.id] = place
            self._n_ready[job.owner][job.priority] += 1
            insort(self._places, place)
        return self._place_of[job.id]

    def _is_due(self, times: int = 1) -> bool:
        return time.monotonic() - self._read_at >= times * self._seconds

    def _refresh(self, connection: Connection) -> None:
        if self._is_due() and self._reading.acquire(blocking=self._is_due(OF_NO_USE)):
            try:
                if self._is_due():
                    self._read(connection)
            finally:
                self._reading.release()

    def _read(self, connection: Connection) -> None:
        place_of, all_ready = dict[str, _Place](), defaultdict[str, Counter[int]](Counter)
        all_running = {row[0]: row[1] for row in _BUSY.run(connection, {})}
        for row in _LINE.run(connection, {}):
            job_id, owner, priority, n_ready, n_before = row
            place_of[job_id] = _Place(-priority, all_running.get(owner, 0) + n_before, job_id)
            all_ready[owner][priority] += n_ready
        with self._lock:
            self._place_of, self._n_ready, self._n_running = place_of, all_ready, all_running
            self._places = sorted(place_of.values())
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
