"""Schemathesis against the live service: every check of its own, every operation, and the links between them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

SETTINGS = Path(__file__).parents[1] / "schemathesis.toml"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "8")
SECONDS = os.environ.get("FUZZ_SECONDS", "60")
SEED = os.environ.get("FUZZ_SEED", "1")


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


@pytest.mark.timeout(int(SECONDS) + 120)
def test_no_request_that_the_description_allows_or_forbids_is_answered_against_it(
    live: str, key_for: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    run = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(SETTINGS), "run", f"{live}/openapi.json"]
    options = ["--seed", SEED, "--max-examples", EXAMPLES, "--max-time", SECONDS, "--continue-on-failure"]
    headers = [f"--header=Authorization:{key_for('ann')['Authorization']}"]
    answer = subprocess.run([*run, *options, *headers], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
