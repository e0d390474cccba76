"""What is left of a job that runs, by its own pace and by what jobs like it took."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from ddoq.events import Stage
from jobs.forecasts import forecast_rest
from jobs.leases import Leases
from jobs.records import Job, StageUnits
from jobs.store import Store
from tests.job_steps import CONFIG, reach, succeed

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def at(done: int, total: int, seconds: float) -> StageUnits:
    """A stage that was begun so many seconds ago."""
    return StageUnits(0, 1, 0, done, total, 1, NOW - timedelta(seconds=seconds), None, None)


def ended() -> StageUnits:
    return replace(at(5, 5, 60), n_running=0, n_done=1, finished_at=NOW)


@pytest.fixture
def job(store: Store, leases: Leases) -> Job:
    return store.get("ada", reach(store, leases, Stage.READ).job_id)


def last_stages(job: Job, stages: dict[Stage, StageUnits]) -> Job:
    """Let all stages have ended but those that are named."""
    return replace(job, stages={stage: stages.get(stage, ended()) for stage in job.config.stages})


def test_a_stage_goes_on_at_its_pace(engine: Engine, job: Job) -> None:
    rest = forecast_rest(engine, last_stages(job, {Stage.TRAIN: at(25, 100, 30)}), NOW)
    assert (rest.seconds, rest.unknown) == (90, ())


def test_stages_that_nobody_knows_of_are_named(engine: Engine, job: Job) -> None:
    running = {Stage.TRAIN: at(0, 100, 30), Stage.EVALUATE: at(1, 2, 4)}
    rest = forecast_rest(engine, last_stages(job, running), NOW)
    assert (rest.seconds, rest.unknown) == (4, (Stage.TRAIN,))


def test_stages_to_come_take_what_they_took(engine: Engine, store: Store, leases: Leases) -> None:
    before = succeed(store, leases)
    took = "UPDATE units SET started_at = finished_at - interval '40 seconds' WHERE job_id = :id AND stage = 'package'"
    with engine.begin() as connection:
        connection.execute(text(took), {"id": before.id})
    job = store.get("ada", reach(store, leases, Stage.READ).job_id)
    stages = {stage: ended() for stage in CONFIG.stages if stage is not Stage.PACKAGE}
    rest = forecast_rest(engine, replace(job, stages=stages), NOW)
    assert (rest.seconds, rest.unknown) == (pytest.approx(40), ())
