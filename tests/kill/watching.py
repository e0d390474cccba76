"""Looking at a service from outside: waiting for something, finding who works, and what must hold at the end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import psutil

from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq_client import Client, Job, ServiceError
from tests.integration.launch import Launched, launch
from tests.kill.outside import Outside

LAST_WORDS = ("succeeded", "failed", "cancelled", "expired")
CLEAN_SECONDS = 30

T = TypeVar("T")


@dataclass(frozen=True)
class Service:
    """A running `ddoq up` over servers that a test may break."""

    launched: Launched
    client: Client
    outside: Outside

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job's row."""
        (row,) = self.outside.rows("SELECT * FROM jobs WHERE id = %s", job_id)
        return row

    def units(self, job_id: str) -> list[dict[str, Any]]:
        """Read the rows of a job's units, in their order."""
        return self.outside.rows('SELECT * FROM units WHERE job_id = %s ORDER BY id, "index"', job_id)

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """Read all that happened to a job."""
        return self.outside.rows("SELECT * FROM events WHERE job_id = %s ORDER BY sequence", job_id)

    def kinds(self, job_id: str) -> list[str]:
        return [event["kind"] for event in self.events(job_id)]

    def running(self, job_id: str, stage: Stage) -> dict[str, Any] | None:
        """Read the first unit of a stage that somebody works on."""
        found = (unit for unit in self.units(job_id) if unit["stage"] == stage and unit["state"] == "running")
        return next(found, None)

    def until_running(
        self, job_id: str, stage: Stage, n_done: int = 0, attempt: int = 1, seconds: float = 120
    ) -> dict[str, Any]:
        """Wait until somebody works on a stage, by this attempt at least, and has reported `n_done` pieces."""

        def look() -> dict[str, Any] | None:
            unit = self.running(job_id, stage)
            return unit if unit and unit["done"] >= n_done and unit["attempt"] >= attempt else None

        return wait(look, seconds, lambda: f"{job_id} to be in {stage}: {self.kinds(job_id)}")

    def until_ended(self, job_id: str, seconds: float = 120) -> Job:
        """Wait for the end of a job; a service that does not answer meanwhile is asked again."""
        job: list[Job] = []

        def look() -> Job | None:
            try:
                job[:] = [self.client.job(job_id)]
            except ServiceError:
                return None
            return job[0] if job[0].has_ended else None

        return wait(look, seconds, lambda: f"{job_id} to end: {job or 'no answer'}", pause_seconds=0.2)

    def n_attempts(self, job_id: str, stage: Stage) -> int:
        started = [event for event in self.events(job_id) if event["kind"] == "unit_started"]
        return sum(event["data"]["stage"] == stage for event in started)


def wait(look: Callable[[], T | None], seconds: float, what: Callable[[], str], pause_seconds: float = 0.03) -> T:
    """Look again and again until there is something to see."""
    deadline = time.monotonic() + seconds
    while (seen := look()) is None:
        assert time.monotonic() < deadline, f"waited {seconds} s for {what()}"
        time.sleep(pause_seconds)
    return seen


def worker_process(unit: dict[str, Any]) -> psutil.Process:
    """Find the process that works on a unit; workers are named by host and process."""
    return psutil.Process(int(unit["worker"].rpartition("-")[2]))


@contextmanager
def asleep(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Let processes sleep for as long as the block."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def workers(service: Service) -> list[psutil.Process]:
    """List the workers' main processes."""
    return service.launched.workers()


def parent_of(process: psutil.Process) -> psutil.Process:
    """Find the worker's main process above the one that works."""
    parent = process.parent()
    assert parent is not None
    assert parent.cmdline()[1:3] == ["-m", "worker"]
    return parent


@contextmanager
def serving(
    servers: Outside, data: Path, root: Path, *more: str, within: Sequence[str] = (), **variables: str
) -> Iterator[Service]:
    """Run `ddoq up` over these servers; at the end nothing of it may be left running."""
    given = {**servers.environment(), "DDOQ_MODELS": str(root), **variables}
    with launch(data, "--root", str(root), *more, within=within, **given) as launched:
        output = launched.process.stdout
        assert output
        reader = Thread(target=output.read, daemon=True)  # a full pipe would stop the launcher
        reader.start()
        try:
            with launched.client() as client:
                yield Service(launched, client, servers)
        finally:
            launched.process.terminate()
            launched.process.wait(60)
            reader.join()
    assert not wait_for_none(lambda: marked_processes(servers.mark), 10)


def marked_processes(mark: str) -> list[psutil.Process]:
    """List what runs for the service of this mark, whoever its parent is by now."""
    return [found for found in psutil.process_iter() if mark in _pepper(found)]


def _pepper(process: psutil.Process) -> str:
    try:
        return process.environ().get("DDOQ_KEY_PEPPER", "")
    except psutil.Error:
        return ""


def wait_for_none(look: Callable[[], list[Any]], seconds: float) -> list[Any]:
    """Wait until there is nothing to see; answer what there still is."""
    deadline = time.monotonic() + seconds
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def archive_sha256(service: Service, job_id: str) -> tuple[str, ...]:
    """Answer what the service says of a job's archives, one for each budget."""
    found = service.client.artifacts(job_id)
    return tuple(sorted(artifact.sha256 for artifact in found if artifact.name.endswith(".zip")))


def assert_whole(service: Service, job_id: str) -> None:
    """Check what must hold of every job that has ended: told once, without gaps, and nothing of it left over."""
    events = service.events(job_id)
    kinds = [event["kind"] for event in events]
    sequence = [event["sequence"] for event in events]
    assert sequence == list(range(1, len(events) + 1)), f"events {sequence}"
    assert [kind for kind in kinds if kind in LAST_WORDS] == [kinds[-1]] == [service.job(job_id)["state"]], kinds
    leased = wait_for_none(lambda: _leased(service, job_id), CLEAN_SECONDS)
    assert not leased, f"somebody holds {leased}"
    orphans = wait_for_none(lambda: sorted(_orphans(service, job_id)), CLEAN_SECONDS)
    assert not orphans, f"nobody needs {orphans}; {kinds}"
    missing = _named(service, job_id) - service.outside.stored(job_id)
    assert not missing, f"the store has no {missing}"


def assert_succeeded(service: Service, job_id: str, sha256: tuple[str, ...], seconds: float = 120) -> None:
    """Wait for the one success of a job whose archive has these bytes."""
    job = service.until_ended(job_id, seconds)
    assert job.status == "succeeded", job.error
    assert_whole(service, job_id)
    assert archive_sha256(service, job_id) == sha256


def submit(service: Service, config: DistillConfig) -> str:
    return service.client.submit(config).id


def _leased(service: Service, job_id: str) -> list[dict[str, Any]]:
    return [unit for unit in service.units(job_id) if unit["state"] == "running"]


def _orphans(service: Service, job_id: str) -> set[str]:
    return service.outside.stored(job_id) - _named(service, job_id)


def _named(service: Service, job_id: str) -> set[str]:
    found = service.outside.rows("SELECT key FROM artifacts WHERE job_id = %s", job_id)
    return {row["key"] for row in found}
