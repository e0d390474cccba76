"""Real processes, real signals: what happens to a job whose worker dies, drains or is told to stop."""

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from diffusers import AutoencoderKL

from cli.client import Client, Job
from ddoq.config import DistillConfig
from ddoq.distill import distill
from ddoq.events import Stage
from tests.integration.launch import Launched, launch
from tests.pictures import access_to, members, write_zip

STUDENTS = {"seeds": 1, "steps": 1500, "width": 8, "batch_size": 8}  # some seconds of training
BATCH = 4


def config(uri: str, **changes: object) -> DistillConfig:
    body = {"dataset": {"uri": uri}, "images_per_class": 2, "students": STUDENTS, **changes}
    return DistillConfig.model_validate(body)


def until(client: Client, job_id: str, holds: Callable[[Job], bool], seconds: float = 60) -> Job:
    """Look at a job until something holds."""
    deadline = time.monotonic() + seconds
    while not holds(job := client.get(job_id)):
        assert not job.has_ended, f"the job {job.status}: {job.error}"
        assert time.monotonic() < deadline, f"after {seconds} s the job is {job}"
        time.sleep(0.05)
    return job


def progress(job: Job, stage: Stage) -> int:
    """Pieces of a stage that are done; 0 before it begins."""
    return next((found.done for found in job.stages if found.stage is stage), 0)


def kinds(client: Client, job_id: str) -> list[str]:
    return [event.kind for event in client.events(job_id)]


def attempts(client: Client, job_id: str, stage: Stage) -> int:
    events = [event for event in client.events(job_id) if event.kind == "unit_started"]
    return sum(event.data["stage"] == stage for event in events)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def service(server_folder: Path, tmp_path: Path) -> Iterator[tuple[Launched, Client]]:
    with (
        launch(server_folder, "--root", str(tmp_path), DDOQ_MODELS=str(tmp_path)) as launched,
        launched.client() as client,
    ):
        yield launched, client


@pytest.fixture
def training(service: tuple[Launched, Client], tmp_path: Path) -> tuple[Launched, Client, DistillConfig, str]:
    """A job in the middle of its train stage."""
    launched, client = service
    body = config(write_zip(tmp_path / "data.zip", members()), prior={"kind": "pixels", "resolution": 16})
    job = client.submit(body)
    until(client, job.id, lambda job: progress(job, Stage.TRAIN) > 0)
    return launched, client, body, job.id


@pytest.fixture
def slow_prior(tmp_path: Path) -> dict[str, object]:
    """An autoencoder that takes a good part of a second for each batch."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
        AutoencoderKL(**blocks, block_out_channels=(32, 32), norm_num_groups=8).save_pretrained(tmp_path / "vae")
    return {"kind": "vae", "model": str(tmp_path / "vae"), "resolution": 128, "batch_size": BATCH}


def test_a_job_whose_worker_is_killed_succeeds_once_by_a_second_attempt(training, tmp_path):
    launched, client, body, job_id = training
    worker = launched.worker()
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()
    killed = time.monotonic()
    job = until(client, job_id, lambda job: job.has_ended, seconds=90)
    assert job.status == "succeeded", job.error
    assert time.monotonic() - killed < 90
    assert attempts(client, job_id, Stage.TRAIN) == 2
    assert (kinds(client, job_id).count("lease_lost"), kinds(client, job_id).count("succeeded")) == (1, 1)
    (archive,) = (found for found in client.artifacts(job_id) if found.name == "archive.zip")
    (undisturbed,) = distill(body, tmp_path / "undisturbed", access_to(tmp_path))
    assert archive.sha256 == sha256(undisturbed)
    assert eventually_stored(launched, job_id) == {f"package/0/1/{found.name}" for found in client.artifacts(job_id)}


def test_a_worker_that_is_told_to_stop_gives_its_unit_back_uncharged(training):
    launched, client, _, job_id = training
    worker = launched.worker()
    worker.terminate()
    psutil.wait_procs([worker], timeout=20)
    assert kinds(client, job_id)[-1] in ("drained", "unit_started")
    assert until(client, job_id, lambda job: job.has_ended).status == "succeeded"
    assert "drained" in kinds(client, job_id)


def test_a_cancelled_job_stops_within_one_batch_and_is_cancelling_until_then(service, slow_prior, tmp_path):
    _, client = service
    uri = write_zip(tmp_path / "data.zip", members(n_train=60))
    job = client.submit(config(uri, prior=slow_prior))
    until(client, job.id, lambda job: progress(job, Stage.ENCODE) >= BATCH)
    ordered = client.cancel(job.id)
    assert ordered.status == "cancelling"
    stopped = until(client, job.id, lambda job: job.status != "cancelling")
    assert stopped.status == "cancelled"
    assert progress(stopped, Stage.ENCODE) <= progress(ordered, Stage.ENCODE) + BATCH


def test_a_paused_worker_that_lost_its_unit_changes_nothing_when_it_wakes(server_folder, tmp_path):
    short = {"DDOQ_LEASE_SECONDS": "3", "DDOQ_HEARTBEAT_SECONDS": "1", "DDOQ_SWEEP_SECONDS": "1"}
    with (
        launch(server_folder, "--root", str(tmp_path), "--workers", "2", **short) as launched,
        launched.client() as client,
    ):
        uri = write_zip(tmp_path / "data.zip", members())
        job = client.submit(config(uri, prior={"kind": "pixels", "resolution": 16}))
        until(client, job.id, lambda job: progress(job, Stage.TRAIN) > 0)
        (paused,) = (child for child in launched.family() if child.pid == busy_pid(client, job.id))
        os.kill(paused.pid, signal.SIGSTOP)
        try:
            until(client, job.id, lambda job: job.has_ended, seconds=90)
            before = (client.get(job.id), client.events(job.id), client.artifacts(job.id))
        finally:
            os.kill(paused.pid, signal.SIGCONT)
        time.sleep(3)
        assert (client.get(job.id), client.events(job.id), client.artifacts(job.id)) == before
        assert before[0].status == "succeeded"


def busy_pid(client: Client, job_id: str) -> int:
    """The process that works on a job; workers are named by host and process."""
    started = [event for event in client.events(job_id) if event.kind == "unit_started"]
    return int(str(started[-1].data["worker"]).rpartition("-")[2])


def eventually_stored(launched: Launched, job_id: str) -> set[str]:
    """What the object store holds of a job once the sweep has been round: the store's files lie in a folder."""
    folder = launched.data / "s3" / "buckets" / "ddoq" / "jobs" / job_id
    deadline = time.monotonic() + 20
    while (stored := names(folder)) and any(not name.startswith("package/") for name in stored):
        assert time.monotonic() < deadline, sorted(stored)
        time.sleep(0.2)
    return stored


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
