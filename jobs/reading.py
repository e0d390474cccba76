"""Rows to records: jobs as their owners see them. What a stage's units add up to is added up by the database."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, ScalarSelect, Select, bindparam, func, select

from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.errors import QueueDeadlineError
from jobs.options import Priority
from jobs.positions import Line, Waiting
from jobs.records import Failure, Job, JobState, StageUnits, UnitState, Version
from jobs.tables import figures, jobs, units


def read_job(connection: Connection, job_id: str, line: Line) -> Job:
    """Read one job that exists."""
    return read_jobs(connection, _BY_ID, line, {"named": job_id})[0]


def read_jobs(connection: Connection, query: Select[Any], line: Line, values: Mapping[str, Any]) -> list[Job]:
    """Read the jobs that a query for the columns of `JOB` finds, in its order.

    Such a query is long: made once, with parameters for its values, it costs half as much each time.
    """
    rows = connection.execute(query, values).mappings().all()
    waiting = [Waiting(row["id"], row["owner"], row["priority"]) for row in rows if row["state"] == JobState.QUEUED]
    positions = line.positions(connection, waiting)
    return [
        _job(row, _CONFIG(row["config"]), _stages(row["sums"]), _figures(row["figures"]), positions.get(row["id"]))
        for row in rows
    ]


def read_version(row: Row[Any]) -> Version:
    """Read what a query for the columns of `VERSION` finds."""
    return Version(row.id, JobState(row.state), row.n_events, row.expires_at)


def _sums_of_units() -> ScalarSelect[Any]:
    """Add up the units of each stage of a job, as one JSON value: a job is read by one statement."""
    counted = {f"n_{state}": func.count().filter(units.c.state == state) for state in UnitState}
    sums = select(
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
    by_stage = sums.where(units.c.job_id == jobs.c.id).group_by(units.c.stage).correlate(jobs).subquery("by_stage")
    return select(func.json_agg(by_stage.table_valued())).scalar_subquery()


def _figures_by_name() -> ScalarSelect[Any]:
    pairs = func.json_object_agg(figures.c.name, figures.c.value)
    return select(pairs).where(figures.c.job_id == jobs.c.id).correlate(jobs).scalar_subquery()


JOB = (*jobs.c, _sums_of_units().label("sums"), _figures_by_name().label("figures"))
"""What `read_jobs` needs of each job."""
VERSION = (jobs.c.id, jobs.c.state, jobs.c.n_events, jobs.c.expires_at)
"""What `read_version` needs of each job."""

_BY_ID = select(*JOB).where(jobs.c.id == bindparam("named"))
_CONFIG = DistillConfig.model_validate


def _stages(sums: list[dict[str, Any]] | None) -> Mapping[Stage, StageUnits]:
    return {Stage(row["stage"]): _stage_units(row) for row in sums or ()}


def _stage_units(row: Mapping[str, Any]) -> StageUnits:
    n_units = row["n_ready"] + row["n_running"] + row["n_done"]
    n_told = row["n_told"]
    return StageUnits(
        n_ready=row["n_ready"],
        n_running=row["n_running"],
        n_done=row["n_done"],
        done=row["done"],
        total=extrapolate(row["total"], n_units, n_told),
        attempts=row["attempts"],
        started_at=_moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]) if row["n_done"] == n_units else None,
        peak_bytes=row["peak_bytes"],
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _figures(values: Mapping[str, float | str] | None) -> Mapping[str, float]:
    """Read numbers by name; JSON has those that are no numbers as text."""
    return {name: float(value) for name, value in sorted((values or {}).items())}


def extrapolate(total: int, n_units: int, n_told: int) -> int:
    """Say what all units make when `n_told` of them make `total`: they are alike, so those speak for all."""
    return -(-total * n_units // n_told) if n_told else 0


def _job(
    row: RowMapping,
    config: DistillConfig,
    stages: Mapping[Stage, StageUnits],
    numbers: Mapping[str, float],
    position: int | None,
) -> Job:
    return Job(
        id=row["id"],
        owner=row["owner"],
        state=JobState(row["state"]),
        stage=Stage(row["stage"]),
        config=config,
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
