"""What owners may use, and what they have used."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from starlette.testclient import TestClient

from api.services import Services
from cli.keys import SCOPES, keys
from ddoq.config import DatasetConfig, DistillConfig
from ddoq.events import Stage
from jobs.errors import QuotaExceededError
from jobs.ids import first_job_id, new_job_id
from jobs.keys import Scope
from jobs.leases import Leases
from jobs.quotas import Quota, set_quota
from jobs.records import Claim
from jobs.usage import read_usage
from tests.pages import ROOT, read_blocks

Headers = dict[str, str]
CONFIG = DistillConfig(dataset=DatasetConfig(uri="s3://datasets/flowers.zip"))
BODY = {"dataset": {"uri": "s3://datasets/flowers.zip"}}


def grow_older(services: Services, by: str) -> None:
    """Make all jobs older than they are, and with them their ids, which sort by age."""
    with services.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # ids may change below their units
        aged = text("UPDATE jobs SET created_at = created_at - CAST(:by AS interval) RETURNING id, created_at")
        for row in connection.execute(aged, {"by": by}).all():
            for table, column in (("jobs", "id"), ("units", "job_id"), ("events", "job_id")):
                change = text(f"UPDATE {table} SET {column} = :new WHERE {column} = :old")
                connection.execute(change, {"new": first_job_id(row.created_at)[:14] + row.id[14:], "old": row.id})


def work_on(services: Services, seconds: int) -> Claim:
    """Let a worker finish a unit that took so long."""
    leases = Leases(services.engine, 60)
    claim = leases.claim("a worker")
    assert claim is not None
    leases.finish(claim)
    started = text("UPDATE units SET started_at = finished_at - make_interval(secs => :n) WHERE id = :id")
    with services.engine.begin() as connection:
        connection.execute(started, {"n": seconds, "id": claim.unit_id})
    return claim


def test_an_owner_without_a_row_may_use_all(services: Services) -> None:
    for _ in range(3):
        services.store.submit("ann", CONFIG)


def test_as_many_jobs_as_the_quota_says_are_taken_in_a_day(services: Services) -> None:
    set_quota(services.engine, "ann", Quota(jobs_per_day=2))
    for _ in range(2):
        services.store.submit("ann", CONFIG)
    with pytest.raises(QuotaExceededError, match="2 jobs of 'ann' came within 24 hours, and 2 may"):
        services.store.submit("ann", CONFIG)
    services.store.submit("bob", CONFIG)


def test_who_has_used_up_a_quota_is_told_when_it_is_there_again(
    client: TestClient, services: Services, ann: Headers, wrong_in: Any
) -> None:
    set_quota(services.engine, "ann", Quota(jobs_per_day=1))
    client.post("/v1/jobs", json=BODY, headers=ann)
    grow_older(services, "20 hours")
    refused = client.post("/v1/jobs", json=BODY, headers=ann)
    assert not wrong_in(refused, 429, "quota.exceeded")
    assert 4 * 3600 - 300 < int(refused.headers["retry-after"]) <= 4 * 3600


def test_a_job_of_yesterday_does_not_count(services: Services) -> None:
    set_quota(services.engine, "ann", Quota(jobs_per_day=1))
    services.store.submit("ann", CONFIG)
    grow_older(services, "25 hours")
    services.store.submit("ann", CONFIG)


def test_a_job_is_refused_when_the_workers_seconds_are_spent_and_for_how_long(services: Services) -> None:
    set_quota(services.engine, "ann", Quota(worker_seconds_per_month=100))
    services.store.submit("ann", CONFIG)
    work_on(services, 60)
    services.store.submit("ann", CONFIG)
    work_on(services, 60)
    grow_older(services, "29 days")
    with pytest.raises(QuotaExceededError, match="took 120 seconds of workers, and 100 may be taken") as refused:
        services.store.submit("ann", CONFIG)
    assert 86400 - 300 < refused.value.retry_after_seconds <= 86400


def test_usage_adds_up_ones_own_jobs_by_state_stage_and_day(
    client: TestClient, services: Services, ann: Headers, bob: Headers, job_id: str
) -> None:
    work_on(services, 60)
    cancelled = services.store.submit("ann", CONFIG).id
    services.store.cancel("ann", cancelled)
    client.post("/v1/jobs", json=BODY, headers=bob)
    set_quota(services.engine, "ann", Quota(jobs_per_day=7))
    used = client.get("/v1/usage", headers=ann).json()
    assert {state: n for state, n in used["jobs"].items() if n} == {"running": 1, "cancelled": 1}
    assert used["worker_seconds_by_stage"] == {"read": 60.0}
    assert used["jobs_in_24_hours"] == 2
    assert used["quota"] == {"jobs_per_day": 7, "worker_seconds_per_month": None}
    assert [day["jobs"] for day in used["days"]] == [2]
    assert used["days"][0]["day"] == datetime.now(UTC).date().isoformat()


def test_usage_counts_the_bytes_that_are_kept(services: Services, make_artifact: Callable[[str, bytes], Any]) -> None:
    make_artifact("archive.zip", b"twelve bytes")
    assert read_usage(services.engine, "ann").artifact_bytes == 12
    with services.engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET artifacts_deleted_at = now()"))
    assert read_usage(services.engine, "ann").artifact_bytes == 0


def test_the_work_at_a_unit_counts_while_it_goes_on(services: Services, claim: Claim) -> None:
    assert read_usage(services.engine, "ann").worker_seconds[Stage.READ] > 0


def test_an_id_sorts_behind_the_first_of_its_moment(services: Services) -> None:
    before = datetime.now(UTC)
    assert first_job_id(before) <= new_job_id()


@pytest.fixture
def run(services: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run `ddoq keys` in the environment of the service."""
    settings = services.settings
    given = {
        "DATABASE_URL": settings.database_url,
        "BROKER_URL": settings.broker_url,
        "S3_BUCKET": settings.s3_bucket,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "KEY_PEPPER": settings.key_pepper.get_secret_value(),
    }
    for name, value in given.items():
        monkeypatch.setenv(f"DDOQ_{name}", value)

    def command(*arguments: str) -> str:
        result = CliRunner().invoke(keys, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return command


def test_the_command_changes_the_limits_that_it_names(run: Callable[..., str], services: Services) -> None:
    assert run("limits", "ann", "--jobs-per-day", "5") == "jobs_per_day 5\nworker_seconds_per_month any\n"
    assert run("limits", "ann", "--worker-seconds", "0") == "jobs_per_day 5\nworker_seconds_per_month 0\n"
    assert run("limits", "ann", "--none") == "jobs_per_day any\nworker_seconds_per_month any\n"


def test_the_command_of_the_page_limits_an_owner(run: Callable[..., str]) -> None:
    (block,) = (block for block in read_blocks(ROOT / "docs" / "keys.md") if block.language == "sh")
    ddoq, keys, *words = shlex.split(block.text, comments=True)
    assert (ddoq, keys) == ("ddoq", "keys")
    assert run(*words) == "jobs_per_day 100\nworker_seconds_per_month 360000\n"


def test_the_command_makes_a_key_for_what_it_is_told_until_when_it_is_told(
    run: Callable[..., str], services: Services
) -> None:
    key = services.keys.authenticate(run("create", "ann", "--scope", "jobs:read", "--days", "7").strip())
    assert (key.owner, key.scopes) == ("ann", ("jobs:read",))
    assert key.expires_at is not None
    assert (key.expires_at - datetime.now(UTC)).days == 6


def test_the_command_makes_no_key_of_an_administrator_unasked(run: Callable[..., str], services: Services) -> None:
    assert set(services.keys.authenticate(run("create", "ann").strip()).scopes) == set(Scope) - {Scope.ADMIN}


def test_the_command_knows_all_scopes() -> None:
    assert set(SCOPES) == set(Scope)
