"""Submitting over HTTP: options, requests that are sent again, a full queue."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Response
from redis import Redis
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from jobs.queue import QUEUE
from jobs.settings import Settings

CONFIG = {"dataset": {"uri": "s3://datasets/flowers.zip"}, "images_per_class": 3}
Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]


def post(client: TestClient, headers: Headers, key: str | None = None, **change: Any) -> Response:
    idempotent = {} if key is None else {"Idempotency-Key": key}
    return client.post("/v1/jobs", json=CONFIG | change, headers=headers | idempotent)


def n_jobs(client: TestClient, headers: Headers) -> int:
    return len(client.get("/v1/jobs?limit=100", headers=headers).json()["data"])


def test_a_job_is_run_as_its_options_say(client: TestClient, ann: Headers) -> None:
    options = {"priority": "high", "queue_deadline_s": 60, "timeout_s": 90}
    job = post(client, ann, job=options).json()
    assert (job["priority"], job["timeout_s"]) == ("high", 90)
    assert job["queue_deadline_at"] > job["created_at"]


def test_the_options_are_no_part_of_the_config(client: TestClient, ann: Headers) -> None:
    plain, urgent = post(client, ann).json(), post(client, ann, job={"priority": "high"}).json()
    assert plain["config"] == urgent["config"]
    assert "job" not in plain["config"]


def test_a_job_says_where_it_stands_in_line_until_it_is_begun(client: TestClient, ann: Headers) -> None:
    first, second = post(client, ann).json(), post(client, ann).json()
    urgent = post(client, ann, job={"priority": "high"}).json()
    places = [client.get(job["links"]["self"], headers=ann).json()["queue_position"] for job in (first, second, urgent)]
    assert places == [2, 3, 1]
    client.post(first["links"]["cancel"], headers=ann)
    assert client.get(first["links"]["self"], headers=ann).json()["queue_position"] is None


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"priority": "urgent"}, "/job/priority"),
        ({"queue_deadline_s": 0}, "/job/queue_deadline_s"),
        ({"timeout_s": 10**9}, "/job/timeout_s"),
        ({"deadline": 1}, "/job/deadline"),
        (1, "/job"),
    ],
)
def test_a_wrong_option_is_named(
    client: TestClient, ann: Headers, wrong_in: WrongIn, options: Any, pointer: str
) -> None:
    response = post(client, ann, job=options)
    assert not wrong_in(response, 422, "request.invalid")
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


def test_a_request_that_is_sent_again_is_answered_with_its_job(client: TestClient, ann: Headers) -> None:
    first, second = post(client, ann, "k"), post(client, ann, "k")
    assert (first.status_code, "idempotency-replayed" in first.headers) == (202, False)
    assert (second.status_code, second.headers["idempotency-replayed"]) == (202, "true")
    assert second.headers["location"] == first.headers["location"]
    assert n_jobs(client, ann) == 1


def test_a_request_that_is_sent_again_calls_no_worker(app: FastAPI, ann: Headers, settings: Settings) -> None:
    with TestClient(app) as client:  # its end waits for the calls
        post(client, ann, "k")
        post(client, ann, "k")
    with Redis.from_url(settings.broker_url) as broker:
        assert broker.llen(QUEUE) == 1


def test_the_same_body_written_otherwise_is_the_same_request(client: TestClient, ann: Headers) -> None:
    first = post(client, ann, "k").json()
    headers = ann | {"Idempotency-Key": "k", "Content-Type": "application/json"}
    body = '{ "images_per_class": 3,\n "dataset": {"uri": "s3:\\/\\/datasets/flowers.zip"} }'
    assert client.post("/v1/jobs", content=body, headers=headers).json()["id"] == first["id"]


@pytest.mark.parametrize("change", [{"images_per_class": 4}, {"job": {"priority": "low"}}])
def test_a_key_with_another_body_is_refused(
    client: TestClient, ann: Headers, wrong_in: WrongIn, change: dict[str, Any]
) -> None:
    post(client, ann, "k")
    assert not wrong_in(post(client, ann, "k", **change), 422, "request.idempotency_mismatch")
    assert n_jobs(client, ann) == 1


def test_a_job_is_found_again_though_its_dataset_is_not_admitted_any_more(
    client: TestClient, ann: Headers, services: Services
) -> None:
    first = post(client, ann, "k").json()
    closed = services.settings.model_copy(update={"dataset_buckets": ()})
    with TestClient(create_app(closed)) as later:
        assert post(later, ann, "k").json()["id"] == first["id"]


def test_a_key_of_somebody_else_is_another_key(client: TestClient, ann: Headers, bob: Headers) -> None:
    assert post(client, ann, "k").json()["id"] != post(client, bob, "k").json()["id"]


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
def test_an_unusable_key_is_refused_by_name(client: TestClient, ann: Headers, wrong_in: WrongIn, key: str) -> None:
    response = post(client, ann, key)
    assert not wrong_in(response, 422, "request.invalid")
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["Idempotency-Key:"]


def test_a_full_queue_says_when_to_come_back(
    settings: Settings, services: Services, ann: Headers, bob: Headers, wrong_in: WrongIn
) -> None:
    small = services.settings.model_copy(update={"max_queued_per_owner": 2, "max_queued": 3})
    with TestClient(create_app(small)) as client:
        assert [post(client, ann).status_code for _ in range(2)] == [202, 202]
        mine = post(client, ann)
        assert post(client, bob).status_code == 202
        everybodys = post(client, bob)
    assert not wrong_in(mine, 429, "queue.full") + wrong_in(everybodys, 429, "queue.full")
    assert "2 jobs of 'ann' are queued" in mine.json()["detail"]
    assert "3 jobs of all owners together" in everybodys.json()["detail"]
    assert [5 <= int(answer.headers["retry-after"]) <= 600 for answer in (mine, everybodys)] == [True, True]


def test_an_expired_job_says_why(client: TestClient, ann: Headers, services: Services) -> None:
    job = post(client, ann, job={"queue_deadline_s": 60}).json()
    with services.engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET state = 'expired', finished_at = now()"))
    shown = client.get(job["links"]["self"], headers=ann)
    assert (shown.json()["status"], shown.json()["error"]["code"]) == ("expired", "job.queue_deadline")
    assert shown.json()["error"]["retryable"]
    assert "retry-after" not in shown.headers
