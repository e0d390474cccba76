"""Everything that may happen twice: calls, sweeps, launchers and requests."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from cli.folder import Endpoint, endpoint_file
from cli.servers import Running, free_port, spawn, wait_until_ready
from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.queue import Queue, make_celery
from jobs.settings import Settings
from tests.integration.launch import command, environment
from tests.kill.jobs import Jobs
from tests.kill.outside import Outside
from tests.kill.watching import Service, assert_succeeded, submit, wait, worker_process

N_POSTS = 50


def test_ten_calls_for_one_job_run_each_unit_once(service: Service, jobs: Jobs) -> None:
    config = jobs.quick()
    queue = Queue(make_celery(settings_of(service.outside)))
    job_id = submit(service, config)
    for _ in range(10):
        queue.wake()
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
    assert [unit["attempt"] for unit in service.units(job_id)] == [1] * len(service.units(job_id))
    wait(lambda: service.outside.n_messages() == 0 or None, 30, lambda: "every call to be heard")


def test_two_sweepers_take_a_lost_unit_back_once(service: Service, jobs: Jobs, tmp_path: Path) -> None:
    config = jobs.training()
    with second_api(service.outside, tmp_path):
        job_id = submit(service, config)
        unit = service.until_running(job_id, Stage.TRAIN, n_done=1)
        worker_process(unit).kill()
        assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
    assert service.kinds(job_id).count("lease_lost") == 1
    assert service.n_attempts(job_id, Stage.TRAIN) == len(of_stage(service, job_id)) + 1


def test_a_second_launcher_on_the_folder_is_refused_and_disturbs_no_job(service: Service, jobs: Jobs) -> None:
    config = jobs.training()
    job_id = submit(service, config)
    service.until_running(job_id, Stage.TRAIN)
    given = environment(**service.outside.environment())
    second = subprocess.run(
        command(service.launched.data), capture_output=True, text=True, env=given, check=False, timeout=60
    )
    assert (second.returncode, "another 'ddoq up' is using" in second.stderr) == (1, True)
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
    assert "lease_lost" not in service.kinds(job_id)


def test_fifty_requests_at_once_with_one_idempotency_key_are_one_job(service: Service, jobs: Jobs) -> None:
    config = jobs.quick(evaluation="none")
    key = f"key-{time.time_ns()}"
    with posting(service, key) as http, ThreadPoolExecutor(N_POSTS) as threads:
        answers = list(threads.map(lambda _: post(http, config), range(N_POSTS)))
        refused = post(http, jobs.quick(evaluation="none", images_per_class=3))
    assert {answer.status_code for answer in answers} == {202}
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers) == N_POSTS - 1
    assert refused.status_code == 422
    assert_succeeded(service, job_id, jobs.sha256_undisturbed(config))
    assert len(service.outside.rows("SELECT id FROM jobs WHERE idempotency_key = %s", key)) == 1


def post(http: httpx.Client, config: DistillConfig) -> httpx.Response:
    return http.post("/v1/jobs", content=config.model_dump_json(), headers={"Content-Type": "application/json"})


@contextmanager
def posting(service: Service, key: str) -> Iterator[httpx.Client]:
    """Open a client that sends the same idempotency key with every request."""
    endpoint = Endpoint.model_validate_json(endpoint_file(service.launched.data).read_text())
    headers = {"Authorization": f"Bearer {endpoint.key_file.read_text().strip()}", "Idempotency-Key": key}
    limits = httpx.Limits(max_connections=N_POSTS)
    with httpx.Client(base_url=endpoint.url, headers=headers, timeout=60, limits=limits) as http:
        yield http


@contextmanager
def second_api(servers: Outside, folder: Path) -> Iterator[None]:
    """Run another API process, which sweeps too, beside the one of `ddoq up`."""
    port, log = free_port(), folder / "api.log"
    options = ("api.app:create_app", "--factory", "--host", "127.0.0.1", "--port", str(port))
    given = environment(**servers.environment())
    running = Running("api", "", spawn([sys.executable, "-m", "uvicorn", *options], log, env=given), log)
    try:
        yield wait_until_ready(running, lambda: is_ready(port))
    finally:
        running.stop()


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).is_success
    except httpx.TransportError:
        return False


def settings_of(servers: Outside) -> Settings:
    given = {name.removeprefix("DDOQ_").lower(): value for name, value in servers.environment().items()}
    return Settings.model_validate({**given, "s3_secret_key": SecretStr(given["s3_secret_key"])})


def of_stage(service: Service, job_id: str) -> list[dict[str, object]]:
    return [unit for unit in service.units(job_id) if unit["stage"] == Stage.TRAIN]
