"""API keys over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.services import Services
from jobs.keys import Scope

Headers = dict[str, str]
NEW = {"name": "pipeline", "scopes": ["jobs:read"]}
WrongIn = Callable[[Any, int, str], str]


def bearer(secret: str) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


def test_a_created_key_opens_what_its_scopes_say(client: TestClient, ann: Headers) -> None:
    response = client.post("/v1/api-keys", json=NEW, headers=ann)
    key = response.json()
    assert (response.status_code, key["name"], key["scopes"]) == (201, "pipeline", ["jobs:read"])
    assert client.get("/v1/jobs", headers=bearer(key["secret"])).status_code == 200


def test_a_created_key_is_of_the_same_owner(client: TestClient, ann: Headers, job_id: str) -> None:
    secret = client.post("/v1/api-keys", json=NEW, headers=ann).json()["secret"]
    assert client.get(f"/v1/jobs/{job_id}", headers=bearer(secret)).status_code == 200


def test_an_answer_with_a_secret_is_kept_by_no_cache(client: TestClient, ann: Headers) -> None:
    assert client.post("/v1/api-keys", json=NEW, headers=ann).headers["cache-control"] == "no-store"


def test_a_secret_is_neither_listed_nor_stored(client: TestClient, ann: Headers, services: Services) -> None:
    secret = client.post("/v1/api-keys", json=NEW, headers=ann).json()["secret"]
    with services.engine.connect() as connection:
        stored = str(connection.execute(text("SELECT *, encode(digest, 'escape') FROM api_keys")).all())
    assert secret not in client.get("/v1/api-keys", headers=ann).text
    assert secret not in stored


def test_a_revoked_key_is_refused_from_then_on(client: TestClient, ann: Headers) -> None:
    key = client.post("/v1/api-keys", json=NEW, headers=ann).json()
    assert client.delete(f"/v1/api-keys/{key['id']}", headers=ann).status_code == 204
    assert client.get("/v1/jobs", headers=bearer(key["secret"])).status_code == 401


def test_a_revoked_key_is_listed_as_such(client: TestClient, ann: Headers) -> None:
    key = client.post("/v1/api-keys", json=NEW, headers=ann).json()
    client.delete(f"/v1/api-keys/{key['id']}", headers=ann)
    revoked = {shown["id"]: shown["revoked_at"] for shown in client.get("/v1/api-keys", headers=ann).json()["data"]}
    assert revoked.pop(key["id"]) is not None
    assert set(revoked.values()) == {None}


def test_revoking_twice_is_no_error(client: TestClient, ann: Headers) -> None:
    key = client.post("/v1/api-keys", json=NEW, headers=ann).json()
    assert [client.delete(f"/v1/api-keys/{key['id']}", headers=ann).status_code for _ in range(2)] == [204, 204]


def test_the_keys_of_others_are_not_listed(client: TestClient, ann: Headers, bob: Headers) -> None:
    key_id = client.post("/v1/api-keys", json=NEW, headers=ann).json()["id"]
    assert key_id not in client.get("/v1/api-keys", headers=bob).text


def test_the_key_of_somebody_else_cannot_be_revoked(
    client: TestClient, ann: Headers, bob: Headers, wrong_in: WrongIn
) -> None:
    key = client.post("/v1/api-keys", json=NEW, headers=ann).json()
    assert not wrong_in(client.delete(f"/v1/api-keys/{key['id']}", headers=bob), 404, "key.not_found")
    assert client.get("/v1/jobs", headers=bearer(key["secret"])).status_code == 200


def test_a_key_cannot_hand_out_a_scope_that_it_lacks(
    client: TestClient, key_for: Callable[..., Headers], wrong_in: WrongIn
) -> None:
    response = client.post("/v1/api-keys", json=NEW, headers=key_for("ann", Scope.KEYS_MANAGE))
    assert not wrong_in(response, 403, "auth.scope")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\0b"}, "/name"),
        ({"name": "a" * 201}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2040-01-01T00:00:00"}, "/expires_at"),
        ({"owner": "bob"}, "/owner"),
    ],
)
def test_a_bad_key_is_refused_by_place(
    client: TestClient, ann: Headers, wrong_in: WrongIn, change: dict[str, Any], pointer: str
) -> None:
    response = client.post("/v1/api-keys", json={**NEW, **change}, headers=ann)
    assert not wrong_in(response, 422, "request.invalid")
    assert pointer in [fault["pointer"] for fault in response.json()["errors"]]


def test_a_key_may_be_given_an_end(client: TestClient, ann: Headers) -> None:
    key = client.post("/v1/api-keys", json={**NEW, "expires_at": "2100-01-01T00:00:00+01:00"}, headers=ann).json()
    assert (key["expires_at"], key["last_used_at"]) == ("2099-12-31T23:00:00Z", None)


def test_a_key_is_listed_with_its_last_use(client: TestClient, ann: Headers) -> None:
    (listed,) = client.get("/v1/api-keys", headers=ann).json()["data"]
    assert listed["last_used_at"] is not None


def test_the_last_key_that_manages_keys_may_revoke_itself(client: TestClient, ann: Headers) -> None:
    (own,) = client.get("/v1/api-keys", headers=ann).json()["data"]
    assert client.delete(f"/v1/api-keys/{own['id']}", headers=ann).status_code == 204
    assert client.get("/v1/api-keys", headers=ann).status_code == 401
