"""Health and readiness against servers that are there, and that are not."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services

WrongIn = Callable[[Any, int, str], str]
AWAY = {
    "database": {"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/nothing"},
    "storage": {"s3_endpoint": "http://127.0.0.1:1"},
    "broker": {"broker_url": "redis://127.0.0.1:1/0"},
}


def test_a_service_with_all_its_servers_is_ready(client: TestClient) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize("server", AWAY)
def test_a_service_without_one_of_its_servers_is_not_ready_and_says_which(
    services: Services, wrong_in: WrongIn, server: str
) -> None:
    with TestClient(create_app(services.settings.model_copy(update=AWAY[server]))) as client:
        response = client.get("/readyz")
    assert not wrong_in(response, 503, "service.not_ready")
    assert [fault["code"] for fault in response.json()["errors"]] == [server]


def test_a_service_whose_database_is_not_migrated_is_not_ready(
    client: TestClient, services: Services, wrong_in: WrongIn
) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    response = client.get("/readyz")
    assert not wrong_in(response, 503, "service.not_ready")
    assert [fault["code"] for fault in response.json()["errors"]] == ["schema"]


def test_a_service_without_its_bucket_is_not_ready(services: Services) -> None:
    with TestClient(create_app(services.settings.model_copy(update={"s3_bucket": "no-such-bucket"}))) as client:
        assert [fault["code"] for fault in client.get("/readyz").json()["errors"]] == ["storage"]


def test_a_process_is_alive_whatever_its_servers_do(services: Services) -> None:
    nowhere = services.settings.model_copy(update={**AWAY["database"], **AWAY["storage"], **AWAY["broker"]})
    with TestClient(create_app(nowhere)) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
