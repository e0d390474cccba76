"""What becomes of a unit whose attempt broke off: ready again, or the end of its job.

Used alike by a worker that saw its stage break, by the successor of one that died, and by the sweep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from ddoq.events import Stage
from jobs.claims import TOLD
from jobs.errors import AttemptsExhaustedError, MemoryExhaustedError
from jobs.records import Failure, JobState, UnitState
from jobs.rows import fail_job, lock_job, now, stood_down, storable
from jobs.states import HELD, EventKind
from jobs.tables import jobs, units

NO_LEASE: Mapping[str, Any] = MappingProxyType({"lease_token": None, "lease_expires_at": None})
"""What every unit that nobody works on looks like."""
MEMORY_ATTEMPTS = 2  # in the second less is tried at once, where that is possible
REASON_LENGTH = 1000  # characters that are kept of a reason


def free(connection: Connection, unit_id: int, **columns: Any) -> None:
    """Let another worker have a unit, whose row this transaction holds."""
    freed = {"state": UnitState.READY, "finished_at": now(), **NO_LEASE, **columns}
    connection.execute(update(units).where(units.c.id == unit_id).values(freed))


def take_back(
    connection: Connection,
    unit: RowMapping,
    reason: str,
    max_attempts: int,
    *,
    out_of_memory: bool = False,
    code: str | None = None,
) -> None:
    """Hold a broken attempt against its unit: another attempt follows, or the job fails.

    Args:
        connection: In a transaction that holds the unit's row, and not yet the job's.
        unit: All columns of the row of a unit that is running.
        reason: Why the attempt broke off, for people to read.
        max_attempts: So many broken attempts fail the job.
        out_of_memory: Whether memory was what broke it: one such attempt is not counted, in the next less is
            tried at once where that is possible, and a second fails the job.
        code: Of the job's failure by too many broken attempts, if there is one better than that.
    """
    broken = [*unit["failures"], _broken(connection, unit, reason)]
    counter = "out_of_memory" if out_of_memory else "crashes"
    n_broken = unit[counter] + 1
    free(connection, unit["id"], failures=broken, **{counter: n_broken})
    job = lock_job(connection, unit["job_id"])
    is_exhausted = n_broken >= (MEMORY_ATTEMPTS if out_of_memory else max_attempts)
    if job.state is JobState.RUNNING and is_exhausted:
        failure = (_memory_exhausted if out_of_memory else _attempts_exhausted)(unit, broken)
        failure = replace(failure, code=code or failure.code)
        fail_job(connection, job, failure, n_running=job.n_running - 1)
    elif job.state in HELD:
        told = {name: unit[name] for name in TOLD}
        stood_down(connection, job, EventKind.LEASE_LOST, {**told, "reason": broken[-1]["reason"]})
    else:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(n_running=job.n_running - 1))


def _broken(connection: Connection, unit: RowMapping, reason: str) -> Mapping[str, Any]:
    at = connection.execute(select(now())).scalar_one()
    told = storable(reason)[:REASON_LENGTH]
    return {"attempt": unit["attempt"], "worker": unit["worker"], "reason": told, "at": at.isoformat()}


def _attempts_exhausted(unit: RowMapping, broken: Sequence[Mapping[str, Any]]) -> Failure:
    message = f"{_named(unit)} broke off too often: {_reasons(broken)}; the workers' logs tell more"
    return Failure(AttemptsExhaustedError.code, message, retryable=True, stage=Stage(unit["stage"]))


def _memory_exhausted(unit: RowMapping, broken: Sequence[Mapping[str, Any]]) -> Failure:
    message = (
        f"{_named(unit)} ran out of memory {MEMORY_ATTEMPTS} times, though less was tried at once where that is "
        f"possible: {_reasons(broken)}; give the workers more memory, or lower prior.resolution, prior.batch_size or "
        "the students' networks, width or batch_size"
    )
    return Failure(MemoryExhaustedError.code, message, retryable=True, stage=Stage(unit["stage"]))


def _named(unit: RowMapping) -> str:
    part = f" (part {unit['index'] + 1} of {unit['of']})" if unit["of"] > 1 else ""
    return f"stage {unit['stage']}{part}"


def _reasons(broken: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"attempt {one['attempt']} on {one['worker']}: {one['reason']}" for one in broken)
