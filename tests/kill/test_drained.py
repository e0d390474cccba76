"""Workers that are told to stop in the middle of a stage: the unit goes back uncharged, with what was finished."""

from ddoq.events import Stage
from tests.kill.jobs import BATCH, Jobs
from tests.kill.watching import Service, assert_succeeded, parent_of, submit, worker_process

DRAINED_IN = (Stage.ENCODE, Stage.GENERATE)


def test_a_job_whose_worker_is_drained_while_encoding_and_generating_succeeds_uncharged(
    service: Service, jobs: Jobs
) -> None:
    config = jobs.encoding("drained")
    job_id = submit(service, config)
    drained = []
    for stage in DRAINED_IN:
        unit = service.until_running(job_id, stage, n_done=BATCH)
        worker = parent_of(worker_process(unit))
        worker.terminate()
        worker.wait(60)
        drained.append(unit["id"])
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
    assert service.kinds(job_id).count("drained") == len(DRAINED_IN)
    assert "lease_lost" not in service.kinds(job_id)
    assert [(unit["attempt"], unit["crashes"]) for unit in service.units(job_id) if unit["id"] in drained] == [
        (2, 0),
        (2, 0),
    ]


def test_what_a_drained_worker_had_finished_is_not_done_again(lone: Service, jobs: Jobs) -> None:
    budgets = [5, 6, 7]  # images of each of two classes; each budget is a block
    config = jobs.encoding("kept", images_per_class=budgets)
    job_id = submit(lone, config)
    unit = lone.until_running(job_id, Stage.GENERATE, n_done=2 * budgets[0] + 1)
    worker = parent_of(worker_process(unit))
    worker.terminate()
    worker.wait(60)
    resumed = lone.until_running(job_id, Stage.GENERATE, n_done=1, attempt=2)
    assert resumed["done"] >= 2 * budgets[0]
    assert_succeeded(lone, job_id, jobs.sha256_undisturbed(config))
