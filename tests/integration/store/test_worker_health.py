"""The health check of a worker, as a container runs it."""

import os
import socket
import subprocess
import sys

from sqlalchemy import Engine, text

from jobs.leases import Leases
from jobs.settings import Settings
from worker.health import find_fault
from worker.presence import Presence

NOBODY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


def test_a_worker_that_says_that_it_is_there_is_well(settings: Settings) -> None:
    presence = Presence(settings)
    presence.enter()
    while find_fault(settings.database_url, socket.gethostname()):
        pass  # its thread has only begun
    presence.leave()
    assert "no worker" in (find_fault(settings.database_url, socket.gethostname()) or "")


def test_a_worker_that_fell_silent_is_not(settings: Settings, leases: Leases, engine: Engine) -> None:
    leases.present("here-7")
    with engine.begin() as connection:
        connection.execute(text("UPDATE workers SET seen_at = seen_at - interval '61 seconds'"))
    assert find_fault(settings.database_url, "here")


def test_the_worker_of_another_machine_does_not_count(settings: Settings, leases: Leases) -> None:
    leases.present("here-too-7")
    leases.present("there-7")
    assert find_fault(settings.database_url, "here")
    assert find_fault(settings.database_url, "here-too") is None


def test_a_database_that_is_away_is_not_held_against_the_worker() -> None:
    assert find_fault(NOBODY, "here") is None


def test_the_command_ends_with_a_code_and_says_why(settings: Settings) -> None:
    secret = settings.s3_secret_key.get_secret_value()
    variables = {
        "DDOQ_DATABASE_URL": settings.database_url.replace("+psycopg", ""),
        "DDOQ_BROKER_URL": settings.broker_url,
        "DDOQ_S3_BUCKET": settings.s3_bucket,
        "DDOQ_S3_ACCESS_KEY": settings.s3_access_key,
        "DDOQ_S3_SECRET_KEY": secret,
        "DDOQ_KEY_PEPPER": "a pepper for the tests",
    }
    command = [sys.executable, "-m", "worker.health"]
    ended = subprocess.run(command, env={**os.environ, **variables}, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.startswith("no worker of")) == (1, True)
    well = subprocess.run(
        command, check=False, env={**os.environ, **variables, "DDOQ_DATABASE_URL": NOBODY.replace("+psycopg", "")}
    )
    assert well.returncode == 0
