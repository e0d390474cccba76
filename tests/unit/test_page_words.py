"""What pages say of numbers, moments, jobs and plans."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.pages.plan_words import MOST_CLASSES, tell_plan
from api.pages.rows import images_in_words, show_row
from api.pages.wording import about, moment, sentence, span, when
from api.plan_views import BudgetView, ClassView, DatasetView, EstimateView, PlanView, StagePlanView
from api.shapes import show_job
from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.options import Priority
from jobs.records import Job, JobState, StageUnits

AT = datetime(2026, 1, 31, 9, 5, 59, tzinfo=UTC)
CONFIG = DistillConfig.model_validate({"dataset": {"uri": "s3://datasets/flowers.zip"}, "evaluation": "none"})
JOB = Job(
    id="job_1",
    owner="ann",
    state=JobState.QUEUED,
    stage=Stage.READ,
    config=CONFIG,
    failure=None,
    created_at=AT,
    started_at=None,
    finished_at=None,
    stages={},
    figures={},
    priority=Priority.NORMAL,
    queue_deadline_at=None,
    timeout_seconds=None,
    expires_at=None,
    queue_position=3,
    labels={"b": "2", "a": ""},
    retried_from=None,
)


def units(n_done: int, done: int, total: int) -> StageUnits:
    return StageUnits(
        n_ready=0,
        n_running=1 - n_done,
        n_done=n_done,
        done=done,
        total=total,
        attempts=1,
        started_at=AT,
        finished_at=None,
        peak_bytes=None,
    )


def plan(n_classes: int = 3, seconds: float | None = 90, **rest: object) -> PlanView:
    classes = [ClassView(name=f"c{n}", train=100 + n, test=10, validation=None) for n in range(n_classes)]
    estimate = EstimateView(seconds=seconds, peak_bytes=None, basis="jobs like it")
    return PlanView(
        config=CONFIG,
        dataset=DatasetView(
            format="folders", n_bytes=2_500_000, classes=classes, held_out=True, left_out=[], fingerprint="0"
        ),
        archives=[BudgetView(name="", n_images=30)],
        stages=[StagePlanView(stage=stage, blocks=1, units=1, estimate=estimate) for stage in CONFIG.stages],
        seconds=seconds,
        warnings=[],
        not_checked=[],
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.2, "less than 1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90061, "25 h 01 min"),
    ],
)
def test_a_time_is_said_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_an_estimate_is_rough_however_short_it_is() -> None:
    assert [about(seconds) for seconds in (0, 0.4, 75)] == ["less than 1 s", "less than 1 s", "about 1 min 15 s"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("this is no API key of ours; a key has 38 characters", "This is no API key of ours; a key has 38 characters."),
        ("class 'cat' has 12 training images", "Class 'cat' has 12 training images."),
        ("there is a full stop already.", "There is a full stop already."),
        ("images_per_class names a number twice", "images_per_class names a number twice."),
        ("s3://datasets is not allowed here", "s3://datasets is not allowed here."),
        ("12 bytes came", "12 bytes came."),
        ("damaged: it breaks off", "Damaged: it breaks off."),
    ],
)
def test_what_the_api_says_is_shown_as_a_sentence_and_names_stay_as_they_are(text: str, shown: str) -> None:
    assert sentence(text) == shown


def test_a_moment_is_said_to_the_minute_and_marked_to_the_second() -> None:
    assert when(AT) == "2026-01-31 09:05 UTC"
    assert moment(AT) == "2026-01-31T09:05:59+00:00"


@pytest.mark.parametrize(
    ("per_class", "total", "words"),
    [(10, None, "10"), ((1, 10), None, "1, 10"), ({"a": 1, "b": 2}, None, "by class"), (None, 30, "30 in all")],
)
def test_images_are_counted_as_they_were_asked_for(per_class: object, total: int | None, words: str) -> None:
    assert images_in_words(per_class, total) == words  # type: ignore[arg-type]


def test_a_queued_job_says_its_place() -> None:
    row = show_row(show_job(JOB, AT), {})
    assert row.progress
    assert (row.progress.percent, row.progress.words) == (0, "queued, position 3")
    assert row.labels == (("a", ""), ("b", "2"))


def test_progress_counts_stages_and_the_share_of_the_one_at_hand() -> None:
    stages = {Stage.READ: units(1, 4, 4), Stage.ENCODE: units(0, 5, 10)}
    job = replace(JOB, state=JobState.RUNNING, stage=Stage.ENCODE, stages=stages, queue_position=None, started_at=AT)
    row = show_row(show_job(job, AT + timedelta(seconds=5)), {})
    assert row.progress
    assert row.progress.percent == 100 * 1.5 // len(CONFIG.stages)
    assert row.progress.words == f"encode, 1 of {len(CONFIG.stages)} stages done"


def test_a_job_that_has_ended_has_no_progress() -> None:
    assert show_row(show_job(replace(JOB, state=JobState.FAILED, queue_position=None), AT), {}).progress is None


def test_a_plan_begins_with_what_comes_out_and_when() -> None:
    words = tell_plan(plan())
    assert words.verdict == "30 images would stand for 303 training images, after about 1 min 30 s."
    assert words.dataset == "3 classes, read as folders, 2.38 MiB; 30 test images, held out of the training images."
    assert words.others == ""
    assert dict(words.bases) == {"jobs like it": ", ".join(CONFIG.stages)}


def test_a_plan_of_an_instant_says_so() -> None:
    assert tell_plan(plan(seconds=0.2)).verdict.endswith("after less than 1 s.")


def test_a_plan_whose_time_is_not_known_says_so() -> None:
    assert "a time that is not known yet" in tell_plan(plan(seconds=None)).verdict


def test_a_plan_of_a_thousand_classes_names_some_and_counts_the_others() -> None:
    words = tell_plan(plan(n_classes=1000))
    assert len(words.classes) == MOST_CLASSES
    assert words.others == "980 more classes, with 120 to 1,099 training images each."
