"""Cancelling a job in each of its stages and states, twice, and when it is all but done."""

import time
from collections.abc import Mapping

import psutil
import pytest

from ddoq.events import Stage
from ddoq_client import ServiceError
from tests.faults import Slow
from tests.kill.jobs import BATCH, Jobs
from tests.kill.watching import Service, archive_sha256, asleep, assert_whole, submit, wait, workers

ALREADY_ENDED = "job.ended"


def test_a_job_that_waits_is_cancelled_at_once(service: Service, jobs: Jobs) -> None:
    with asleep(family_of_workers(service)):
        job_id = submit(service, jobs.quick())
        assert service.client.cancel(job_id).status == "cancelled"
    time.sleep(2)  # whoever hears the call now finds nothing to do
    assert service.kinds(job_id) == ["queued", "cancelled"]
    assert_whole(service, job_id)


def test_a_job_is_cancelled_in_whichever_stage_it_is(service: Service, jobs: Jobs) -> None:
    config = jobs.of_all_stages()
    with asleep(family_of_workers(service)):
        job_ids = {submit(service, config): stage for stage in config.stages}
    with service.outside.proxy.spoiling(Slow(0.15)):
        cancel_each_in(service, job_ids)
    for job_id in job_ids:
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


def family_of_workers(service: Service) -> list[psutil.Process]:
    return [process for worker in workers(service) for process in (worker, *worker.children(recursive=True))]


def cancel_each_in(service: Service, job_ids: Mapping[str, Stage]) -> None:
    """Cancel each job twice, as soon as somebody works on its stage."""
    left = dict(job_ids)

    def look() -> bool | None:
        for unit in service.outside.rows("SELECT job_id, stage FROM units WHERE state = 'running'"):
            if left.get(unit["job_id"]) == unit["stage"]:
                del left[unit["job_id"]]
                cancel_twice(service, unit["job_id"])
        return None if left else True

    wait(look, 240, lambda: f"{left} to be reached")


def cancel_twice(service: Service, job_id: str) -> None:
    """Cancel a job, and once more; refused where it ended by itself between our look and our call."""
    try:
        first, second = service.client.cancel(job_id), service.client.cancel(job_id)
    except ServiceError as error:
        if ALREADY_ENDED not in str(error):
            raise
        return
    assert first.status in ("cancelling", "cancelled")
    assert second.status in (first.status, "cancelled")


def assert_ended_as_asked(service: Service, job_id: str, sha256: tuple[str, ...]) -> None:
    """Cancelled, with nothing kept; or, when its last unit was faster than the order, succeeded as ever."""
    status = service.until_ended(job_id).status
    assert_whole(service, job_id)
    if status == "succeeded":
        assert archive_sha256(service, job_id) == sha256
        with pytest.raises(ServiceError, match=ALREADY_ENDED):
            service.client.cancel(job_id)
    else:
        assert status == "cancelled"
        assert not service.outside.stored(job_id)
