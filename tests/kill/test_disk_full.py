"""A worker whose scratch folder lies on a file system that is full: a small one of its own, in its own mounts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kill.jobs import Jobs
from tests.kill.outside import Outside, outside
from tests.kill.watching import Service, assert_succeeded, assert_whole, serving, submit

MOUNT = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"'
OWN_MOUNTS = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")


@pytest.fixture
def own_servers(ground: Path) -> Iterator[Outside]:
    with outside(ground / "outside of the small disk") as servers:
        yield servers


@pytest.fixture
def small_disk(ground: Path, jobs: Jobs, own_servers: Outside) -> Iterator[tuple[Service, Path]]:
    """A service of one worker with 4 MB for its files, and the way to them."""
    scratch = ground / "small" / "scratch"
    scratch.mkdir(parents=True)
    within = (*OWN_MOUNTS, "sh", "-c", MOUNT, str(scratch))
    if subprocess.run([*within, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs a mount of its own: unshare(1) is not there, or not allowed")
    with serving(own_servers, scratch.parent, jobs.root, within=within) as service:
        yield service, Path(f"/proc/{service.launched.process.pid}/root{scratch}")


def test_a_job_on_a_full_disk_fails_with_that_word_and_one_after_it_succeeds(
    small_disk: tuple[Service, Path], jobs: Jobs
) -> None:
    service, scratch = small_disk
    config = jobs.quick()
    filler = fill(scratch)
    job = service.until_ended(submit(service, config))
    assert job.status == "failed"
    assert job.error
    assert "No space left on device" in job.error.message
    assert_whole(service, job.id)
    filler.unlink()
    assert_succeeded(service, submit(service, config), jobs.sha256_undisturbed(config))


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler
