"""One service for all tests that leave it running; what a test breaks it puts back."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.kill.jobs import Jobs
from tests.kill.outside import Outside, outside
from tests.kill.watching import Service, serving


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
