"""Spread a stage over workers: how many of them there are, and into how many units a stage is cut."""

from datetime import timedelta

from sqlalchemy import Connection, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql

from ddoq.events import Stage
from jobs.records import PROTOCOL, SPOKEN, UnitState
from jobs.rows import now
from jobs.tables import jobs, outputs, units, workers

ALIVE = timedelta(seconds=60)  # a worker that was silent for longer is not counted
UNITS_A_WORKER = 4  # so that the slowest unit of a stage does not keep all the others waiting for long
BLOCKS_A_UNIT = 16  # at most: what one crash can cost


def plan_units(n_blocks: int, n_workers: int) -> int:
    """Say into how many units, at least one, a stage of `n_blocks` blocks is cut for `n_workers` workers."""
    wanted = UNITS_A_WORKER * n_workers if n_workers > 1 else 1
    return max(1, min(n_blocks, max(wanted, -(-n_blocks // BLOCKS_A_UNIT))))


def mark_present(connection: Connection, worker: str) -> None:
    """Note that a worker is alive now."""
    new = postgresql.insert(workers).values(name=worker, protocol=PROTOCOL)
    seen = {"seen_at": now(), "protocol": PROTOCOL}
    connection.execute(new.on_conflict_do_update(constraint=workers.primary_key, set_=seen))


def mark_gone(connection: Connection, worker: str) -> None:
    """Count a worker no longer."""
    connection.execute(delete(workers).where(workers.c.name == worker))


def n_alive(connection: Connection) -> int:
    """Count the workers that can run the units of today."""
    alive = (workers.c.seen_at > now() - ALIVE) & workers.c.protocol.in_(SPOKEN)
    return connection.execute(select(func.count()).select_from(workers).where(alive)).scalar_one()


def open_stage(connection: Connection, job_id: str, done: Stage, following: Stage) -> int:
    """Close a stage whose units are all done and make those of the next one; answer how many.

    The job's row is held, so that this happens once.
    """
    of_done = (units.c.job_id == job_id) & (units.c.stage == done)
    won = select(
        literal(job_id), literal(done), func.array_agg(postgresql.aggregate_order_by(units.c.attempt, units.c.index))
    )
    connection.execute(insert(outputs).from_select(["job_id", "stage", "attempts"], won.where(of_done)))
    moved = update(jobs).where(jobs.c.id == job_id).values(stage=following).returning(jobs.c.blocks)
    blocks = connection.execute(moved).scalar_one() or {}
    n_units = plan_units(blocks.get(following, 1), n_alive(connection))
    columns = [units.c.job_id, units.c.stage, units.c.index, units.c.of, units.c.state, units.c.protocol]
    index = func.generate_series(0, n_units - 1)
    rows = select(literal(job_id), literal(following), index, n_units, literal(UnitState.READY), PROTOCOL)
    connection.execute(insert(units).from_select(columns, rows))
    return n_units
