"""Two services for all tests that leave them running: what a test breaks it puts back."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.kill.jobs import Jobs
from tests.kill.outside import Outside, outside
from tests.kill.watching import Service, serving

MOUNT = 'mount -t tmpfs -o size=32m tmpfs "$0" && exec "$@"'
OWN_MOUNTS = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """Make a folder for servers and data, where PostgreSQL can go as another user."""
    with TemporaryDirectory(prefix="ddoq-kill-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def jobs(ground: Path) -> Jobs:
    root = ground / "root"
    root.mkdir()
    return Jobs(root)


@pytest.fixture(scope="session")
def servers(ground: Path) -> Iterator[Outside]:
    with outside(ground / "outside") as servers:
        yield servers


@pytest.fixture(scope="session")
def service(servers: Outside, ground: Path, jobs: Jobs) -> Iterator[Service]:
    """A service of two workers."""
    with serving(servers, ground / "data", jobs.root, "--workers", "2") as service:
        yield service


@pytest.fixture(scope="session")
def small_disk(ground: Path) -> tuple[str, ...]:
    """Answer the command that gives a service a scratch folder of 32 MB, or none where such mounts are not allowed."""
    scratch = ground / "lone" / "scratch"
    scratch.mkdir(parents=True)
    within = (*OWN_MOUNTS, "sh", "-c", MOUNT, str(scratch))
    is_allowed = subprocess.run([*within, "true"], check=False, capture_output=True).returncode == 0
    return within if is_allowed else ()


@pytest.fixture(scope="session")
def lone(ground: Path, jobs: Jobs, small_disk: tuple[str, ...]) -> Iterator[Service]:
    """A service of one worker, on servers of its own."""
    with (
        outside(ground / "outside of the lone worker") as servers,
        serving(servers, ground / "lone", jobs.root, within=small_disk) as service,
    ):
        yield service
