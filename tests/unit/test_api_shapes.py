from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.shapes import show_artifacts, show_events, show_job
from api.views import StageView
from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.prior_config import FitPrior
from ddoq.teacher_config import TrainedTeacher
from jobs.records import Artifact, Failure, Job, JobEvent, JobState, Unit, UnitState

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


UNIT = Unit(1, "job_1", Stage.READ, 0, 1, UnitState.READY, 0, None, 0, 0, None, None)
RUNNING = replace(UNIT, state=UnitState.RUNNING, attempt=1, done=3, total=10, started_at=at(5))
DONE = replace(RUNNING, state=UnitState.DONE, done=10, finished_at=at(9))
CONFIG = DistillConfig.model_validate({"dataset": {"uri": "s3://bucket/a.zip"}})
TEACHER = TrainedTeacher()
JOB = Job("job_1", "ann", JobState.QUEUED, Stage.READ, CONFIG, None, T0, None, None, (UNIT,), {})


def read_stage(job: Job) -> StageView:
    return show_job(job, now=at(20)).stages[0]


def test_a_job_shows_every_stage_in_order() -> None:
    whole = replace(JOB, config=CONFIG.model_copy(update={"prior": FitPrior(), "teacher": TEACHER}))
    assert [view.stage for view in show_job(whole, T0).stages] == list(Stage)
    usual = [stage for stage in Stage if stage not in {Stage.FIT, Stage.TEACH, Stage.LABEL}]
    assert [view.stage for view in show_job(JOB, T0).stages] == usual


@pytest.mark.parametrize(
    ("units", "state", "expected"),
    [
        ((), JobState.RUNNING, "pending"),
        ((UNIT,), JobState.QUEUED, "ready"),
        ((RUNNING,), JobState.RUNNING, "running"),
        ((RUNNING,), JobState.CANCELLING, "running"),
        ((DONE, UNIT), JobState.RUNNING, "running"),
        ((DONE,), JobState.RUNNING, "done"),
        ((DONE,), JobState.FAILED, "done"),
        ((RUNNING,), JobState.FAILED, "stopped"),
        ((UNIT,), JobState.CANCELLED, "stopped"),
    ],
)
def test_a_stage_stands_where_its_units_stand(units: tuple[Unit, ...], state: JobState, expected: str) -> None:
    assert read_stage(replace(JOB, units=units, state=state)).status == expected


def test_a_stage_adds_up_its_units() -> None:
    shown = read_stage(replace(JOB, units=(DONE, replace(RUNNING, attempt=2)), state=JobState.RUNNING))
    assert (shown.done, shown.total, shown.attempts) == (13, 20, 2)


@pytest.mark.parametrize(
    ("units", "finished_at", "expected"),
    [
        ((UNIT,), None, None),
        ((RUNNING,), None, 15),
        ((DONE,), None, 4),
        ((DONE, replace(DONE, started_at=at(1))), None, 8),
        ((RUNNING,), at(12), 7),
        ((replace(RUNNING, state=UnitState.READY, finished_at=at(7)),), None, 15),
    ],
    ids=["not begun", "running", "done", "two units", "job ended in it", "given back"],
)
def test_a_stage_lasts_from_its_first_start_to_its_end(
    units: tuple[Unit, ...], finished_at: datetime | None, expected: float | None
) -> None:
    assert read_stage(replace(JOB, units=units, finished_at=finished_at)).seconds == expected


@pytest.mark.parametrize(
    ("peaks", "expected"), [((None,), None), ((7,), 7), ((7, 9, None), 9)], ids=["not done", "done", "three units"]
)
def test_a_stage_took_the_memory_of_its_largest_unit(peaks: tuple[int | None, ...], expected: int | None) -> None:
    units = tuple(replace(DONE, peak_bytes=peak) for peak in peaks)
    assert read_stage(replace(JOB, units=units)).peak_bytes == expected


def test_a_failed_job_shows_why() -> None:
    failure = Failure("dataset.not_found", "nothing is there", retryable=False, stage=Stage.READ)
    shown = show_job(replace(JOB, state=JobState.FAILED, failure=failure), T0).error
    assert shown is not None
    assert shown.model_dump() == {
        "code": "dataset.not_found",
        "stage": Stage.READ,
        "message": "nothing is there",
        "retryable": False,
    }


def test_a_name_is_quoted_in_its_download_url_but_for_slashes() -> None:
    artifact = Artifact("plots/a b?.svg", "jobs/job_1/k", 1, "00", "image/svg+xml")
    assert show_artifacts("job_1", [artifact]).data[0].download_url == "/v1/jobs/job_1/artifacts/plots/a%20b%3F.svg"


def test_events_say_where_to_go_on() -> None:
    assert show_events([JobEvent(7, T0, "queued", {}), JobEvent(8, T0, "cancelled", {})], 6).next_after == 8


def test_no_events_leave_the_caller_where_it_stood() -> None:
    assert show_events([], 6).next_after == 6
