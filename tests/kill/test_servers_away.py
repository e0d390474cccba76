"""Jobs while the database, the broker or the object store is away, slow, or wrong, and back again."""

import time
from collections.abc import Callable

import pytest

from ddoq.events import Stage
from tests.faults import Cutting, Failing, Fault, Refusing, Slow
from tests.kill.jobs import Jobs
from tests.kill.outside import Outside
from tests.kill.watching import Service, archive_sha256, assert_succeeded, assert_whole, submit

N_QUEUED = 20


@pytest.mark.parametrize("end", [Outside.stop_postgres, Outside.kill_postgres])
def test_a_job_outlives_a_restart_of_the_database(service: Service, jobs: Jobs, end: Callable[[Outside], None]) -> None:
    config = jobs.training()
    job_id = submit(service, config)
    service.until_running(job_id, Stage.TRAIN, n_done=1)
    end(service.outside)
    time.sleep(1)
    service.outside.start_postgres()
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))


def test_queued_jobs_outlive_a_broker_that_comes_back_empty(service: Service, jobs: Jobs) -> None:
    config = jobs.quick(evaluation="none")
    queued = [submit(service, config) for _ in range(N_QUEUED)]
    with service.outside.without_broker():
        time.sleep(1)
    for job_id in queued:
        assert service.until_ended(job_id).status == "succeeded"
        assert archive_sha256(service, job_id) == jobs.sha256_undisturbed(config)
    for job_id in queued:
        assert_whole(service, job_id)
        assert service.kinds(job_id).count("unit_started") == len(service.units(job_id))


def test_a_job_that_is_submitted_while_the_broker_is_down_runs_when_it_is_back(service: Service, jobs: Jobs) -> None:
    config = jobs.quick()
    with service.outside.without_broker():
        job_id = submit(service, config)
        assert service.client.job(job_id).status == "queued"
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))


@pytest.mark.parametrize(
    "fault",
    [Slow(delay_seconds=0.3), Slow(bytes_per_second=100_000), Failing(every=3), Cutting(after_bytes=100, every=4)],
    ids=["late", "trickling", "every third answers 500", "every fourth is cut"],
)
def test_a_job_succeeds_over_an_object_store_that_is(service: Service, jobs: Jobs, fault: Fault) -> None:
    config = jobs.labelled()
    with service.outside.proxy.spoiling(fault):
        job_id = submit(service, config)
        assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))


def test_a_job_outlives_seconds_without_an_object_store(service: Service, jobs: Jobs) -> None:
    config = jobs.quick()
    with service.outside.proxy.spoiling(Slow(0.15)):
        job_id = submit(service, config)
        service.until_running(job_id, Stage.ENCODE)
    with service.outside.proxy.spoiling(Refusing()):
        time.sleep(4)
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
