"""Rows to records: jobs as their owners see them. What a stage's units add up to is added up by the database."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.errors import QueueDeadlineError
from jobs.options import Priority
from jobs.positions import queue_positions
from jobs.records import Failure, Job, JobState, StageUnits, UnitState
from jobs.tables import figures, jobs, units


def read_job(connection: Connection, job_id: str) -> Job:
    """Read one job that exists."""
    return read_jobs(connection, select(jobs).where(jobs.c.id == job_id))[0]


def read_jobs(connection: Connection, query: Select[Any]) -> list[Job]:
    """Read the jobs that a query over the table of jobs finds, in its order."""
    rows = connection.execute(query).mappings().all()
    ids = [row["id"] for row in rows]
    stages, numbers = _stages(connection, ids), _figures(connection, ids)
    positions = queue_positions(connection, [row["id"] for row in rows if row["state"] == JobState.QUEUED])
    return [_job(row, stages[row["id"]], numbers[row["id"]], positions.get(row["id"])) for row in rows]


def _stages(connection: Connection, ids: Sequence[str]) -> Mapping[str, dict[Stage, StageUnits]]:
    found: defaultdict[str, dict[Stage, StageUnits]] = defaultdict(dict)
    if not ids:
        return found
    counted = {f"n_{state}": func.count().filter(units.c.state == state) for state in UnitState}
    query = select(
        units.c.job_id,
        units.c.stage,
        *(count.label(name) for name, count in counted.items()),
        func.count().filter(units.c.total > 0).label("n_told"),
        func.sum(units.c.done).label("done"),
        func.sum(units.c.total).label("total"),
        func.max(units.c.attempt).label("attempts"),
        func.min(units.c.started_at).label("started_at"),
        func.max(units.c.finished_at).label("finished_at"),
        func.max(units.c.peak_bytes).label("peak_bytes"),
    )
    for row in connection.execute(query.where(units.c.job_id.in_(ids)).group_by(units.c.job_id, units.c.stage)):
        found[row.job_id][Stage(row.stage)] = _stage_units(row._mapping)
    return found


def _stage_units(row: RowMapping) -> StageUnits:
    n_units = row["n_ready"] + row["n_running"] + row["n_done"]
    n_told = row["n_told"]
    return StageUnits(
        n_ready=row["n_ready"],
        n_running=row["n_running"],
        n_done=row["n_done"],
        done=row["done"],
        total=extrapolate(row["total"], n_units, n_told),
        attempts=row["attempts"],
        started_at=row["started_at"],
        finished_at=row["finished_at"] if row["n_done"] == n_units else None,
        peak_bytes=row["peak_bytes"],
    )


def extrapolate(total: int, n_units: int, n_told: int) -> int:
    """Say what all units make when `n_told` of them make `total`: they are alike, so those speak for all."""
    return -(-total * n_units // n_told) if n_told else 0


def _figures(connection: Connection, ids: Sequence[str]) -> Mapping[str, dict[str, float]]:
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    query = select(figures).where(figures.c.job_id.in_(ids)).order_by(figures.c.name)
    for row in connection.execute(query):
        found[row.job_id][row.name] = row.value
    return found


def _job(
    row: RowMapping, stages: Mapping[Stage, StageUnits], numbers: Mapping[str, float], position: int | None
) -> Job:
    return Job(
        id=row["id"],
        owner=row["owner"],
        state=JobState(row["state"]),
        stage=Stage(row["stage"]),
        config=DistillConfig.model_validate(row["config"]),
        failure=_failure(row),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        stages=stages,
        figures=numbers,
        priority=list(Priority)[row["priority"]],
        queue_deadline_at=row["queue_deadline_at"],
        timeout_seconds=row["timeout_seconds"],
        expires_at=row["expires_at"],
        queue_position=position,
        labels=row["labels"],
        retried_from=row["retried_from"],
    )


def _failure(row: RowMapping) -> Failure | None:
    if row["state"] == JobState.EXPIRED:
        message = "no worker began the job before its queue deadline; submit it again with a later one"
        return Failure(QueueDeadlineError.code, message, retryable=True)
    if row["failure_code"] is None:
        return None
    stage = row["failure_stage"]
    return Failure(
        row["failure_code"], row["failure_message"], row["failure_retryable"], Stage(stage) if stage else None
    )
