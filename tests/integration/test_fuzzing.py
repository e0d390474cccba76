"""Schemathesis against the live service: every check of its own, every operation, and the links between them."""

import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from jobs.logs import FIELDS
from jobs.records import Artifact

SETTINGS = Path(__file__).parents[1] / "schemathesis.toml"
HOOKS = Path(__file__).parents[1] / "schemathesis_hooks.py"
LIFE_HOOKS = Path(__file__).parents[1] / "schemathesis_life_hooks.py"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "2")  # of each operation
SECONDS = int(os.environ.get("FUZZ_SECONDS", "40"))  # in all, at most
SEED = os.environ.get("FUZZ_SEED", "1")

LIFE = {  # of a queued job: it cannot be deleted before it is cancelled
    ("POST", "/v1/jobs", 202),
    ("GET", "/v1/jobs/{job_id}", 200),
    ("POST", "/v1/jobs/{job_id}/cancel", 200),
    ("DELETE", "/v1/jobs/{job_id}", 204),
}

OF_A_FILE = """
[[operations]]
include-path = "/v1/jobs/{{job_id}}/artifacts/{{name}}"
parameters = {{ "path.job_id" = "{job_id}", "path.name" = "{name}" }}
"""


@pytest.fixture
def live(app: FastAPI) -> Iterator[str]:
    """Serve the application on a port of its own. No worker runs: jobs stay queued."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("phases", ["examples,coverage,fuzzing", "stateful"], ids=["alone", "by links"])
def test_no_request_is_answered_against_the_description(
    live: str,
    ann: dict[str, str],
    job_id: str,
    make_artifact: Callable[[str, bytes], Artifact],
    tmp_path: Path,
    phases: str,
) -> None:
    config = tmp_path / "schemathesis.toml"
    name = make_artifact("archive.zip", b"content").name
    settings = f"hooks = '{HOOKS}'\n" + SETTINGS.read_text("utf-8")
    config.write_text(settings + OF_A_FILE.format(job_id=job_id, name=name), "utf-8")
    options = ["--phases", phases, "--seed", SEED, "--max-examples", EXAMPLES, "--max-time", str(SECONDS // 2)]
    fuzz(live, ann, config, *options)


@pytest.mark.timeout(300)
def test_links_lead_through_the_life_of_a_job(
    live: str, ann: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api.observing")
    config = tmp_path / "schemathesis.toml"
    config.write_text(f"hooks = '{LIFE_HOOKS}'\n" + SETTINGS.read_text("utf-8"), "utf-8")
    of_a_job = ["--mode", "positive", "--include-path-regex", r"^/v1/jobs(/\{job_id\}(/cancel)?)?$"]
    fuzz(live, ann, config, "--phases", "stateful", "--seed", "1", "--max-examples", "10", *of_a_job)
    told = [getattr(record, FIELDS) for record in caplog.records if hasattr(record, FIELDS)]
    assert not LIFE - {(one["method"], one["route"], one["status"]) for one in told}


def fuzz(live: str, headers: dict[str, str], config: Path, *options: str) -> None:
    """Let schemathesis send requests; it must have nothing to say against the answers."""
    httpx.get(f"{live}/openapi.json", timeout=120).raise_for_status()  # made once, and that may take a while
    run = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{live}/openapi.json"]
    given = [f"--header={name}:{value}" for name, value in headers.items()]
    answer = subprocess.run([*run, *options, *given], check=False, cwd=config.parent, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert re.search(r"\d+ generated, \d+ passed", answer.stdout), answer.stdout
