from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.shapes import show_artifacts, show_events, show_job, tag_of
from api.views import StageView
from ddoq.config import DistillConfig
from ddoq.errors import DatasetNotFoundError
from ddoq.events import Stage
from ddoq.prior_config import FitPrior
from ddoq.teacher_config import TrainedTeacher
from jobs.options import Priority
from jobs.records import Artifact, Failure, Job, JobEvent, JobState, StageUnits

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


READY = StageUnits(1, 0, 0, 0, 0, attempts=0, started_at=None, finished_at=None, peak_bytes=None)
RUNNING = StageUnits(0, 1, 0, 3, 10, attempts=1, started_at=at(5), finished_at=None, peak_bytes=None)
DONE = StageUnits(0, 0, 1, 10, 10, attempts=1, started_at=at(5), finished_at=at(9), peak_bytes=7)
GIVEN_BACK = replace(RUNNING, n_ready=1, n_running=0)
HALF_DONE = replace(RUNNING, n_ready=2, n_running=0, n_done=2)
CONFIG = DistillConfig.model_validate({"dataset": {"uri": "s3://bucket/a.zip"}})
TEACHER = TrainedTeacher()
JOB = Job(
    id="job_1",
    owner="ann",
    state=JobState.QUEUED,
    stage=Stage.READ,
    config=CONFIG,
    failure=None,
    created_at=T0,
    started_at=None,
    finished_at=None,
    stages={Stage.READ: READY},
    figures={},
    priority=Priority.HIGH,
    queue_deadline_at=at(60),
    timeout_seconds=90,
    expires_at=None,
    queue_position=4,
    labels={"team": "vision"},
    retried_from=None,
)


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
        (None, JobState.RUNNING, "pending"),
        (READY, JobState.QUEUED, "ready"),
        (GIVEN_BACK, JobState.QUEUED, "ready"),
        (RUNNING, JobState.RUNNING, "running"),
        (RUNNING, JobState.CANCELLING, "running"),
        (HALF_DONE, JobState.RUNNING, "running"),
        (DONE, JobState.RUNNING, "done"),
        (DONE, JobState.FAILED, "done"),
        (RUNNING, JobState.FAILED, "stopped"),
        (READY, JobState.CANCELLED, "stopped"),
        (READY, JobState.EXPIRED, "stopped"),
    ],
)
def test_a_stage_stands_where_its_units_stand(units: StageUnits | None, state: JobState, expected: str) -> None:
    assert read_stage(replace(JOB, stages={Stage.READ: units} if units else {}, state=state)).status == expected


def test_a_stage_shows_how_far_its_units_are() -> None:
    shown = read_stage(replace(JOB, stages={Stage.READ: replace(HALF_DONE, attempts=2, peak_bytes=9)}))
    assert shown.units.model_dump() == {"ready": 2, "running": 0, "done": 2}
    assert (shown.done, shown.total, shown.attempts, shown.peak_bytes) == (3, 10, 2, 9)


@pytest.mark.parametrize(
    ("units", "finished_at", "expected"),
    [
        (READY, None, None),
        (RUNNING, None, 15),
        (DONE, None, 4),
        (RUNNING, at(12), 7),
        (GIVEN_BACK, None, 15),
    ],
    ids=["not begun", "running", "done", "job ended in it", "given back"],
)
def test_a_stage_lasts_from_its_first_start_to_its_end(
    units: StageUnits, finished_at: datetime | None, expected: float | None
) -> None:
    assert read_stage(replace(JOB, stages={Stage.READ: units}, finished_at=finished_at)).seconds == expected


def tag_at(moment: datetime, units: StageUnits, state: JobState = JobState.RUNNING) -> str:
    view = show_job(replace(JOB, stages={Stage.READ: units}, state=state), moment)
    return tag_of(view, view.model_dump_json().encode())


@pytest.mark.parametrize("units", [READY, RUNNING, HALF_DONE, GIVEN_BACK, DONE])
def test_the_passing_of_time_changes_no_tag(units: StageUnits) -> None:
    assert tag_at(at(20), units) == tag_at(at(21.5), units)


def test_whatever_else_happens_changes_the_tag() -> None:
    took_longer = replace(DONE, finished_at=at(10))
    tags = [tag_at(at(20), units) for units in (READY, RUNNING, HALF_DONE, GIVEN_BACK, DONE, took_longer)]
    tags.append(tag_at(at(20), RUNNING, JobState.CANCELLING))
    assert len(set(tags)) == len(tags)


def test_a_job_shows_how_it_is_to_be_run_and_where_it_stands_in_line() -> None:
    shown = show_job(JOB, T0)
    assert (shown.priority, shown.queue_deadline_at, shown.timeout_s) == ("high", at(60), 90)
    assert shown.queue_position == 4


def test_a_failed_job_shows_why() -> None:
    failure = Failure("dataset.not_found", "nothing is there", retryable=False, stage=Stage.READ)
    shown = show_job(replace(JOB, state=JobState.FAILED, failure=failure), T0).error
    assert shown is not None
    assert shown.model_dump() == {
        "code": "dataset.not_found",
        "stage": Stage.READ,
        "message": "nothing is there",
        "hint": DatasetNotFoundError.hint,
        "retryable": False,
    }


def test_a_name_is_quoted_in_its_download_url_but_for_slashes() -> None:
    artifact = Artifact("plots/a b?.svg", "jobs/job_1/k", 1, "00", "image/svg+xml")
    shown = show_artifacts("job_1", [artifact], None).data[0]
    assert shown.download_url == "/v1/jobs/job_1/artifacts/plots/a%20b%3F.svg"


def test_events_say_where_to_go_on() -> None:
    assert show_events([JobEvent(7, T0, "queued", {}), JobEvent(8, T0, "cancelled", {})], 6).next_after == 8


def test_no_events_leave_the_caller_where_it_stood() -> None:
    assert show_events([], 6).next_after == 6
