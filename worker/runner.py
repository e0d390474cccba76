"""Claim units and run them until there are none. Runs in the child of a worker, where torch is loaded."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from ddoq.errors import DatasetUnavailableError, DdoqError
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.errors import (
    DiskFullError,
    LeaseLostError,
    QueueUnavailableError,
    ServiceError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
)
from jobs.leases import Leases
from jobs.logs import bound
from jobs.queue import Queue
from jobs.records import Claim, Failure
from jobs.settings import Settings
from jobs.tracing import traced
from jobs.uploads import open_uploads
from worker.counts import Counts, Outcome
from worker.draining import Flag
from worker.lease import CancelOrdered, DrainOrdered, Lease
from worker.memory import is_out_of_memory
from worker.notes import noted
from worker.patience import patiently
from worker.scratch import Scratch
from worker.work import Bench, Result, work

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 60.0
BAD = frozenset({Outcome.FAILED, Outcome.BROKEN, Outcome.OUT_OF_MEMORY})
MOST_CALLS = 64  # at a time; the sweep calls the rest

log = logging.getLogger(__name__)


@dataclass
class Pause:
    """How long to wait before the next unit: longer each time that a server or the disk was the reason to stop."""

    seconds: float = 0.0

    def lengthen(self) -> None:
        self.seconds = min(max(FIRST_PAUSE_SECONDS, 2 * self.seconds), LONGEST_PAUSE_SECONDS)

    def reset(self) -> None:
        self.seconds = 0.0


@contextmanager
def open_bench(settings: Settings, queue: Queue, draining: Flag, counts: Counts) -> Iterator[Bench]:
    """Connect to the database and the object store."""
    wait_ms = round(1000 * settings.lease_seconds)
    # Should this worker freeze in a transaction, nobody waits for longer than for its lease.
    options = f"-c idle_in_transaction_session_timeout={wait_ms} -c lock_timeout={wait_ms}"
    arguments = {"connect_timeout": 10, "options": options}
    engine = create_engine(settings.database_url, pool_pre_ping=True, connect_args=arguments)
    objects = ObjectStore(make_s3_client(settings), settings.s3_bucket)
    uploads = open_uploads(engine, settings)
    leases = Leases(engine, settings.lease_seconds, settings.max_attempts)
    scratch = Scratch(settings.scratch, objects, settings.scratch_bytes)
    try:
        yield Bench(settings, leases, objects, uploads, queue, scratch, draining, counts)
    finally:
        engine.dispose()


def run_units(bench: Bench) -> None:
    """Run units until none is ready or this worker is shutting down; then forget what no job needs any more."""
    worker, pause = f"{socket.gethostname()}-{os.getpid()}", Pause()
    while not bench.draining.wait(pause.seconds):
        claim = bench.leases.claim(worker)
        if claim is None:
            bench.scratch.keep_only(bench.leases.unended(bench.scratch.job_ids()))
            return
        run_unit(bench, claim, pause)


def run_unit(bench: Bench, claim: Claim, pause: Pause) -> None:
    """Run one unit to one of its ends; log, count and trace it."""
    unit: dict[str, str | int] = {"job_id": claim.job_id, "unit_id": claim.unit_id}
    unit |= {"stage": claim.stage.value, "attempt": claim.attempt}
    attributes = {f"ddoq.{name}": value for name, value in unit.items()}
    with (
        bound(**unit, worker=claim.worker),
        traced(f"unit {claim.stage}", "consumer", claim.traceparent, attributes) as step,
        bench.counts.running(claim.stage),
    ):
        log.info("unit %s: part %s of %s", claim.unit_id, claim.index + 1, claim.of)
        outcome = _run(bench, claim, pause)
        bench.counts.end(claim.stage, outcome)
        step.tell(None, {"ddoq.outcome": outcome.value})
        if outcome in BAD:
            step.fail(outcome.value)


def _run(bench: Bench, claim: Claim, pause: Pause) -> Outcome:
    """Do the work of a unit. The only place where an unforeseen exception is caught."""
    try:
        with noted(bench.settings.scratch, claim):
            with Lease(bench.leases, claim, bench.settings, bench.draining) as lease:
                result = work(bench, claim, bench.counts.counting(lease.on_event))
            _finish(bench, claim, result)
        pause.reset()
    except LeaseLostError:
        log.warning("unit %s is somebody else's by now; its result is dropped", claim.unit_id)
        return Outcome.LOST
    except Exception as error:  # noqa: BLE001  the edge: whatever it is, the job must learn of it
        _end_badly(bench, claim, error, pause)
        return _outcome(error)
    return Outcome.DONE


def _outcome(error: Exception) -> Outcome:
    match error:
        case CancelOrdered() | DrainOrdered() | DatasetUnavailableError():
            return Outcome.GIVEN_BACK
        case StorageUnavailableError() if not isinstance(error, StorageFullError | StorageRefusedError):
            return Outcome.GIVEN_BACK
        case DdoqError() if not isinstance(error, ServiceError):
            return Outcome.FAILED
        case _:
            return Outcome.OUT_OF_MEMORY if is_out_of_memory(error) else Outcome.BROKEN


def _finish(bench: Bench, claim: Claim, result: Result) -> None:
    """Hand in what was made, and call workers for what can be done now."""

    def finish() -> int:
        return bench.leases.finish(claim, result.artifacts, result.figures, result.peak_bytes, result.blocks)

    n_ready = patiently(finish, bench.settings.lease_seconds)
    if n_ready > 1:  # one is for this worker
        try:
            bench.queue.wake(min(n_ready - 1, MOST_CALLS))
        except QueueUnavailableError as error:
            log.warning("%s", error)


def _end_badly(bench: Bench, claim: Claim, error: Exception, pause: Pause) -> None:
    """Say why a unit did not finish."""
    try:
        patiently(lambda: _tell(bench, claim, error, pause), bench.settings.lease_seconds)
    except LeaseLostError:
        log.warning("unit %s was lost before it ended: %s", claim.unit_id, error)
    except DBAPIError:
        log.exception(
            "unit %s ends with its lease, since the database does not hear of its end: %s", claim.unit_id, error
        )


def _tell(bench: Bench, claim: Claim, error: Exception, pause: Pause) -> None:
    leases = bench.leases
    match error:
        case CancelOrdered():
            leases.stop_cancelled(claim)
        case DrainOrdered():
            leases.give_back(claim)
        case StorageFullError() | StorageRefusedError() | DiskFullError():
            bench.scratch.forget(claim.prefix)
            bench.scratch.make_room(claim.job_id, 0)
            leases.crash(claim, str(error), code=error.code)
            pause.lengthen()
        case StorageUnavailableError():
            log.warning("unit %s goes back, and this worker waits: %s", claim.unit_id, error)
            leases.give_back(claim, reason=str(error))  # no attempt is charged: nothing is wrong with the work
            pause.lengthen()
        case DatasetUnavailableError():
            log.warning("unit %s goes back and rests: %s", claim.unit_id, error)
            leases.give_back(claim, reason=str(error))
        case DdoqError() if not isinstance(error, ServiceError):
            leases.fail(claim, Failure(error.code, str(error), retryable=False, stage=claim.stage))
        case _:
            log.error("unit %s broke", claim.unit_id, exc_info=error)
            leases.crash(claim, f"{type(error).__name__}: {error}", out_of_memory=is_out_of_memory(error))
