"""The command as people and scripts run it, against the real service."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.services import Services
from cli.exits import Exit
from jobs.keys import Scope as KeyScope
from jobs.records import Artifact
from tests.integration.conftest import CONFIG
from tests.integration.launch import environment, launch
from tests.pictures import members, write_zip

Ended = subprocess.CompletedProcess[str]
Command = Callable[..., Ended]


@pytest.fixture
def ddoq(service_url: str, anns_key: str, tmp_path: Path) -> Command:
    """Run `ddoq` with ann's key."""

    def run(*arguments: str, stdin: str = "", **variables: str) -> Ended:
        surroundings = environment(DDOQ_URL=service_url, DDOQ_API_KEY=anns_key, **variables)
        return call(*arguments, stdin=stdin, env=surroundings, cwd=tmp_path)

    return run


def call(*arguments: str, stdin: str = "", env: dict[str, str], cwd: Path) -> Ended:
    paths = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    command = [sys.executable, "-m", "cli.main", *arguments]
    surroundings = {**env, "PYTHONPATH": paths}
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=surroundings, cwd=cwd, check=False)


def submitted(ddoq: Command, *options: str) -> dict[str, Any]:
    ended = ddoq("submit", "-", "--json", *options, stdin=json.dumps(CONFIG))
    assert (ended.returncode, ended.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_job_is_submitted_found_shown_cancelled_tried_again_and_deleted(ddoq: Command) -> None:
    job = submitted(ddoq, "--label", "team=vision", "--priority", "high", "--timeout", "90")
    assert (job["labels"], job["priority"], job["timeout_s"]) == ({"team": "vision"}, "high", 90)
    listed = json.loads(ddoq("jobs", "--label", "team=vision", "--json").stdout)["jobs"]
    assert [found["id"] for found in listed] == [job["id"]]
    assert ddoq("jobs", "--label", "team=audio").stdout == "no jobs\n"
    assert ddoq("show", job["id"]).stdout.startswith(f"{job['id']} is queued: number 1 in the queue\n")
    assert json.loads(ddoq("cancel", job["id"], "--json").stdout)["status"] == "cancelled"
    again = ddoq("retry", job["id"]).stdout.strip()
    assert json.loads(ddoq("show", again, "--json").stdout)["retried_from"] == job["id"]
    assert ddoq("delete", job["id"]).stdout == f"{job['id']} is deleted\n"
    assert ddoq("show", job["id"]).returncode == Exit.NOT_FOUND


def test_a_cancelled_job_ends_the_watching_with_its_exit_code(ddoq: Command) -> None:
    job = submitted(ddoq)
    ddoq("cancel", job["id"])
    ended = ddoq("watch", job["id"])
    assert (ended.returncode, ended.stdout) == (Exit.JOB_STOPPED, "")
    assert ended.stderr == f"Error: job {job['id']} was cancelled\n"


def test_a_job_that_has_not_ended_cannot_be_deleted(ddoq: Command) -> None:
    ended = ddoq("delete", submitted(ddoq)["id"])
    assert (ended.returncode, ended.stderr.startswith("Error: job.not_ended: ")) == (Exit.REFUSED, True)


def test_a_key_that_is_wrong_and_a_key_without_the_scope_are_told(
    ddoq: Command, key_for: Callable[..., dict[str, str]], service_url: str, tmp_path: Path
) -> None:
    wrong = environment(DDOQ_URL=service_url, DDOQ_API_KEY="ddoq_wrong")
    assert call("jobs", env=wrong, cwd=tmp_path).returncode == Exit.KEY_REJECTED
    reader = key_for("ann", KeyScope.JOBS_READ)["Authorization"].removeprefix("Bearer ")
    may_read = environment(DDOQ_URL=service_url, DDOQ_API_KEY=reader)
    refused = call("submit", "-", stdin=json.dumps(CONFIG), env=may_read, cwd=tmp_path)
    assert (refused.returncode, "auth.scope" in refused.stderr) == (Exit.KEY_REJECTED, True)


def hear_interrupts() -> None:
    """Undo what a shell does to what it starts in the background: the tests may be that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_the_watching_and_not_the_job(
    ddoq: Command, service_url: str, anns_key: str, tmp_path: Path
) -> None:
    job = submitted(ddoq)
    paths = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    surroundings = environment(DDOQ_URL=service_url, DDOQ_API_KEY=anns_key, PYTHONPATH=paths)
    command = [sys.executable, "-m", "cli.main", "watch", job["id"], "--json"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": hear_interrupts}
    with subprocess.Popen(command, text=True, env=surroundings, cwd=tmp_path, **streams) as watching:  # type: ignore[call-overload]
        assert json.loads(watching.stdout.readline())["status"] == "queued"
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=60)
    assert (watching.returncode, f"{job['id']} runs on" in said) == (Exit.INTERRUPTED, True)
    assert "Traceback" not in said
    assert json.loads(ddoq("show", job["id"], "--json").stdout)["status"] == "queued"


def test_a_plan_is_shown_and_nothing_is_submitted(ddoq: Command, tmp_path: Path) -> None:
    config = {"dataset": {"uri": write_zip(tmp_path / "data.zip", members())}, "images_per_class": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = ddoq("submit", "config.json", "--plan").stdout
    told = json.loads(ddoq("submit", "config.json", "--plan", "--json").stdout)
    names = {row.split()[0] for row in said.splitlines() if row.strip()}
    assert {found["name"] for found in told["dataset"]["classes"]} <= names
    assert {stage["stage"] for stage in told["stages"]} <= names
    assert "6 images" in said
    assert ddoq("jobs").stdout == "no jobs\n"


class Recorder:
    """Notes which bytes of artifacts are asked for."""

    def __init__(self, app: ASGIApp, asked: list[str]) -> None:
        self._app, self._asked = app, asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "/artifacts/" in scope.get("path", ""):
            self._asked.append(dict(scope["headers"]).get(b"range", b"").decode())
        await self._app(scope, receive, send)


@pytest.fixture
def asked(app: FastAPI) -> list[str]:
    """The ranges of artifacts that are asked for, as they come."""
    noted: list[str] = []
    app.add_middleware(Recorder, asked=noted)
    return noted


def test_a_download_that_was_cut_off_goes_on_and_a_complete_one_is_not_repeated(
    asked: list[str], make_artifact: Callable[[str, bytes], Artifact], job_id: str, ddoq: Command, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    make_artifact("archive.zip", content)
    part = f"archive.zip.{hashlib.sha256(content).hexdigest()[:12]}.part"
    (tmp_path / part).write_bytes(content[:1_000_000])
    ended = ddoq("download", job_id, "--json")
    assert json.loads(ended.stdout) == {"id": job_id, "files": ["archive.zip"]}
    assert asked == ["bytes=1000000-"]
    assert (tmp_path / "archive.zip").read_bytes() == content
    assert not (tmp_path / part).exists()
    assert ddoq("download", job_id, "archive.zip").stdout == "archive.zip\n"
    assert len(asked) == 1


def test_a_file_that_a_job_has_not_made_is_told(
    make_artifact: Callable[[str, bytes], Artifact], job_id: str, ddoq: Command
) -> None:
    make_artifact("archive.zip", b"content")
    ended = ddoq("download", job_id, "report.pdf")
    assert (ended.returncode, "archive.zip" in ended.stderr) == (Exit.NOT_FOUND, True)


def test_a_dataset_is_uploaded(ddoq: Command, services: Services, tmp_path: Path) -> None:
    (tmp_path / "flowers.zip").write_bytes(b"flowers")
    uri = ddoq("upload", "flowers.zip").stdout.strip()
    sent = services.uploads.get("ann", uri.removeprefix("upload://"))
    assert (sent.sha256, sent.state) == (hashlib.sha256(b"flowers").hexdigest(), "ready")


@pytest.mark.timeout(900)  # a minute of one core; more beside other work
def test_from_images_to_a_student_by_the_command_alone(server_folder: Path, tmp_path: Path) -> None:
    write_zip(tmp_path / "data.zip", members())
    students = {"seeds": 1, "steps": 2, "width": 8, "batch_size": 8}
    prior = {"kind": "pixels", "resolution": 16}
    with launch(server_folder):
        place = {"env": environment(), "cwd": tmp_path}
        uri = call("upload", "data.zip", "--data", str(server_folder), **place).stdout.strip()
        config = {"dataset": {"uri": uri}, "images_per_class": 2, "prior": prior, "students": students}
        asked = ("submit", "-", "--wait", "--json", "--data", str(server_folder))
        ended = call(*asked, stdin=json.dumps(config), **place)
        job = json.loads(ended.stdout)
        assert (ended.returncode, job["status"]) == (0, "succeeded")
        assert "encode done" in ended.stderr.splitlines()
        shown = call("show", job["id"], "--data", str(server_folder), **place).stdout
        call("download", job["id"], "--data", str(server_folder), **place)
        bad = {**config, "images_per_class": 1000}
        failed = call(*asked, stdin=json.dumps(bad), **place)
    assert {"distilled", "archive.zip", "package"} <= {line.split()[0] for line in shown.splitlines() if line}
    assert (failed.returncode, json.loads(failed.stdout)["error"]["code"]) == (Exit.JOB_FAILED, "dataset.empty_class")
    trained = call("train", "archive.zip", **place)
    assert (trained.returncode, (tmp_path / "student.safetensors").exists()) == (0, True), trained.stderr
