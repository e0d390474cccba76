"""What comes after a job's end: another try, and its deletion. And the labels that find it again."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import select, text
from starlette.testclient import TestClient

from api.services import Services
from jobs.records import Artifact, Claim
from jobs.store import JobFilter, listing
from jobs.sweep import Sweeper
from jobs.tables import artifacts, events, figures, jobs

CONFIG = {"dataset": {"uri": "s3://datasets/flowers.zip"}, "seed": 7}
RUN = {"priority": "high", "queue_deadline_s": 3600, "timeout_s": 90, "labels": {"team": "vision"}}
Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]


def submit(client: TestClient, headers: Headers, **labels: str) -> str:
    return str(client.post("/v1/jobs", json=CONFIG | {"job": {"labels": labels}}, headers=headers).json()["id"])


def listed(client: TestClient, headers: Headers, **query: Any) -> list[str]:
    return [job["id"] for job in client.get("/v1/jobs", params=query, headers=headers).json()["data"]]


@pytest.fixture
def ended(client: TestClient, ann: Headers) -> str:
    """A cancelled job of ann's."""
    job_id = str(client.post("/v1/jobs", json=CONFIG | {"job": RUN}, headers=ann).json()["id"])
    client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    return job_id


@pytest.fixture
def deleted(client: TestClient, ann: Headers, ended: str) -> str:
    assert client.delete(f"/v1/jobs/{ended}", headers=ann).status_code == 204
    return ended


@pytest.fixture
def sweeper(services: Services) -> Sweeper:
    return Sweeper(services.engine, services.objects, services.queue, services.settings)


def test_another_try_is_a_new_job_of_the_same_config_run_in_the_same_way(
    client: TestClient, ann: Headers, ended: str
) -> None:
    old = client.get(f"/v1/jobs/{ended}", headers=ann).json()
    response = client.post(old["links"]["retry"], headers=ann)
    new = response.json()
    assert (response.status_code, response.headers["location"]) == (202, f"/v1/jobs/{new['id']}")
    assert (new["status"], new["retried_from"]) == ("queued", ended)
    same = ("config", "labels", "priority", "timeout_s")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert new["queue_deadline_at"] > old["queue_deadline_at"]
    assert client.get(f"/v1/jobs/{ended}", headers=ann).json() == old


def test_another_try_that_is_asked_for_twice_is_made_once(client: TestClient, ann: Headers, ended: str) -> None:
    headers = {**ann, "Idempotency-Key": "again"}
    first, second = (client.post(f"/v1/jobs/{ended}/retry", headers=headers) for _ in range(2))
    assert (first.json()["id"], second.headers["idempotency-replayed"]) == (second.json()["id"], "true")


def test_a_key_that_tried_one_job_again_tries_no_other(
    client: TestClient, ann: Headers, ended: str, wrong_in: WrongIn
) -> None:
    headers = {**ann, "Idempotency-Key": "again"}
    other = client.post(f"/v1/jobs/{ended}/retry", headers=headers).json()["id"]
    client.post(f"/v1/jobs/{other}/cancel", headers=ann)
    refused = client.post(f"/v1/jobs/{other}/retry", headers=headers)
    assert not wrong_in(refused, 422, "request.idempotency_mismatch")


@pytest.mark.parametrize(("method", "end"), [("POST", "/retry"), ("DELETE", "")])
def test_what_has_not_ended_is_neither_tried_again_nor_deleted(
    client: TestClient, ann: Headers, job_id: str, wrong_in: WrongIn, method: str, end: str
) -> None:
    response = client.request(method, f"/v1/jobs/{job_id}{end}", headers=ann)
    assert not wrong_in(response, 409, "job.not_ended")
    assert "cancel" in response.json()["detail"]


def test_another_try_is_admitted_as_a_new_job_is(
    client: TestClient, ann: Headers, ended: str, services: Services, wrong_in: WrongIn
) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("""UPDATE jobs SET config = '{"dataset": {"uri": "s3://theirs/flowers.zip"}}'"""))
    response = client.post(f"/v1/jobs/{ended}/retry", headers=ann)
    assert not wrong_in(response, 422, "dataset.bucket_not_allowed")


PATHS = [
    ("GET", ""),
    ("DELETE", ""),
    ("POST", "/cancel"),
    ("POST", "/retry"),
    ("GET", "/events"),
    ("GET", "/artifacts"),
    ("GET", "/artifacts/archive.zip"),
]


@pytest.mark.parametrize(("method", "end"), PATHS)
def test_a_deleted_job_is_gone_for_its_owner_and_unknown_to_others(
    client: TestClient, ann: Headers, bob: Headers, deleted: str, wrong_in: WrongIn, method: str, end: str
) -> None:
    assert not wrong_in(client.request(method, f"/v1/jobs/{deleted}{end}", headers=ann), 410, "job.deleted")
    assert not wrong_in(client.request(method, f"/v1/jobs/{deleted}{end}", headers=bob), 404, "job.not_found")


def test_a_deleted_job_is_listed_no_more(client: TestClient, ann: Headers, deleted: str) -> None:
    assert listed(client, ann) == []
    assert listed(client, ann, state="cancelled") == []


def test_a_request_whose_job_was_deleted_makes_no_other(client: TestClient, ann: Headers, wrong_in: WrongIn) -> None:
    headers = {**ann, "Idempotency-Key": "once"}
    job_id = client.post("/v1/jobs", json=CONFIG, headers=headers).json()["id"]
    client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    client.delete(f"/v1/jobs/{job_id}", headers=ann)
    assert not wrong_in(client.post("/v1/jobs", json=CONFIG, headers=headers), 410, "job.deleted")


def test_nothing_that_the_owner_said_or_got_outlives_the_deletion(
    client: TestClient,
    ann: Headers,
    claim: Claim,
    make_artifact: Callable[[str, bytes], Artifact],
    services: Services,
    sweeper: Sweeper,
) -> None:
    made = make_artifact("archive.zip", b"content")
    client.post(f"/v1/jobs/{claim.job_id}/cancel", headers=ann)
    client.delete(f"/v1/jobs/{claim.job_id}", headers=ann)
    sweeper.clear_up()
    with services.engine.connect() as connection:
        row = connection.execute(select(jobs).where(jobs.c.id == claim.job_id)).one()
        left = [connection.execute(select(table)).all() for table in (artifacts, events, figures)]
    assert (row.config, row.labels, row.failure_message, left) == ({}, {}, None, [[], [], []])
    assert not services.objects.holds(made.key)
    assert list(services.objects.list_keys("jobs")) == []


def test_a_tombstone_is_kept_for_a_month(
    client: TestClient, ann: Headers, deleted: str, services: Services, sweeper: Sweeper
) -> None:
    codes = []
    for days in (29, 31):
        with services.engine.begin() as connection:
            connection.execute(text(f"UPDATE jobs SET deleted_at = now() - interval '{days} days'"))
        sweeper.clear_up()
        codes.append(client.get(f"/v1/jobs/{deleted}", headers=ann).status_code)
    assert codes == [410, 404]


def test_jobs_are_listed_by_all_of_the_labels_that_are_named(client: TestClient, ann: Headers) -> None:
    one = submit(client, ann, team="vision", stage="a/b")
    two = submit(client, ann, team="vision")
    submit(client, ann)
    assert listed(client, ann, label="team:vision") == [two, one]
    assert listed(client, ann, label=["team:vision", "stage:a/b"]) == [one]
    assert listed(client, ann, label=["team:vision", "team:audio"]) == []


def test_jobs_are_listed_by_any_of_the_states_that_are_named(client: TestClient, ann: Headers, ended: str) -> None:
    queued = submit(client, ann)
    assert listed(client, ann, state=["queued", "cancelled"]) == [queued, ended]
    assert listed(client, ann, state=["running", "cancelled"]) == [ended]


def test_the_link_to_the_next_page_keeps_the_filters(client: TestClient, ann: Headers) -> None:
    first, *_ = (submit(client, ann, team="vision") for _ in range(2))
    page = client.get("/v1/jobs?limit=1&label=team:vision&state=queued", headers=ann)
    following = client.get(page.links["next"]["url"], headers=ann)
    assert [job["id"] for job in following.json()["data"]] == [first]
    assert "link" not in following.headers


@pytest.mark.parametrize(
    "labels",
    [
        {"a b": "c"},
        {"": "c"},
        {"a:b": "c"},
        {"-a": "c"},
        {"a": "b c"},
        {"a": "b\n"},
        {"a" * 64: "c"},
        {"a": "b" * 64},
        {str(number): "" for number in range(17)},
    ],
)
def test_labels_have_bounds(client: TestClient, ann: Headers, wrong_in: WrongIn, labels: dict[str, str]) -> None:
    response = client.post("/v1/jobs", json=CONFIG | {"job": {"labels": labels}}, headers=ann)
    assert not wrong_in(response, 422, "request.invalid")


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (JobFilter(), "ix_jobs_listed"),
        (JobFilter(labels=frozenset({("number", "77")})), "ix_jobs_labels"),
    ],
    ids=["all", "by label"],
)
def test_a_page_of_many_jobs_is_read_by_an_index(services: Services, which: JobFilter, index: str) -> None:
    with services.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO jobs (id, owner, state, stage, config, labels, finished_at) "
                "SELECT 'job_' || lpad(n::text, 26, '0'), CASE WHEN n % 50 = 0 THEN 'ann' ELSE 'bob' END, "
                "'succeeded', 'package', '{}', "
                "jsonb_build_object('number', n::text), now() FROM generate_series(1, 5000) AS n"
            )
        )
        connection.execute(text("ANALYZE jobs"))
        page, values = listing("ann", which, None, 21)
        query = page.params(**values).compile(connection, compile_kwargs={"render_postcompile": True})
        given = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in query.params.items()}
        plan = connection.exec_driver_sql(f"EXPLAIN {query}", given).scalars().all()
    assert any(f"{index} " in f"{line} " for line in plan), plan
    assert not any("Seq Scan" in line for line in plan), plan
