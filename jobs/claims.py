"""The two statements that every unit passes through, one round trip each: a worker starts it, and finishes it.

All workers of a job wait for one another at its row, so both reach that last and commit at once.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Interval,
    RowMapping,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)

from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.columns import fixed
from jobs.outbox import announcing_start
from jobs.records import SPOKEN, Claim, JobState, UnitState
from jobs.rows import LockedJob, counted, now, tell
from jobs.states import CLAIMABLE, HELD, EventKind
from jobs.tables import jobs, outputs, units

ONE = literal_column("1", Integer)  # a bound limit keeps the server from keeping a plan
TOLD = ("stage", "index", "of", "attempt", "worker")  # of a unit, with each of its events


def start_best_unit(connection: Connection, worker: str, token: str, lease: timedelta) -> RowMapping | None:
    """Start the best ready unit; answer its columns and its job's, or None when there is none.

    The answer's `id`, which is the job's, is None where that job has ended since the statement looked: nothing has
    changed then, ask again.
    """
    given = {"by_worker": worker, "by_token": token, "lease": lease}
    return connection.execute(_starting(), given).mappings().one_or_none()


def to_claim(started: RowMapping, worker: str, token: str) -> Claim:
    """Say all that the worker of a started unit must know."""
    job_id, stage, index, attempt = (started[name] for name in ("id", "stage", "index", "attempt"))
    attempts = started["attempts"] or {}
    return Claim(
        unit_id=started["unit_id"],
        job_id=job_id,
        owner=started["owner"],
        stage=Stage(stage),
        index=index,
        of=started["of"],
        attempt=attempt,
        token=token,
        worker=worker,
        config=DistillConfig.model_validate(started["config"]),
        inputs={Stage(done): _prefixes(job_id, done, won) for done, won in attempts.items()},
        prefix=unit_prefix(job_id, stage, index, attempt),
        is_small=started["out_of_memory"] > 0,
        traceparent=started["traceparent"],
    )


def close_done(connection: Connection, claim: Claim, peak_bytes: int | None, *, n_others: int = 0) -> LockedJob | None:
    """Mark a unit done, and hold its job.

    Answers None, and has changed nothing, when the lease is over, or the job, or fewer than `n_others` other units of
    the job are being run.
    """
    given = {"by_unit": claim.unit_id, "by_token": claim.token, "at_prefix": claim.prefix, "peak": peak_bytes}
    row = connection.execute(_finishing(n_others), {**given, "told": told(claim)}).one_or_none()
    return LockedJob(row.id, row.owner, JobState(row.state), row.n_running) if row else None


def is_held(unit_id: Any, token: Any) -> ColumnElement[bool]:
    """Whether a unit is still that of the holder of this token."""
    return and_(units.c.id == unit_id, units.c.lease_token == token, units.c.lease_expires_at > now())


def told(claim: Claim) -> Mapping[str, Any]:
    """Say in an event which attempt of which unit it is about."""
    return {name: getattr(claim, name) for name in TOLD}


def _prefixes(job_id: str, stage: str, attempts: list[int]) -> tuple[str, ...]:
    return tuple(unit_prefix(job_id, stage, index, attempt) for index, attempt in enumerate(attempts))


def unit_prefix(job_id: str, stage: str, index: int, attempt: int) -> str:
    """Name the folder of the object store in which an attempt of a unit writes."""
    return f"jobs/{job_id}/{stage}/{index}/{attempt}"


@cache
def _starting() -> Select[Any]:
    picked = _best_ready_unit()
    still = jobs.c.state.in_([fixed(state) for state in sorted(CLAIMABLE)])
    held = select(jobs.c.id, jobs.c.started_at, jobs.c.labels).where(jobs.c.id == picked.c.job_id, still)
    job = held.with_for_update(key_share=True, of=jobs).cte("job")
    started = _started(picked, job)
    runs = (
        update(jobs)
        .where(jobs.c.id == started.c.job_id)
        .values(
            state=JobState.RUNNING,
            started_at=func.coalesce(jobs.c.started_at, now()),
            n_running=jobs.c.n_running + 1,
        )
    )
    won = select(func.json_object_agg(outputs.c.stage, outputs.c.attempts, type_=JSON))
    attempts = won.where(outputs.c.job_id == jobs.c.id).correlate(jobs).scalar_subquery().label("attempts")
    of_unit = [started.c[name] for name in (*TOLD, "out_of_memory")]
    moved = counted(runs, jobs.c.owner, jobs.c.config, jobs.c.traceparent, attempts, *of_unit)
    data = func.json_build_object(*(part for name in TOLD for part in (literal(name, Text), moved.c[name])))
    event = tell(moved, EventKind.UNIT_STARTED, data).cte("event")
    told = announcing_start(moved, job).cte("told")
    return select(picked.c.id.label("unit_id"), moved).select_from(picked.outerjoin(moved, true())).add_cte(event, told)


def n_running_by_owner() -> Subquery:
    """Count the running units of each owner who has any."""
    owners = jobs.alias("owners")
    is_open = owners.c.state.in_([fixed(state) for state in sorted(CLAIMABLE | HELD)])
    of_owner = select(owners.c.owner, func.sum(owners.c.n_running).label("n")).where(is_open, owners.c.n_running > 0)
    return of_owner.group_by(owners.c.owner).subquery("busy")


def _best_ready_unit() -> CTE:
    """Lock the first unit that nobody else has of the jobs in the order in which their owners get workers.

    A job without any ready unit is being run, so that at most as many are looked at in vain as there are workers.
    """
    busy = n_running_by_owner()
    waiting = (
        select(jobs.c.id)
        .outerjoin(busy, busy.c.owner == jobs.c.owner)
        .where(jobs.c.state.in_([fixed(state) for state in sorted(CLAIMABLE)]))
        .order_by(jobs.c.priority.desc(), func.coalesce(busy.c.n, 0), jobs.c.id)
        .subquery("waiting")
    )
    first = (
        select(units.c.id, units.c.job_id)
        .where(units.c.job_id == waiting.c.id, units.c.state == fixed(UnitState.READY), units.c.protocol.in_(SPOKEN))
        .where(or_(units.c.progress_at.is_(None), units.c.progress_at <= now()))  # else it rests
        .order_by(units.c.index)
        .limit(ONE)
        .with_for_update(skip_locked=True)
        .lateral("first")
    )
    # The jobs come sorted, and the units are looked for one job at a time, until there is one.
    return select(first).select_from(waiting.join(first, true())).limit(ONE).cte("picked").prefix_with("MATERIALIZED")


def _started(picked: CTE, job: CTE) -> CTE:
    begun = {
        "state": UnitState.RUNNING,
        "attempt": units.c.attempt + 1,
        "worker": bindparam("by_worker", type_=Text),
        "lease_token": bindparam("by_token", type_=Text),
        "lease_expires_at": now() + bindparam("lease", type_=Interval),
        "started_at": now(),
        "progress_at": now(),
        "finished_at": None,
        "done": 0,
        "total": 0,
    }
    start = update(units).where(units.c.id == picked.c.id, picked.c.job_id == job.c.id)
    return start.values(begun).returning(units).cte("started")


@cache
def _finishing(n_others: int) -> Select[Any]:
    unit_id, token = bindparam("by_unit", type_=BigInteger), bindparam("by_token", type_=Text)
    unit = select(units.c.id, units.c.job_id).where(is_held(unit_id, token)).with_for_update().cte("unit")
    lives = jobs.c.state.in_([fixed(state) for state in sorted(HELD)])
    among = select(jobs.c.id).where(jobs.c.id == unit.c.job_id, lives, jobs.c.n_running > n_others)
    closed = _closed(unit, among.with_for_update(key_share=True, of=jobs).cte("job"))
    change = update(jobs).where(jobs.c.id == closed.c.job_id).values(n_running=jobs.c.n_running - 1)
    moved = counted(change, jobs.c.owner, jobs.c.state, jobs.c.n_running)
    event = tell(moved, EventKind.UNIT_FINISHED, bindparam("told", type_=JSON)).cte("event")
    return select(moved).add_cte(event)


def _closed(unit: CTE, job: CTE) -> CTE:
    done = {
        "state": UnitState.DONE,
        "prefix": bindparam("at_prefix", type_=Text),
        "peak_bytes": bindparam("peak", type_=BigInteger),
        "lease_token": None,
        "lease_expires_at": None,
        "finished_at": now(),
    }
    close = update(units).where(units.c.id == unit.c.id, unit.c.job_id == job.c.id)
    return close.values(done).returning(units.c.job_id).cte("closed")
