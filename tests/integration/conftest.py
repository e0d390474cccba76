"""The real application over the real servers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from jobs.keys import Scope
from jobs.leases import Leases
from jobs.records import Artifact, Claim
from jobs.settings import Settings
from tests.integration.browsing import Browser
from tests.integration.live import serve
from tests.job_steps import put_artifact

PROBLEM_FIELDS = {"type", "title", "status", "detail", "hint", "code", "request_id", "retryable", "errors"}
CONFIG = {"dataset": {"uri": "s3://datasets/flowers.zip"}}


@pytest.fixture
def app(settings: Settings, tmp_path: Path) -> Iterator[FastAPI]:
    allowed = {"dataset_buckets": ("datasets",), "file_roots": (tmp_path,), "models": ("org/vae",)}
    app = create_app(settings.model_copy(update=allowed))
    yield app
    app.state.services.engine.dispose()


@pytest.fixture
def services(app: FastAPI) -> Services:
    found: Services = app.state.services
    return found


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def key_for(services: Services) -> Callable[..., dict[str, str]]:
    """Make a key and return the header that carries it."""

    def make(owner: str, *scopes: Scope) -> dict[str, str]:
        return {"Authorization": f"Bearer {services.keys.create(owner, 'test', scopes or tuple(Scope))[1]}"}

    return make


@pytest.fixture
def ann(key_for: Callable[..., dict[str, str]]) -> dict[str, str]:
    return key_for("ann")


@pytest.fixture
def bob(key_for: Callable[..., dict[str, str]]) -> dict[str, str]:
    return key_for("bob")


@pytest.fixture
def browser(app: FastAPI) -> Iterator[Browser]:
    """A browser that has never been here."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Browser(client)


@pytest.fixture
def anns(browser: Browser, ann: dict[str, str]) -> Browser:
    """The browser of ann, who is signed in."""
    assert browser.sign_in(ann).status_code == 303
    return browser


@pytest.fixture
def job_id(client: TestClient, ann: dict[str, str]) -> str:
    """A queued job of ann's."""
    return str(client.post("/v1/jobs", json=CONFIG, headers=ann).json()["id"])


@pytest.fixture
def claim(services: Services, job_id: str) -> Claim:
    """The first unit of ann's job, as a worker holds it."""
    claim = Leases(services.engine, 60).claim("a worker")
    assert claim is not None
    assert claim.job_id == job_id
    return claim


@pytest.fixture
def make_artifact(services: Services, claim: Claim, tmp_path: Path) -> Callable[[str, bytes], Artifact]:
    """Let the worker finish its unit with one artifact."""

    def make(name: str, content: bytes) -> Artifact:
        path = tmp_path / "artifact"
        path.write_bytes(content)
        artifact = put_artifact(services.objects, path, f"{claim.prefix}/{name}", name, "application/zip")
        Leases(services.engine, 60).finish(claim, [artifact])
        return artifact

    return make


@pytest.fixture
def wrong_in() -> Callable[[Any, int, str], str]:
    """Tell what keeps a response from being the problem it should be; empty if nothing does."""

    def tell(response: Any, status: int, code: str) -> str:
        if response.headers.get("content-type") != "application/problem+json":
            return f"{response.status_code} {response.headers.get('content-type')}: {response.text[:200]}"
        document = response.json()
        if set(document) != PROBLEM_FIELDS:
            return f"fields {sorted(document)}"
        found = (response.status_code, document["status"], document["code"], document["type"])
        if found != (status, status, code, f"urn:ddoq:error:{code}"):
            return f"{found}, not {status} {code}: {document['detail']}"
        if response.headers.get("x-request-id") != document["request_id"]:
            return f"request id {document['request_id']} is not that of the header"
        is_whole = (
            document["title"].endswith(".")
            and document["detail"]
            and document["retryable"] is (status in {429, 503, 507})
        )
        return "" if is_whole else f"not whole: {document}"

    return tell


@pytest.fixture
def service_url(app: FastAPI) -> Iterator[str]:
    """The application as a server, for clients that speak HTTP themselves."""
    with serve(app) as url:
        yield url


@pytest.fixture
def anns_key(ann: dict[str, str]) -> str:
    return ann["Authorization"].removeprefix("Bearer ")
