"""Webhook endpoints over HTTP, and the process that delivers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from jobs.keys import Scope
from jobs.settings import Settings
from tests.receivers import LOOPBACK, receiving

Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]
PATH = "/v1/webhook-endpoints"
NEW = {"url": "http://127.0.0.1:9/hook"}


@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    allowed = {"private_networks": (LOOPBACK,), "max_webhook_endpoints": 3, "dataset_buckets": ("datasets",)}
    app = create_app(settings.model_copy(update=allowed))
    yield app
    app.state.services.engine.dispose()


@pytest.fixture
def endpoint(client: TestClient, ann: Headers) -> dict[str, Any]:
    """An endpoint of ann's, as it was answered when it was added."""
    added: dict[str, Any] = client.post(PATH, json=NEW, headers=ann).json()
    return added


@pytest.fixture
def place(endpoint: dict[str, Any]) -> str:
    return f"{PATH}/{endpoint['id']}"


def test_an_added_endpoint_hears_everything_and_shows_its_secret_once(
    client: TestClient, ann: Headers, services: Services
) -> None:
    response = client.post(PATH, json=NEW, headers=ann)
    added = response.json()
    secret = added.pop("secret")
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    assert secret.startswith("whsec_")
    assert added["events"] == ["job.started", "job.succeeded", "job.failed", "job.cancelled", "job.expired"]
    assert client.get(response.headers["location"], headers=ann).json() == added
    assert client.get(PATH, headers=ann).json() == {"data": [added]}


def test_an_endpoint_is_changed_only_in_what_is_given(client: TestClient, ann: Headers, place: str) -> None:
    before = client.get(place, headers=ann).json()
    assert client.patch(place, json={}, headers=ann).json() == before
    change = {"events": ["job.failed"], "description": "nightly"}
    assert client.patch(place, json=change, headers=ann).json() == {**before, **change}


def test_a_disabled_endpoint_says_so_and_is_sent_nothing(
    client: TestClient, ann: Headers, place: str, wrong_in: WrongIn
) -> None:
    ping = client.post(f"{place}/test", headers=ann).json()
    disabled = client.patch(place, json={"disabled": True}, headers=ann).json()
    assert (disabled["disabled"], disabled["disabled_reason"]) == (True, "owner")
    assert not wrong_in(client.post(f"{place}/test", headers=ann), 409, "webhook.disabled")
    again = client.post(f"{place}/deliveries/{ping['id']}/redeliver", headers=ann)
    assert not wrong_in(again, 409, "webhook.disabled")
    enabled = client.patch(place, json={"disabled": False}, headers=ann).json()
    assert (enabled["disabled"], enabled["disabled_reason"]) == (False, None)


def test_a_rotated_secret_is_another_and_the_old_one_lives_on_for_as_long_as_was_asked(
    client: TestClient, ann: Headers, place: str, endpoint: dict[str, Any]
) -> None:
    rotated = client.post(f"{place}/rotate-secret", json={"overlap_s": 60}, headers=ann)
    assert rotated.headers["cache-control"] == "no-store"
    assert rotated.json()["secret"] != endpoint["secret"]
    assert rotated.json()["old_secret_expires_at"] is not None
    at_once = client.post(f"{place}/rotate-secret", json={"overlap_s": 0}, headers=ann).json()
    assert at_once["old_secret_expires_at"] is None


def test_a_removed_endpoint_is_gone_with_its_deliveries(
    client: TestClient, ann: Headers, place: str, services: Services, wrong_in: WrongIn
) -> None:
    client.post(f"{place}/test", headers=ann)
    assert client.delete(place, headers=ann).status_code == 204
    for path in (place, f"{place}/deliveries"):
        assert not wrong_in(client.get(path, headers=ann), 404, "webhook.not_found")
    with services.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM webhook_deliveries")).scalar_one() == 0


def test_somebody_elses_endpoint_does_not_exist(
    client: TestClient, ann: Headers, bob: Headers, place: str, endpoint: dict[str, Any], wrong_in: WrongIn
) -> None:
    message_id = client.post(f"{place}/test", headers=ann).json()["id"]
    calls = [
        ("GET", place, None),
        ("PATCH", place, {"disabled": True}),
        ("DELETE", place, None),
        ("POST", f"{place}/rotate-secret", {}),
        ("POST", f"{place}/test", None),
        ("GET", f"{place}/deliveries", None),
        ("POST", f"{place}/deliveries/{message_id}/redeliver", None),
    ]
    wrong = {
        (method, path): wrong_in(client.request(method, path, json=body, headers=bob), 404, "webhook.not_found")
        for method, path, body in calls
    }
    assert not {case: reason for case, reason in wrong.items() if reason}
    assert client.get(PATH, headers=bob).json() == {"data": []}
    assert not client.get(place, headers=ann).json()["disabled"]


def test_an_owner_may_have_so_many_endpoints_and_no_more(
    client: TestClient, ann: Headers, bob: Headers, wrong_in: WrongIn
) -> None:
    assert [client.post(PATH, json=NEW, headers=ann).status_code for _ in range(3)] == [201] * 3
    assert not wrong_in(client.post(PATH, json=NEW, headers=ann), 409, "webhook.too_many")
    assert client.post(PATH, json=NEW, headers=bob).status_code == 201


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://127.0.0.2/", "https://user@127.0.0.1/", "file:///etc"])
def test_a_url_that_may_not_be_reached_is_refused_when_it_is_given(
    client: TestClient, ann: Headers, place: str, wrong_in: WrongIn, url: str
) -> None:
    for response in (
        client.post(PATH, json={"url": url}, headers=ann),
        client.patch(place, json={"url": url}, headers=ann),
    ):
        assert not wrong_in(response, 422, "webhook.url")
        assert [fault["pointer"] for fault in response.json()["errors"]] == ["/url"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": ""}, "/url"),
        ({"url": "https://example.com/" + "a" * 2000}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["job.queued"]}, "/events/0"),
        ({"description": "a" * 501}, "/description"),
        ({"secret": "whsec_mine"}, "/secret"),
    ],
)
def test_a_bad_endpoint_is_refused_by_place(
    client: TestClient, ann: Headers, wrong_in: WrongIn, change: dict[str, Any], pointer: str
) -> None:
    response = client.post(PATH, json={**NEW, **change}, headers=ann)
    assert not wrong_in(response, 422, "request.invalid")
    assert pointer in [fault["pointer"] for fault in response.json()["errors"]]


def test_deliveries_are_listed_newest_first_page_by_page(client: TestClient, ann: Headers, place: str) -> None:
    ids = [client.post(f"{place}/test", headers=ann).json()["id"] for _ in range(5)]
    found, cursor = [], None
    for _ in range(3):
        page = client.get(f"{place}/deliveries", params={"limit": 2, "cursor": cursor}, headers=ann).json()
        found += [delivery["id"] for delivery in page["data"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == (ids[::-1], None)


def test_deliveries_are_filtered_by_state(
    client: TestClient, ann: Headers, place: str, services: Services, wrong_in: WrongIn
) -> None:
    first, second = (client.post(f"{place}/test", headers=ann).json()["id"] for _ in range(2))
    with services.engine.begin() as connection:
        failed = text("UPDATE webhook_deliveries SET state = 'failed' WHERE message_id = :id")
        connection.execute(failed, {"id": first})
    listed = {
        state: [one["id"] for one in client.get(f"{place}/deliveries?state={state}", headers=ann).json()["data"]]
        for state in ("pending", "failed", "delivered")
    }
    assert listed == {"pending": [second], "failed": [first], "delivered": []}
    cursor = client.get(f"{place}/deliveries?limit=1", headers=ann).json()["next_cursor"]
    foreign = client.get(f"{place}/deliveries?state=failed&cursor={cursor}", headers=ann)
    assert not wrong_in(foreign, 422, "request.cursor")


def test_a_failed_delivery_is_queued_again_and_one_that_never_was_is_not_found(
    client: TestClient, ann: Headers, place: str, services: Services, wrong_in: WrongIn
) -> None:
    message_id = client.post(f"{place}/test", headers=ann).json()["id"]
    with services.engine.begin() as connection:
        connection.execute(text("UPDATE webhook_deliveries SET state = 'failed'"))
    again = client.post(f"{place}/deliveries/{message_id}/redeliver", headers=ann)
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, message_id, "pending")
    unknown = client.post(f"{place}/deliveries/msg_{'0' * 26}/redeliver", headers=ann)
    assert not wrong_in(unknown, 404, "webhook.delivery_not_found")


def test_jobs_alone_open_no_webhooks(client: TestClient, key_for: Callable[..., Headers], wrong_in: WrongIn) -> None:
    jobs_only = key_for("ann", Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.KEYS_MANAGE)
    assert not wrong_in(client.get(PATH, headers=jobs_only), 403, "auth.scope")


@contextmanager
def delivering(environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the deliverer as a process."""
    process = subprocess.Popen([sys.executable, "-m", "worker.deliveries"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """What the deliverer finds in its environment."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DDOQ_")}
    return {
        **ours,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "DDOQ_DATABASE_URL": settings.database_url,
        "DDOQ_BROKER_URL": settings.broker_url,
        "DDOQ_S3_BUCKET": settings.s3_bucket,
        "DDOQ_S3_ACCESS_KEY": settings.s3_access_key,
        "DDOQ_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "DDOQ_KEY_PEPPER": settings.key_pepper.get_secret_value(),
        "DDOQ_PRIVATE_NETWORKS": LOOPBACK,
    }


def test_what_a_killed_deliverer_was_posting_is_posted_by_the_next_which_ends_when_asked(
    client: TestClient, ann: Headers, services: Services, environment: Mapping[str, str]
) -> None:
    with receiving() as receiver:
        held = Event()
        receiver.before = lambda: held.wait(30)
        added = client.post(PATH, json={"url": receiver.url}, headers=ann).json()
        ids = [client.post(f"{PATH}/{added['id']}/test", headers=ann).json()["id"] for _ in range(2)]
        with delivering(environment) as first:
            until(lambda: len(receiver.received) == 1)
            first.send_signal(signal.SIGKILL)
            first.wait()
        held.set()
        with services.engine.begin() as connection:
            connection.execute(text("UPDATE webhook_endpoints SET lease_expires_at = clock_timestamp()"))
        with delivering(environment) as second:
            until(lambda: len(receiver.received) == 3)
            second.terminate()
            assert second.wait(20) == 0
        assert receiver.ids == [ids[0], *ids]
        assert [one.verified(added["secret"])["type"] for one in receiver.received] == ["ping"] * 3
    listed = client.get(f"{PATH}/{added['id']}/deliveries?state=delivered", headers=ann).json()["data"]
    assert [one["id"] for one in listed] == ids[::-1]


def until(look: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.03)


def test_importing_the_deliverer_loads_no_torch() -> None:
    code = "import sys, worker.deliveries; print({'torch', 'numpy', 'celery', 'boto3'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
