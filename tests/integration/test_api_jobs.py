"""Jobs over HTTP: submit, look, list, cancel, follow."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from ddoq.config import DistillConfig
from ddoq.errors import DatasetNotFoundError
from ddoq.events import Stage
from jobs.leases import Leases
from jobs.queue import QUEUE
from jobs.records import Claim, Failure
from jobs.settings import Settings

CONFIG = {"dataset": {"uri": "s3://datasets/flowers.zip"}, "images_per_class": 3}
Headers = dict[str, str]


@pytest.fixture
def leases(services: Services) -> Leases:
    return Leases(services.engine, 60)


def submit(client: TestClient, headers: Headers, **change: Any) -> str:
    return str(client.post("/v1/jobs", json=CONFIG | change, headers=headers).json()["id"])


def test_a_submitted_job_is_accepted_and_says_where_to_watch_it(client: TestClient, ann: Headers) -> None:
    response = client.post("/v1/jobs", json=CONFIG, headers=ann)
    job = response.json()
    assert (response.status_code, job["status"], job["stage"]) == (202, "queued", "read")
    assert response.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert int(response.headers["retry-after"]) > 0


def test_a_job_shows_its_config_with_the_defaults_filled_in(client: TestClient, ann: Headers) -> None:
    job = client.post("/v1/jobs", json=CONFIG, headers=ann).json()
    assert job["config"] == DistillConfig.model_validate(CONFIG).model_dump(mode="json")


def test_a_config_may_be_sent_back_as_it_was_shown(client: TestClient, ann: Headers) -> None:
    shown = client.post("/v1/jobs", json=CONFIG, headers=ann).json()["config"]
    assert client.post("/v1/jobs", json=shown, headers=ann).json()["config"] == shown


def test_a_job_is_later_shown_as_it_was_when_submitted(client: TestClient, ann: Headers) -> None:
    job = client.post("/v1/jobs", json=CONFIG, headers=ann).json()
    assert client.get(job["links"]["self"], headers=ann).json() == job


def test_a_job_may_be_submitted_without_the_scope_to_read(client: TestClient, key_for: Callable[..., Headers]) -> None:
    assert client.post("/v1/jobs", json=CONFIG, headers=key_for("ann", "jobs:write")).status_code == 202


def test_times_are_utc(client: TestClient, ann: Headers) -> None:
    assert client.post("/v1/jobs", json=CONFIG, headers=ann).json()["created_at"].endswith("Z")


def test_submitting_calls_a_worker(client: TestClient, ann: Headers, services: Services, settings: Settings) -> None:
    submit(client, ann)
    with Redis.from_url(settings.broker_url) as broker:
        assert broker.blpop([QUEUE], 10)


def test_a_broker_that_is_away_does_not_keep_a_job_out(settings: Settings, services: Services, ann: Headers) -> None:
    away = services.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    with TestClient(create_app(away)) as client:
        assert client.post("/v1/jobs", json=CONFIG, headers=ann).status_code == 202


def test_a_worker_that_reports_is_seen(client: TestClient, ann: Headers, claim: Claim, leases: Leases) -> None:
    leases.report(claim, 3, 10)
    job = client.get(f"/v1/jobs/{claim.job_id}", headers=ann).json()
    stage = job["stages"][0]
    assert (job["status"], stage["status"], stage["done"], stage["total"]) == ("running", "running", 3, 10)
    assert stage["seconds"] >= 0


def test_a_failed_job_is_answered_with_200_and_its_error(
    client: TestClient, ann: Headers, claim: Claim, leases: Leases
) -> None:
    leases.fail(claim, Failure("dataset.not_found", "nothing is there", retryable=False, stage=Stage.READ))
    response = client.get(f"/v1/jobs/{claim.job_id}", headers=ann)
    assert (response.status_code, response.json()["status"]) == (200, "failed")
    assert response.json()["error"] == {
        "code": "dataset.not_found",
        "stage": "read",
        "message": "nothing is there",
        "hint": DatasetNotFoundError.hint,
        "retryable": False,
    }


def test_an_ended_job_asks_nobody_to_come_back(client: TestClient, ann: Headers, job_id: str) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    assert "retry-after" not in client.get(f"/v1/jobs/{job_id}", headers=ann).headers


def test_jobs_are_listed_newest_first_and_page_by_page(client: TestClient, ann: Headers) -> None:
    submitted = [submit(client, ann) for _ in range(5)]
    found, cursor = [], None
    while True:
        page = client.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {}), headers=ann).json()
        found.append([job["id"] for job in page["data"]])
        if (cursor := page["next_cursor"]) is None:
            break
    newest = submitted[::-1]
    assert found == [newest[:2], newest[2:4], newest[4:]]


def test_a_job_that_comes_in_between_moves_no_page(client: TestClient, ann: Headers) -> None:
    first, second = submit(client, ann), submit(client, ann)
    cursor = client.get("/v1/jobs?limit=1", headers=ann).json()["next_cursor"]
    submit(client, ann)
    page = client.get("/v1/jobs", params={"limit": 1, "cursor": cursor}, headers=ann).json()
    assert [job["id"] for job in page["data"]] == [first]
    assert second != first


def test_jobs_are_listed_by_state(client: TestClient, ann: Headers) -> None:
    cancelled, queued = submit(client, ann), submit(client, ann)
    client.post(f"/v1/jobs/{cancelled}/cancel", headers=ann)
    found = {
        state: [job["id"] for job in client.get("/v1/jobs", params={"state": state}, headers=ann).json()["data"]]
        for state in ("cancelled", "queued", "failed")
    }
    assert found == {"cancelled": [cancelled], "queued": [queued], "failed": []}


def test_nobody_sees_the_jobs_of_others(client: TestClient, ann: Headers, bob: Headers) -> None:
    submit(client, ann)
    assert client.get("/v1/jobs", headers=bob).json() == {"data": [], "next_cursor": None}


@pytest.mark.parametrize("state", ["queued", ""])
def test_a_cursor_is_no_good_with_another_key_or_filter(
    client: TestClient, ann: Headers, bob: Headers, state: str
) -> None:
    submit(client, ann), submit(client, ann)
    cursor = client.get("/v1/jobs?limit=1", headers=ann).json()["next_cursor"]
    who, params = (ann, {"state": state}) if state else (bob, {})
    response = client.get("/v1/jobs", params={"cursor": cursor, **params}, headers=who)
    assert (response.status_code, response.json()["code"]) == (422, "request.cursor")


def test_a_waiting_job_is_cancelled_at_once(client: TestClient, ann: Headers, job_id: str) -> None:
    response = client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")


def test_a_cancelled_job_stays_cancelled_when_cancelled_again(client: TestClient, ann: Headers, job_id: str) -> None:
    first, second = (client.post(f"/v1/jobs/{job_id}/cancel", headers=ann) for _ in range(2))
    assert (second.status_code, second.json()) == (200, first.json())


def test_a_running_job_is_cancelling_until_its_worker_has_stopped(
    client: TestClient, ann: Headers, claim: Claim, leases: Leases
) -> None:
    path = f"/v1/jobs/{claim.job_id}"
    answers = [client.post(f"{path}/cancel", headers=ann) for _ in range(2)]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(202, "cancelling")] * 2
    leases.stop_cancelled(claim)
    assert client.get(path, headers=ann).json()["status"] == "cancelled"


def test_a_job_that_has_ended_otherwise_cannot_be_cancelled(
    client: TestClient, ann: Headers, claim: Claim, leases: Leases, wrong_in: Callable[[Any, int, str], str]
) -> None:
    leases.fail(claim, Failure("internal", "it broke", retryable=False))
    response = client.post(f"/v1/jobs/{claim.job_id}/cancel", headers=ann)
    assert not wrong_in(response, 409, "job.ended")


def test_events_are_listed_in_order_without_gaps(client: TestClient, ann: Headers, claim: Claim) -> None:
    client.post(f"/v1/jobs/{claim.job_id}/cancel", headers=ann)
    events = client.get(f"/v1/jobs/{claim.job_id}/events", headers=ann).json()["data"]
    assert [(event["sequence"], event["kind"]) for event in events] == [
        (1, "queued"),
        (2, "unit_started"),
        (3, "cancelling"),
    ]


def test_events_are_followed_from_where_one_stood(client: TestClient, ann: Headers, claim: Claim) -> None:
    path = f"/v1/jobs/{claim.job_id}/events"
    first = client.get(f"{path}?limit=1", headers=ann).json()
    second = client.get(path, params={"after": first["next_after"]}, headers=ann).json()
    assert [event["sequence"] for event in second["data"]] == [2]
    assert client.get(path, params={"after": second["next_after"]}, headers=ann).json() == {"data": [], "next_after": 2}


def test_the_sweep_runs_beside_the_requests(settings: Settings, services: Services, ann: Headers) -> None:
    hasty = services.settings.model_copy(update={"sweep_seconds": 0.05})
    with TestClient(create_app(hasty)) as client:
        job_id = submit(client, ann)
        claim = Leases(services.engine, 0.01).claim("a worker that dies")
        assert claim is not None
        for _ in range(200):
            kinds = [e["kind"] for e in client.get(f"/v1/jobs/{job_id}/events", headers=ann).json()["data"]]
            if "lease_lost" in kinds:
                return
    pytest.fail("the lease was not taken back")
