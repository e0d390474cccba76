"""Everything that can be wrong with a request is answered with a problem document, on every route."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from jobs.keys import Scope, new_secret
from jobs.settings import Settings
from tests.integration.resources import NEVER, OPEN, VALUES

METHODS = {"DELETE", "GET", "PATCH", "POST", "PUT"}
UNKNOWN_JOB, UNKNOWN_KEY = NEVER["job_id"][0], NEVER["key_id"][0]
GOOD = {"dataset": {"uri": "s3://datasets/flowers.zip"}}
WrongIn = Callable[[Any, int, str], str]
KeyFor = Callable[..., dict[str, str]]


def filled(path: str, job_id: str = UNKNOWN_JOB) -> str:
    return path.format(**{name: value for name, (value, _) in NEVER.items()} | VALUES | {"job_id": job_id})


def operations(app: FastAPI, *, having: str = "operationId") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Walk all operations whose description has a certain part: (METHOD, path, description)."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if having in operation and method != "head":  # the answer to HEAD has no body to look at
                yield method.upper(), path, operation


def needed_scope(operation: dict[str, Any]) -> str:
    return str(operation["security"][0]["ApiKey"][0])


def test_every_path_refuses_the_methods_it_does_not_know_and_names_those_it_does(
    app: FastAPI, client: TestClient, ann: dict[str, str], wrong_in: WrongIn
) -> None:
    wrong = {}
    for path, known in app.openapi()["paths"].items():
        allowed = {method.upper() for method in known}
        for method in METHODS - allowed:
            response = client.request(method, filled(path), headers=ann)
            wrong[method, path] = wrong_in(response, 405, "request.method")
            assert set(response.headers["allow"].split(", ")) == allowed
    assert not {case: reason for case, reason in wrong.items() if reason}


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/jobs/", "/v2/jobs", "/docs/index.html", "/redoc", "/v1/jobs/a/b/c/d", "/%00"]
)
def test_an_unknown_path_is_a_problem(client: TestClient, wrong_in: WrongIn, path: str) -> None:
    assert not wrong_in(client.get(path), 404, "request.path")


def test_every_operation_but_those_for_health_wants_a_key(app: FastAPI) -> None:
    open_paths = {path for _, path, operation in operations(app) if "security" not in operation}
    assert open_paths == OPEN


def test_no_operation_is_answered_without_a_key(app: FastAPI, client: TestClient, wrong_in: WrongIn) -> None:
    wrong = {}
    for method, path, _ in operations(app, having="security"):
        response = client.request(method, filled(path), content=b"not json")
        wrong[method, path] = wrong_in(response, 401, "auth.missing_key")
        assert response.headers["www-authenticate"] == 'Bearer realm="ddoq"'
    assert not {case: reason for case, reason in wrong.items() if reason}


@pytest.mark.parametrize(
    "secret",
    ["x", new_secret(), "ddoq_" + "0" * 33, "ä€".encode(), "\udcff".encode("utf-8", "surrogateescape"), "a b"],
    ids=["malformed", "unknown", "bad checksum", "not ascii", "not utf-8", "two words"],
)
def test_no_operation_is_answered_with_a_wrong_key(
    app: FastAPI, client: TestClient, wrong_in: WrongIn, secret: str | bytes
) -> None:
    bearer = b"Bearer " + (secret if isinstance(secret, bytes) else secret.encode())
    wrong = {}
    for method, path, _ in operations(app, having="security"):
        response = client.request(method, filled(path), headers={b"Authorization": bearer})
        wrong[method, path] = wrong_in(response, 401, "auth.invalid_key")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert not {case: reason for case, reason in wrong.items() if reason}


def test_no_operation_is_answered_with_a_revoked_key(
    app: FastAPI, client: TestClient, services: Services, wrong_in: WrongIn
) -> None:
    key, secret = services.keys.create("ann", "leaked", Scope)
    services.keys.revoke("ann", key.id)
    wrong = {
        (method, path): wrong_in(
            client.request(method, filled(path), headers={"Authorization": f"Bearer {secret}"}), 401, "auth.invalid_key"
        )
        for method, path, _ in operations(app, having="security")
    }
    assert not {case: reason for case, reason in wrong.items() if reason}


@pytest.mark.parametrize("authorization", ["Basic YW5uOnB3", "Bearer", "Bearer ", ""])
def test_another_way_to_authenticate_is_no_key(client: TestClient, wrong_in: WrongIn, authorization: str) -> None:
    response = client.get("/v1/jobs", headers={"Authorization": authorization})
    assert not wrong_in(response, 401, "auth.missing_key")


def test_no_operation_is_answered_with_a_key_that_lacks_its_scope(
    app: FastAPI, client: TestClient, key_for: KeyFor, wrong_in: WrongIn
) -> None:
    lacking = {scope.value: key_for("ann", *(set(Scope) - {scope})) for scope in Scope}
    wrong = {}
    for method, path, operation in operations(app, having="security"):
        response = client.request(method, filled(path), headers=lacking[needed_scope(operation)], content=b"not json")
        wrong[method, path] = wrong_in(response, 403, "auth.scope")
        assert needed_scope(operation) in response.json()["detail"]
    assert not {case: reason for case, reason in wrong.items() if reason}


BAD_BODIES = {
    "not json": (b"{", "application/json", 400, "request.not_json"),
    "empty": (b"", "application/json", 400, "request.not_json"),
    "not utf-8": (b'{"a": "\xff"}', "application/json", 400, "request.not_json"),
    "a form": (b"a=1", "application/x-www-form-urlencoded", 415, "request.content_type"),
    "text": (json.dumps(GOOD).encode(), "text/plain", 415, "request.content_type"),
    "an odd type": (b"{}", "{", 415, "request.content_type"),
    "too large": (b" " * (1024 * 1024 + 1), "application/json", 413, "request.too_large"),
    "an unknown field": (b'{"surprise": 1}', "application/json", 422, "request.invalid"),
    "a list": (b"[]", "application/json; charset=utf-8", 422, "request.invalid"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_no_operation_takes_a_bad_body(
    app: FastAPI, client: TestClient, ann: dict[str, str], wrong_in: WrongIn, case: str
) -> None:
    body, content_type, status, code = BAD_BODIES[case]
    headers = {**ann, "Content-Type": content_type}
    wrong = {
        (method, path): wrong_in(client.request(method, filled(path), content=body, headers=headers), status, code)
        for method, path, operation in operations(app, having="requestBody")
        if "application/json" in operation["requestBody"]["content"]
    }
    assert len(wrong) >= 5
    assert not {case: reason for case, reason in wrong.items() if reason}


def test_a_body_without_a_declared_type_is_a_problem(
    client: TestClient, ann: dict[str, str], wrong_in: WrongIn
) -> None:
    assert not wrong_in(client.post("/v1/jobs", content=b"{}", headers=ann), 415, "request.content_type")


def test_a_body_that_does_not_say_how_long_it_is_is_not_read_for_ever(
    client: TestClient, ann: dict[str, str], wrong_in: WrongIn
) -> None:
    chunks = (b" " * 65536 for _ in range(17))
    response = client.post("/v1/jobs", content=chunks, headers={**ann, "Content-Type": "application/json"})
    assert not wrong_in(response, 413, "request.too_large")


BAD_CONFIGS = [
    ({"surprise": 1}, "request.invalid", "/surprise"),
    ({"images_per_class": 0}, "request.invalid", "/images_per_class"),
    ({"images_per_class": 1_000_000}, "request.invalid", "/images_per_class"),
    ({"images_per_class": None}, "request.invalid", "/images_per_class"),
    ({"dataset": {}}, "request.invalid", "/dataset/uri"),
    ({"dataset": {"uri": "s3://datasets/a\0.zip"}}, "request.invalid", "/dataset/uri"),
    ({"dataset": {"uri": "s3://datasets/" + "a" * 2048}}, "request.invalid", "/dataset/uri"),
    ({"prior": {"kind": "gan"}}, "request.invalid", "/prior"),
    ({"prior": {"kind": "vae", "model": "org/vae", "sampler": 1}}, "request.invalid", "/prior/sampler"),
    ({"dataset": {"uri": "ftp://datasets/flowers"}}, "dataset.unknown_scheme", "/dataset/uri"),
    ({"dataset": {"uri": "hf://datasets/flowers"}}, "dataset.uri", "/dataset/uri"),
    ({"dataset": {"uri": "hf://datasets/ann/flowers@~parquet"}}, "dataset.hub_not_allowed", "/dataset/uri"),
    ({"dataset": {"uri": "https://data.example/x.zip"}}, "dataset.host_not_allowed", "/dataset/uri"),
    ({"dataset": {"uri": "flowers.zip"}}, "dataset.unknown_scheme", "/dataset/uri"),
    ({"dataset": {"uri": "file:///etc/passwd"}}, "dataset.outside_roots", "/dataset/uri"),
    ({"dataset": {"uri": "file:///{root}/../x"}}, "dataset.outside_roots", "/dataset/uri"),
    ({"dataset": {"uri": "file://relative"}}, "dataset.not_found", "/dataset/uri"),
    ({"dataset": {"uri": "file:///a%00b"}}, "dataset.not_found", "/dataset/uri"),
    ({"dataset": {"uri": "s3://theirs/flowers.zip"}}, "dataset.bucket_not_allowed", "/dataset/uri"),
    ({"prior": {"kind": "vae", "model": "org/other", "revision": "abc"}}, "prior.not_allowed", "/prior/model"),
    ({"prior": {"kind": "vae", "model": "/etc"}}, "prior.not_allowed", "/prior/model"),
    ({"prior": {"kind": "vae", "model": "org/vae"}}, "prior.not_found", "/prior/model"),
]


@pytest.mark.parametrize(("change", "code", "pointer"), BAD_CONFIGS)
def test_a_bad_config_is_refused_at_the_door_by_code_and_place(
    client: TestClient, ann: dict[str, str], wrong_in: WrongIn, change: dict[str, Any], code: str, pointer: str
) -> None:
    response = client.post("/v1/jobs", json={**GOOD, **change}, headers=ann)
    assert not wrong_in(response, 422, code)
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


def test_a_link_out_of_the_roots_is_refused_at_the_door(
    client: TestClient, ann: dict[str, str], wrong_in: WrongIn, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/etc")
    body = {"dataset": {"uri": f"file://{tmp_path}/link/flowers.zip"}}
    assert not wrong_in(client.post("/v1/jobs", json=body, headers=ann), 422, "dataset.outside_roots")


def test_what_was_refused_was_not_stored(client: TestClient, ann: dict[str, str]) -> None:
    client.post("/v1/jobs", json={**GOOD, "images_per_class": 0}, headers=ann)
    client.post("/v1/jobs", json={"dataset": {"uri": "file:///etc"}}, headers=ann)
    assert client.get("/v1/jobs", headers=ann).json()["data"] == []


@pytest.mark.parametrize(
    "stranger",
    [UNKNOWN_JOB, "job_", "job_" + "z" * 27, "key_" + "0" * 26, "%00", "job_" + "I" * 26, "%ff", "'--", "a" * 5000],
)
def test_a_job_of_nobody_is_not_found_by_any_operation(
    app: FastAPI, client: TestClient, ann: dict[str, str], wrong_in: WrongIn, stranger: str
) -> None:
    wrong = {
        (method, path): wrong_in(client.request(method, filled(path, stranger), headers=ann), 404, "job.not_found")
        for method, path, _ in operations(app)
        if "{job_id}" in path
    }
    assert len(wrong) >= 5
    assert not {case: reason for case, reason in wrong.items() if reason}


def test_a_job_of_somebody_else_is_not_found_by_any_operation(
    app: FastAPI, client: TestClient, job_id: str, bob: dict[str, str], wrong_in: WrongIn
) -> None:
    wrong = {
        (method, path): wrong_in(client.request(method, filled(path, job_id), headers=bob), 404, "job.not_found")
        for method, path, _ in operations(app)
        if "{job_id}" in path
    }
    assert not {case: reason for case, reason in wrong.items() if reason}


@pytest.mark.parametrize("key_id", [UNKNOWN_KEY, "key_", "%00", "job_" + "0" * 26])
def test_a_key_of_nobody_is_not_found(client: TestClient, ann: dict[str, str], wrong_in: WrongIn, key_id: str) -> None:
    assert not wrong_in(client.delete(f"/v1/api-keys/{key_id}", headers=ann), 404, "key.not_found")


BAD_QUERIES = [
    ("/v1/jobs?limit=0", "request.invalid", "?limit"),
    ("/v1/jobs?limit=101", "request.invalid", "?limit"),
    ("/v1/jobs?limit=many", "request.invalid", "?limit"),
    ("/v1/jobs?state=lost", "request.invalid", "?state"),
    ("/v1/jobs?page=2", "request.invalid", "?page"),
    ("/v1/jobs?cursor=abc", "request.cursor", "?cursor"),
    ("/v1/jobs?cursor=%00", "request.cursor", "?cursor"),
    ("/v1/jobs?cursor=" + "a" * 201, "request.invalid", "?cursor"),
    ("/v1/jobs/JOB/events?after=-1", "request.invalid", "?after"),
    ("/v1/jobs/JOB/events?after=99999999999", "request.invalid", "?after"),
    ("/v1/jobs/JOB/events?limit=1001", "request.invalid", "?limit"),
]


@pytest.mark.parametrize(("path", "code", "pointer"), BAD_QUERIES)
def test_a_bad_parameter_is_refused_by_code_and_name(
    client: TestClient, job_id: str, ann: dict[str, str], wrong_in: WrongIn, path: str, code: str, pointer: str
) -> None:
    response = client.get(path.replace("JOB", job_id), headers=ann)
    assert not wrong_in(response, 422, code)
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


def test_what_nobody_foresaw_is_a_problem_that_gives_nothing_away(
    client: TestClient, services: Services, ann: dict[str, str], wrong_in: WrongIn
) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("DROP TABLE events"))
    response = client.post("/v1/jobs", json=GOOD, headers=ann)
    assert not wrong_in(response, 500, "internal")
    assert "events" not in response.text


def test_a_database_that_is_away_is_a_problem_that_may_pass(settings: Settings, wrong_in: WrongIn) -> None:
    nowhere = settings.model_copy(update={"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/nothing"})
    with TestClient(create_app(nowhere), raise_server_exceptions=False) as client:
        response = client.get("/v1/jobs", headers={"Authorization": f"Bearer {new_secret()}"})
    assert not wrong_in(response, 503, "database.unavailable")
    assert response.headers["retry-after"] == "5"


def test_every_answer_names_its_request(client: TestClient) -> None:
    first, second = (client.get("/healthz").headers["x-request-id"] for _ in range(2))
    assert first != second
