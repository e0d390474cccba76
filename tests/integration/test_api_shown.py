"""Answers about jobs that have ended are kept; nobody may notice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, select, update
from starlette.testclient import TestClient

from api.services import Services
from api.shown import ShownJobs
from ddoq.config import DatasetConfig, DistillConfig
from jobs.cleaning import delete_expired
from jobs.store import JobFilter
from jobs.tables import jobs

Headers = dict[str, str]
CONFIG = DistillConfig(dataset=DatasetConfig(uri="s3://datasets/flowers.zip"))


@pytest.fixture
def ended(client: TestClient, services: Services, ann: Headers, job_id: str) -> str:
    """A job of ann's that has ended and has been looked at, alone and in a list."""
    services.store.cancel("ann", job_id)
    for path in (f"/v1/jobs/{job_id}", "/v1/jobs"):
        assert client.get(path, headers=ann).status_code == 200
    return job_id


def test_a_job_is_answered_the_same_from_what_is_kept(client: TestClient, ann: Headers, ended: str) -> None:
    answers = [client.get(f"/v1/jobs/{ended}", headers=ann) for _ in range(2)]
    listed = client.get("/v1/jobs", headers=ann).json()["data"][0]
    assert answers[0].json() == answers[1].json() == listed
    assert answers[0].headers["etag"] == answers[1].headers["etag"]


def test_a_job_that_has_just_ended_says_how_long_it_is_kept_as_it_does_ever_after(
    client: TestClient, services: Services, ann: Headers, job_id: str
) -> None:
    services.store.cancel("ann", job_id)
    winter = datetime(2040, 2, 25, tzinfo=UTC)  # it expires in summer
    with services.engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(finished_at=winter))
    before = client.get(f"/v1/jobs/{job_id}", headers=ann)
    expires = winter + timedelta(days=services.settings.retention_days)
    assert datetime.fromisoformat(before.json()["expires_at"]) == expires
    zone = {"options": "-c timezone=America/New_York"}
    engine = create_engine(services.settings.database_url, connect_args=zone)
    assert not delete_expired(engine, services.objects, services.settings.retention_days)
    engine.dispose()
    with services.engine.connect() as connection:
        assert connection.execute(select(jobs.c.expires_at).where(jobs.c.id == job_id)).scalar_one() == expires
    after = client.get(f"/v1/jobs/{job_id}", headers=ann)
    assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])


def test_what_changes_after_the_end_is_answered_at_once(
    client: TestClient, services: Services, ann: Headers, ended: str
) -> None:
    until = datetime.now(UTC) + timedelta(days=3)
    before = client.get(f"/v1/jobs/{ended}", headers=ann)
    with services.engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == ended).values(expires_at=until))
    after = client.get(f"/v1/jobs/{ended}", headers=ann)
    for found in (after.json(), client.get("/v1/jobs", headers=ann).json()["data"][0]):
        assert datetime.fromisoformat(found["expires_at"]) == until
    assert after.headers["etag"] != before.headers["etag"]


def test_a_job_that_was_deleted_or_is_anothers_is_not_answered_from_what_is_kept(
    client: TestClient, services: Services, ann: Headers, bob: Headers, ended: str, wrong_in: Any
) -> None:
    assert not wrong_in(client.get(f"/v1/jobs/{ended}", headers=bob), 404, "job.not_found")
    assert client.get("/v1/jobs", headers=bob).json()["data"] == []
    services.store.delete("ann", ended)  # as another process would
    assert not wrong_in(client.get(f"/v1/jobs/{ended}", headers=ann), 410, "job.deleted")
    assert client.get("/v1/jobs", headers=ann).json()["data"] == []


def test_a_list_holds_what_is_kept_and_what_is_not_newest_first(client: TestClient, ann: Headers, ended: str) -> None:
    newer = [
        client.post("/v1/jobs", json={"dataset": {"uri": "s3://datasets/flowers.zip"}}, headers=ann).json()["id"]
        for _ in range(3)
    ]
    listed = client.get("/v1/jobs", headers=ann).json()["data"]
    assert [job["id"] for job in listed] == [*reversed(newer), ended]
    assert [job["status"] for job in listed] == ["queued"] * 3 + ["cancelled"]
    assert all(job == client.get(f"/v1/jobs/{job['id']}", headers=ann).json() for job in listed)


def test_no_more_is_kept_than_there_is_room_for_and_what_was_asked_for_lately_stays(services: Services) -> None:
    ids = [services.store.submit("ann", CONFIG).id for _ in range(4)]
    for each in ids:
        services.store.cancel("ann", each)
    size = len(ShownJobs(services.store).get("ann", ids[0]).body)
    shown = ShownJobs(services.store, most_bytes=2 * size + size // 2)
    for each in (*ids[:2], ids[0], ids[2]):
        shown.get("ann", each)
    assert [each in shown._kept for each in ids] == [True, False, True, False]
    found, _ = shown.page("ann", JobFilter(), None, 10)
    assert [job.job_id for job in found] == ids[::-1]
    assert sum(each in shown._kept for each in ids) == 2
