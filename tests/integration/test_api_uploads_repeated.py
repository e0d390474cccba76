"""A request for an upload that is sent again."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Response
from starlette.testclient import TestClient

from api.app import create_app

Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]


def begin(client: TestClient, headers: Headers, key: str = "k", size_bytes: int = 10) -> Response:
    return client.post("/v1/uploads", json={"size_bytes": size_bytes}, headers=headers | {"Idempotency-Key": key})


def uploads(client: TestClient, headers: Headers) -> list[str]:
    return [upload["id"] for upload in client.get("/v1/uploads", headers=headers).json()["data"]]


def test_a_request_that_is_sent_again_is_answered_with_its_upload(client: TestClient, ann: Headers) -> None:
    first, second = begin(client, ann), begin(client, ann)
    assert (first.status_code, "idempotency-replayed" in first.headers) == (201, False)
    assert (second.status_code, second.headers["idempotency-replayed"]) == (201, "true")
    assert (second.json(), second.headers["location"]) == (first.json(), first.headers["location"])
    assert uploads(client, ann) == [first.json()["id"]]


def test_the_answer_shows_the_upload_as_it_is_now(client: TestClient, ann: Headers) -> None:
    first = begin(client, ann).json()
    client.put(first["links"]["content"], content=b"some bytes", headers=ann)
    assert begin(client, ann).json()["state"] == "ready"


def test_a_key_with_another_body_is_refused(client: TestClient, ann: Headers, wrong_in: WrongIn) -> None:
    first = begin(client, ann).json()
    assert not wrong_in(begin(client, ann, size_bytes=11), 422, "request.idempotency_mismatch")
    assert uploads(client, ann) == [first["id"]]


def test_another_key_and_somebody_elses_begin_another_upload(client: TestClient, ann: Headers, bob: Headers) -> None:
    made = {begin(client, ann), begin(client, ann, "l"), begin(client, bob)}
    assert len({response.json()["id"] for response in made}) == 3


def test_an_upload_is_found_again_though_there_is_room_for_no_other(app: FastAPI, ann: Headers) -> None:
    full = app.state.services.settings.model_copy(update={"max_open_uploads": 1})
    with TestClient(create_app(full)) as client:
        first = begin(client, ann)
        assert begin(client, ann).json()["id"] == first.json()["id"]
        assert begin(client, ann, "l").status_code == 429


def test_a_key_is_free_once_its_upload_was_deleted(client: TestClient, ann: Headers) -> None:
    first = begin(client, ann).json()
    client.delete(first["links"]["self"], headers=ann)
    assert begin(client, ann, size_bytes=11).json()["id"] != first["id"]


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
def test_an_unusable_key_is_refused_by_name(client: TestClient, ann: Headers, wrong_in: WrongIn, key: str) -> None:
    response = begin(client, ann, key)
    assert not wrong_in(response, 422, "request.invalid")
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["Idempotency-Key:"]
