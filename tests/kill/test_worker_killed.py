"""Real processes, real signals: what happens to a job whose worker dies in each of its stages, or sleeps."""

import time

import pytest

from ddoq.events import Stage
from tests.faults import Slow
from tests.kill.jobs import Jobs
from tests.kill.watching import (
    Service,
    asleep,
    assert_succeeded,
    assert_whole,
    parent_of,
    submit,
    wait,
    worker_process,
)

SLOW_STORE = Slow(0.15)  # makes the shortest stage long enough to be caught in it
FREE_SECONDS = 60  # only so that the test ends: a lease and a sweep are 4


@pytest.mark.parametrize("victim", ["child", "parent"])
def test_a_job_whose_worker_is_killed_in_every_stage_succeeds_once(service: Service, jobs: Jobs, victim: str) -> None:
    config = jobs.of_all_stages()
    with service.outside.proxy.spoiling(SLOW_STORE):
        job_id = submit(service, config)
        for stage in config.stages:
            unit = service.until_running(job_id, stage)
            working = worker_process(unit)
            (working if victim == "child" else parent_of(working)).kill()
            wait_until_free(service, unit)
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
    for stage in config.stages:
        assert service.n_attempts(job_id, stage) >= 2, stage
    lost = [event["data"]["reason"] for event in service.events(job_id) if event["kind"] == "lease_lost"]
    if victim == "child":
        assert any("its process was killed" in reason for reason in lost), lost
    else:
        assert len(lost) >= len(config.stages), lost


def test_a_worker_that_sleeps_past_its_lease_changes_nothing_when_it_wakes(service: Service, jobs: Jobs) -> None:
    config = jobs.training()
    job_id = submit(service, config)
    unit = service.until_running(job_id, Stage.TRAIN, n_done=1)
    with asleep([worker_process(unit)]):
        assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
        before = told(service, job_id)
    time.sleep(3)
    assert told(service, job_id) == before
    assert_whole(service, job_id)


def told(service: Service, job_id: str) -> tuple[object, ...]:
    """Everything that is known of a job."""
    return (service.job(job_id), service.units(job_id), service.events(job_id), service.client.artifacts(job_id))


def wait_until_free(service: Service, lost: dict[str, object]) -> None:
    """Wait until a unit is no longer its dead worker's."""
    query = "SELECT * FROM units WHERE id = %s AND lease_token = %s"

    def look() -> bool | None:
        return None if service.outside.rows(query, lost["id"], lost["lease_token"]) else True

    wait(look, FREE_SECONDS, lambda: f"{lost} to be free")
