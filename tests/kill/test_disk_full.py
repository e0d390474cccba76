"""A worker whose scratch folder lies on a file system that is full: a small one of its own, in its own mounts."""

from contextlib import suppress
from pathlib import Path

import pytest

from tests.kill.jobs import Jobs
from tests.kill.watching import Service, assert_succeeded, assert_whole, submit


@pytest.fixture
def scratch(lone: Service, small_disk: tuple[str, ...]) -> Path:
    """Name the way from here to the small disk."""
    if not small_disk:
        pytest.skip("needs a mount of its own: unshare(1) is not there, or not allowed")
    return Path(f"/proc/{lone.launched.process.pid}/root{lone.launched.data}/scratch")


def test_a_job_on_a_full_disk_fails_with_that_word_and_one_after_it_succeeds(
    lone: Service, scratch: Path, jobs: Jobs
) -> None:
    config = jobs.quick()
    filler = fill(scratch)
    job = lone.until_ended(submit(lone, config))
    assert job.status == "failed"
    assert job.error
    assert job.error.code == "worker.disk_full"
    assert "No space left on device" in job.error.message
    assert_whole(lone, job.id)
    filler.unlink()
    assert_succeeded(lone, submit(lone, config), jobs.sha256_undisturbed(config))


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler
