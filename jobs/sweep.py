"""What nobody else will do: end what ran out of time, call workers again, clear up behind jobs and workers.

Any process may sweep and clear up, as often as it likes: the database elects one at a time for each. The bucket as a
whole is looked through by `jobs.orphans`, which takes long.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from ddoq.errors import DdoqError
from jobs.artifacts import ObjectStore
from jobs.calling import call_workers
from jobs.cleaning import clean_ended, delete_expired, forget_workers
from jobs.overdue import expire_queued, fail_overtime, take_back_deaf, take_back_expired, take_back_stalled
from jobs.queue import Queue
from jobs.settings import Settings
from jobs.tombstones import forget_deleted
from jobs.webhook_deliveries import forget_deliveries

SWEEPING, CLEANING = 0x64646F71, 0x64646F74  # any numbers, the same in all processes

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Swept:
    """What a sweep did, by job. `is_elected` is false when another process was sweeping.

    A job is named once for each of its units that were taken back: `requeued` from a worker that fell silent,
    `stalled` from one without progress, `stopped` from one that ignored a cancel. `n_woken` are calls to workers.
    """

    is_elected: bool
    requeued: tuple[str, ...] = ()
    stalled: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    timed_out: tuple[str, ...] = ()
    n_woken: int = 0
    n_forgotten: int = 0
    n_deliveries_forgotten: int = 0


@dataclass(frozen=True)
class Cleared:
    """What was deleted, by job: what an ended one did not hand out (`cleaned`), and all that was left (`emptied`).

    `n_forgotten` are tombstones of jobs that their owners had deleted.
    """

    is_elected: bool
    cleaned: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    n_forgotten: int = 0


class Sweeper:
    """Sweeps. Safe to share between threads."""

    def __init__(self, engine: Engine, objects: ObjectStore, queue: Queue, settings: Settings) -> None:
        self._engine = engine
        self._objects = objects
        self._queue = queue
        self._settings = settings

    def sweep(self) -> Swept:
        """Do once whatever there is to do, unless another process is doing it. A duty that fails stops no other."""
        with self._engine.begin() as election:  # holds no row: each duty has its own short transactions
            if not election.execute(select(func.pg_try_advisory_xact_lock(SWEEPING))).scalar_one():
                return Swept(is_elected=False)
            return self._do_all()

    def clear_up(self) -> Cleared:
        """Delete what nobody needs from the object store, unless another process does. No sweep waits for it."""
        engine, objects, settings = self._engine, self._objects, self._settings
        late = timedelta(seconds=4 * settings.lease_seconds)
        with engine.begin() as election:
            if not election.execute(select(func.pg_try_advisory_xact_lock(CLEANING))).scalar_one():
                return Cleared(is_elected=False)
            return Cleared(
                is_elected=True,
                cleaned=_try(lambda: clean_ended(engine, objects, late), ()),
                emptied=_try(lambda: delete_expired(engine, objects, settings.retention_days), ()),
                n_forgotten=_try(lambda: forget_deleted(engine), 0),
            )

    def _do_all(self) -> Swept:
        engine, settings = self._engine, self._settings
        patience = settings.cancel_grace_seconds + settings.lease_seconds  # the worker ends itself before
        return Swept(
            is_elected=True,
            requeued=_try(lambda: take_back_expired(engine, settings.max_attempts), ()),
            stalled=_try(lambda: take_back_stalled(engine, settings.stall_seconds, settings.max_attempts), ()),
            stopped=_try(lambda: take_back_deaf(engine, patience, settings.max_attempts), ()),
            expired=_try(lambda: expire_queued(engine), ()),
            timed_out=_try(lambda: fail_overtime(engine), ()),
            n_woken=_try(lambda: call_workers(engine, self._queue), 0),  # each row is its own outbox
            n_forgotten=_try(lambda: forget_workers(engine), 0),
            n_deliveries_forgotten=_try(lambda: forget_deliveries(engine), 0),
        )


def _try(duty: Callable[[], T], otherwise: T) -> T:
    try:
        return duty()
    except (SQLAlchemyError, DdoqError, ValueError) as error:  # a row that cannot be read is a ValueError
        log.warning("a part of the sweep failed and will be tried again: %s", error)
        return otherwise
