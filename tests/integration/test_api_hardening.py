"""What every answer carries, whom the service answers for, and what bodies it takes."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from starlette.types import Message

from api.app import create_app
from api.body_limits import BodyLimit, BodyRule
from api.errors import BodyTimeoutError
from api.problems import HANDLERS, status_of
from api.request_id import RequestId
from api.services import Services

WrongIn = Callable[[Any, int, str], str]
SECURE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
RULES = (
    BodyRule("/v1/uploads", max_bytes=None, seconds=None, pause_seconds=60),
    BodyRule("/", max_bytes=1000, seconds=60, pause_seconds=0.05),
)


@pytest.mark.parametrize("path", ["/healthz", "/v1/jobs", "/openapi.json", "/nowhere"])
def test_every_answer_is_secured(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert {name: headers.get(name) for name in SECURE} == SECURE
    assert "strict-transport-security" not in headers


def test_an_answer_that_nobody_foresaw_is_secured(app: FastAPI) -> None:
    def break_off() -> None:
        raise RuntimeError("nobody foresaw this")

    app.add_api_route("/broken", break_off)
    with TestClient(app, raise_server_exceptions=False) as client:
        headers = client.get("/broken").headers
    assert {name: headers.get(name) for name in SECURE} == SECURE


def test_a_route_keeps_a_caching_rule_of_its_own(
    client: TestClient, ann: dict[str, str], job_id: str, make_artifact: Any
) -> None:
    make_artifact("archive.zip", b"content")
    answer = client.get(f"/v1/jobs/{job_id}/artifacts/archive.zip", headers=ann)
    assert answer.headers["cache-control"] == "private, no-cache, no-transform"


def test_clients_are_told_to_stay_with_https_where_there_is_nothing_else(services: Services) -> None:
    with TestClient(create_app(services.settings.model_copy(update={"https_only": True}))) as client:
        assert client.get("/healthz").headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


@pytest.fixture
def ours(services: Services) -> Iterator[TestClient]:
    allowed = {"allowed_hosts": ("ddoq.example.com", "*.internal", "::1")}
    with TestClient(create_app(services.settings.model_copy(update=allowed))) as client:
        yield client


@pytest.mark.parametrize("host", ["ddoq.example.com", "DDOQ.example.com:8443", "a.b.internal", "[::1]:8000"])
def test_an_allowed_host_is_answered_for(ours: TestClient, host: str) -> None:
    assert ours.get("/openapi.json", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example.com", "internal", "evilinternal", "ddoq.example.com.evil", ""])
def test_another_host_is_refused(ours: TestClient, wrong_in: WrongIn, host: str) -> None:
    assert not wrong_in(ours.get("/openapi.json", headers={"Host": host}), 421, "request.host")


def test_whoever_asks_by_address_learns_whether_it_lives(ours: TestClient) -> None:
    assert ours.get("/healthz", headers={"Host": "10.0.0.7:8000"}).status_code == 200


@pytest.fixture
def echo() -> Iterator[TestClient]:
    """An application that answers with the length of the body, behind limits that can be reached."""
    middleware = [Middleware(RequestId), Middleware(BodyLimit, rules=RULES)]
    app = FastAPI(middleware=middleware, exception_handlers=HANDLERS)

    async def count(request: Request) -> int:
        return len(await read(request))

    async def read(request: Request) -> bytes:
        return b"".join([chunk async for chunk in request.stream()])

    app.add_api_route("/v1/any", count, methods=["POST"])
    app.add_api_route("/v1/uploads/1", count, methods=["POST"])
    with TestClient(app) as client:
        yield client


def test_a_body_up_to_the_limit_is_taken(echo: TestClient) -> None:
    assert echo.post("/v1/any", content=b"a" * 1000).json() == 1000


@pytest.mark.parametrize("content", [b"a" * 1001, [b"a" * 600, b"a" * 600]], ids=["declared", "streamed"])
def test_a_larger_body_is_refused_declared_or_not(echo: TestClient, wrong_in: WrongIn, content: Any) -> None:
    body = iter(content) if isinstance(content, list) else content
    assert not wrong_in(echo.post("/v1/any", content=body), 413, "request.too_large")


def test_an_upload_may_be_larger(echo: TestClient) -> None:
    assert echo.post("/v1/uploads/1", content=b"a" * 5000).json() == 5000


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    status = asyncio.run(_status_of_a_request_without_its_body())
    assert status == status_of(BodyTimeoutError) == 408


async def _status_of_a_request_without_its_body() -> int:
    app = FastAPI(middleware=[Middleware(RequestId), Middleware(BodyLimit, rules=RULES)], exception_handlers=HANDLERS)

    async def read(request: Request) -> int:
        return len(await request.body())

    app.add_api_route("/", read, methods=["POST"])
    statuses = []

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [(b"content-length", b"5")]}
    await app(scope, receive, send)
    return int(statuses[0] or 0)
