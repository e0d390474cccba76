"""`make test-image`: the build steps of the Dockerfile run as they stand, and what they make does a job.

Downloads some hundred megabytes. What only an engine can do, such as making the user, is not run: docs/operations.md.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from cli.servers import Running, free_port, spawn, wait_until_ready
from ddoq.config import DistillConfig
from ddoq_client import Client
from jobs.keys import Keys, Scope
from jobs.schema import make_engine
from jobs.settings import Settings
from tests.image_steps import build, environment_of, last
from tests.pictures import members, write_zip

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800)]

OWN_PORT = "8000"
WRITABLE = ("tmp", "scratch")
SMALL = {
    "images_per_class": 2,
    "prior": {"kind": "pixels", "resolution": 16},
    "students": {"seeds": 1, "steps": 2, "width": 8, "batch_size": 8},
}


@pytest.fixture(scope="module")
def images() -> Iterator[Mapping[str, Path]]:
    """Build both images that need no CUDA, each into a folder that stands for its root."""
    with TemporaryDirectory(prefix="ddoq-test-", ignore_cleanup_errors=True) as name:
        nowhere = Path(name, "no-index").as_uri()  # torch comes from where pip has been told to look
        roots = {target: Path(name, target) for target in ("api", "worker")}
        for target, root in roots.items():
            for folder in WRITABLE:
                (root / folder).mkdir(parents=True)
            build(target, root, TORCH_INDEX=nowhere)
        yield roots


def inside(target: str, root: Path, **more: str) -> dict[str, str]:
    """Tell the environment of a container."""
    ours = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    return {**environment_of(target, root, ours), **more}


def run(target: str, root: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=inside(target, root), cwd="/", check=False, capture_output=True, text=True)


def settings_of(settings: Settings, data: Path) -> dict[str, str]:
    """Write the settings of a test as a container gets them."""
    return {
        "DDOQ_DATABASE_URL": settings.database_url.replace("+psycopg", ""),
        "DDOQ_BROKER_URL": settings.broker_url,
        "DDOQ_S3_ENDPOINT": str(settings.s3_endpoint),
        "DDOQ_S3_BUCKET": settings.s3_bucket,
        "DDOQ_S3_ACCESS_KEY": settings.s3_access_key,
        "DDOQ_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "DDOQ_KEY_PEPPER": settings.key_pepper.get_secret_value(),
        "DDOQ_FILE_ROOTS": str(data),
    }


def is_well(target: str, variables: Mapping[str, str], port: str) -> bool:
    """Run the health check of an image."""
    command = [word.replace(OWN_PORT, port) for word in last(target, "HEALTHCHECK").command()]
    return subprocess.run(command, env=variables, cwd="/", check=False, capture_output=True).returncode == 0


def start(target: str, variables: Mapping[str, str], port: str, log: Path) -> Running:
    """Start what an image runs, and wait until its health check passes."""
    command = [word.replace(OWN_PORT, port) for word in last(target, "CMD").command()]
    process = spawn(command, log, env=variables, cwd="/")
    running = Running(target, f"http://127.0.0.1:{port}", process, log)
    return wait_until_ready(running, lambda: is_well(target, variables, port))


def written(root: Path) -> set[tuple[str, int]]:
    """List all files that a container must leave alone, with the times of their last change."""
    found = (path for path in root.rglob("*") if path.relative_to(root).parts[0] not in WRITABLE)
    return {(str(path), path.lstat().st_mtime_ns) for path in found}


def test_the_api_is_installed_without_torch_and_without_pip(images: Mapping[str, Path]) -> None:
    assert run("api", images["api"], "python", "-m", "api", "--help").stdout.startswith("usage: python -m api")
    for absent in ("torch", "pip", "setuptools", "diffusers"):
        assert f"No module named '{absent}'" in run("api", images["api"], "python", "-c", f"import {absent}").stderr


def test_the_commands_of_a_deployment_are_there(images: Mapping[str, Path]) -> None:
    for command in (["db", "upgrade"], ["bucket", "ensure"], ["keys", "create"]):
        assert run("api", images["api"], "ddoq", *command, "--help").returncode == 0


@pytest.mark.parametrize("target", ["api", "worker"])
def test_what_is_installed_fits_together(images: Mapping[str, Path], target: str) -> None:
    python = images[target] / "venv" / "bin" / "python"
    done = run(target, images[target], str(images[target] / "base/bin/pip"), "--python", str(python), "check")
    assert done.returncode == 0, done.stdout


def test_both_do_a_job_and_write_to_nothing_but_tmp_and_scratch(
    images: Mapping[str, Path], settings: Settings, server_folder: Path
) -> None:
    engine = make_engine(settings.database_url)
    _, key = Keys(engine, settings.key_pepper).create("ann", "test", Scope)
    engine.dispose()
    before = {target: written(root) for target, root in images.items()}
    shared, port = settings_of(settings, server_folder), str(free_port())
    config = DistillConfig.model_validate(
        {"dataset": {"uri": write_zip(server_folder / "data.zip", members())}, **SMALL}
    )
    with ExitStack() as started:
        for target, root in images.items():
            running = start(target, inside(target, root, **shared), port, server_folder / f"{target}.log")
            started.callback(running.stop)
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        with Client(f"http://127.0.0.1:{port}", key) as client:
            *_, job = client.watch(client.submit(config).id)
            assert job.status == "succeeded", job.error
            assert client.artifacts(job.id)
    assert {target: written(root) for target, root in images.items()} == before
