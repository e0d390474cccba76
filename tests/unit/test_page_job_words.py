"""A job in words."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from api.pages.comparing import ABSENT, Difference, differences, do_compare, figures
from api.pages.job_report import ReportFile
from api.pages.job_words import curl, happened, made, request_json, rest_in_words, standing
from api.shapes import show_job
from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.forecasts import Rest
from jobs.options import JobOptions, Priority
from jobs.records import Job, JobEvent, JobState

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def config(**asked: object) -> DistillConfig:
    return DistillConfig.model_validate({"dataset": {"uri": "s3://datasets/it's.zip"}, **asked})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.RUNNING, "Running: train, stage 5 of 7."),
        (JobState.SUCCEEDED, "Done in less than 1 s."),
        (JobState.FAILED, "Failed in stage train, after less than 1 s."),
        (JobState.CANCELLED, "Cancelled after less than 1 s."),
    ],
)
def test_how_a_job_stands_is_one_sentence(state: JobState, words: str) -> None:
    job = Job(
        id="job_1",
        owner="ann",
        state=state,
        stage=Stage.TRAIN,
        config=config(),
        failure=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=None if state is JobState.RUNNING else NOW + timedelta(seconds=0.2),
        stages={},
        figures={},
        priority=Priority.NORMAL,
        queue_deadline_at=None,
        timeout_seconds=None,
        expires_at=None,
        queue_position=None,
        labels={},
        retried_from=None,
    )
    assert standing(show_job(job, NOW)) == words


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (Rest(75, ()), "About 1 min 15 s left."),
        (Rest(0, ()), "Less than 1 s left."),
        (
            Rest(75, (Stage.TRAIN,)),
            "About 1 min 15 s left. Besides, how long train will take is not known: nothing like it has ended here "
            "lately.",
        ),
        (
            Rest(0, (Stage.TRAIN, Stage.PACKAGE)),
            "How long train, package will take is not known: nothing like it has ended here lately.",
        ),
    ],
)
def test_what_is_left_is_said_as_far_as_it_is_known(rest: Rest, words: str) -> None:
    assert rest_in_words(rest) == words


def test_an_event_names_its_unit_and_why() -> None:
    data = {"stage": "train", "index": 1, "of": 4, "attempt": 2, "reason": "stalled"}
    assert happened(JobEvent(1, NOW, "lease_lost", data)).words == "train 2 of 4, attempt 2: broke off: stalled"
    assert happened(JobEvent(1, NOW, "succeeded", {})).words == "succeeded"


def test_the_request_is_the_config_and_what_else_was_asked_for() -> None:
    asked, options = config(images_per_class=[1, 2], seed=5), JobOptions(priority=Priority.HIGH, labels={"team": "a"})
    body = json.loads(request_json(asked, options))
    assert JobOptions.model_validate(body.pop("job")) == options
    assert DistillConfig.model_validate(body) == asked
    assert "job" not in json.loads(request_json(asked, JobOptions()))


def test_the_command_has_no_key_in_it() -> None:
    assert curl("https://ddoq.example/", "config.json").startswith("curl https://ddoq.example/v1/jobs ")
    assert "Bearer $KEY" in curl("https://ddoq.example/", "config.json")


def test_how_it_is_made_is_said_once_it_is_known() -> None:
    assert made(config(images_per_class=[1, 7]), "ipc-7", {})["images per class"].startswith("7; budget ipc-7")
    assert made(config(images_per_class={"a": 2, "b": 5}), "by-class", {})["images per class"] == "2 to 5"
    assert made(config(total_images=9), "total-9", {}) == {}
    known = {"images_per_class.least": 1.0, "images_per_class.most": 3.0}
    assert made(config(total_images=9), "total-9", known)["images per class"].startswith("1 to 3; 9 in all")


def test_only_what_differs_is_listed_by_its_place() -> None:
    other = config(images_per_class=[1, 2], students={"seeds": 5}, output={"resolution": 16})
    assert differences(config(images_per_class=3), config(images_per_class=3)) == ()
    found = {each.path: each for each in differences(config(images_per_class=3), other)}
    assert found["images_per_class"] == Difference("images_per_class", "3", "1, 2")
    assert found["output.resolution"] == Difference("output.resolution", ABSENT, "16")
    assert set(found) == {"images_per_class", "output.resolution", "students.seeds"}


def test_figures_side_by_side_have_words_and_units() -> None:
    one = {"coverage.distilled": 0.985526, "bytes.distilled": 22_146.0, "distilled_images": 100.0, "w2.weighted": 1.0}
    two = {"coverage.distilled": 0.5, "bytes.distilled": 1024.0, "distilled_images": 2000.0, "distortion": 3.0}
    mine, its = (ReportFile("", {}, (), figures=found) for found in (one, two))
    assert [(row.name, row.one, row.other) for row in figures(mine, its)] == [
        ("distilled images", "100", "2,000"),
        ("coverage", "98.6%", "50.0%"),
        ("size of the distilled set", "21.6 KiB", "1 KiB"),
    ]


def test_accuracies_compare_on_the_same_data_by_students_trained_alike() -> None:
    assert do_compare(config(seed=1), config(seed=2, images_per_class=3))
    assert not do_compare(config(), config(students={"steps": 7}))
    assert not do_compare(config(), config(evaluation="full"))
    assert not do_compare(config(), config(dataset={"uri": "s3://datasets/other.zip"}))
