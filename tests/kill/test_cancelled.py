"""Cancelling a job in each of its stages and states, twice, and when it is all but done."""

import time

import pytest

from cli.client import ClientError
from ddoq.events import Stage
from tests.faults import Slow
from tests.kill.jobs import BATCH, Jobs
from tests.kill.watching import Service, archive_sha256, asleep, assert_whole, submit, workers

ALREADY_ENDED = "job.ended"


def test_a_job_that_waits_is_cancelled_at_once(service: Service, jobs: Jobs) -> None:
    family = [process for worker in workers(service) for process in (worker, *worker.children(recursive=True))]
    with asleep(family):
        job_id = submit(service, jobs.quick())
        assert service.client.cancel(job_id).status == "cancelled"
    time.sleep(2)  # whoever hears the call now finds nothing to do
    assert service.kinds(job_id) == ["queued", "cancelled"]
    assert_whole(service, job_id)


def test_a_job_is_cancelled_in_whichever_stage_it_is(service: Service, jobs: Jobs) -> None:
    config = jobs.of_all_stages()
    with service.outside.proxy.spoiling(Slow(0.15)):
        waiting = {stage: submit(service, config) for stage in config.stages}
        for stage, job_id in waiting.items():
            service.until_running(job_id, stage, seconds=120)
            first, second = service.client.cancel(job_id), service.client.cancel(job_id)
            assert first.status in ("cancelling", "cancelled")
            assert second.status in (first.status, "cancelled")
    for job_id in waiting.values():
        assert_ended_as_asked(service, job_id, jobs.sha256_undisturbed(config))


def test_a_cancelled_job_stops_within_one_batch(service: Service, jobs: Jobs) -> None:
    job_id = submit(service, jobs.encoding("cancelled"))
    service.until_running(job_id, Stage.ENCODE, n_done=BATCH)
    assert service.client.cancel(job_id).status == "cancelling"
    (before,) = (unit["done"] for unit in service.units(job_id) if unit["stage"] == Stage.ENCODE)
    assert service.until_ended(job_id).status == "cancelled"
    (after,) = (unit["done"] for unit in service.units(job_id) if unit["stage"] == Stage.ENCODE)
    assert after <= before + 2 * BATCH  # one under way when it was asked, one when it was looked at
    assert_whole(service, job_id)


def test_a_job_whose_worker_died_while_it_was_being_cancelled_is_cancelled(service: Service, jobs: Jobs) -> None:
    job_id = submit(service, jobs.encoding("cancelled and killed"))
    service.until_running(job_id, Stage.ENCODE, n_done=BATCH)
    with asleep([process for worker in workers(service) for process in worker.children()]):
        assert service.client.cancel(job_id).status == "cancelling"
        assert service.until_ended(job_id, seconds=30).status == "cancelled"
    assert_whole(service, job_id)


def assert_ended_as_asked(service: Service, job_id: str, sha256: str) -> None:
    """Cancelled, with nothing kept; or, when its last unit was faster than the order, succeeded as ever."""
    status = service.until_ended(job_id).status
    assert_whole(service, job_id)
    if status == "succeeded":
        assert archive_sha256(service, job_id) == sha256
        with pytest.raises(ClientError, match=ALREADY_ENDED):
            service.client.cancel(job_id)
    else:
        assert status == "cancelled"
        assert not service.outside.stored(job_id)
