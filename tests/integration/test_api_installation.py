"""What the service tells of itself and of the caller; and downloads that go past it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from jobs.keys import Scope
from jobs.leases import Leases
from jobs.records import Artifact, Claim
from tests.integration.live import serve

CONTENT = bytes(range(256)) * 20_000  # more than a socket takes at once
Headers = dict[str, str]


@pytest.fixture
def url(claim: Claim, make_artifact: Callable[[str, bytes], Artifact]) -> str:
    make_artifact("plots/größe 1.zip", CONTENT)
    return f"/v1/jobs/{claim.job_id}/artifacts/plots/gr%C3%B6%C3%9Fe%201.zip"


def test_what_may_be_named_in_a_config_is_told(client: TestClient, ann: Headers) -> None:
    shown = client.get("/v1/models", headers=ann).json()
    assert shown["models"] == ["org/vae"]
    assert {"name": "ddoq", "reducer": "centroid", "canvas": "prior", "weights": "sqrt"} in shown["methods"]
    kinds = [{part["kind"] for part in shown[group]} for group in ("priors", "teachers")]
    assert kinds == [{"pixels", "vae", "stable-diffusion", "dit", "fit"}, {"checkpoint", "pretrained", "train"}]
    assert all(part["description"].endswith(".") for group in ("priors", "teachers") for part in shown[group])


def test_workers_are_told_with_the_stage_of_their_work_and_nothing_of_whose_it_is(
    client: TestClient, bob: Headers, claim: Claim, services: Services
) -> None:
    leases = Leases(services.engine, 60)
    for name in ("idle", claim.worker):
        leases.present(name)
    response = client.get("/v1/workers", headers=bob)
    assert [(worker["name"], worker["stage"]) for worker in response.json()["data"]] == [
        (claim.worker, "read"),
        ("idle", None),
    ]
    assert claim.job_id not in response.text


def test_a_key_is_told_what_it_is(client: TestClient, key_for: Callable[..., Headers]) -> None:
    shown = client.get("/v1/me", headers=key_for("ann", Scope.JOBS_READ)).json()
    assert (shown["owner"], shown["name"], shown["scopes"]) == ("ann", "test", ["jobs:read"])
    assert shown["key_id"].startswith("key_")


def test_limits_are_told_with_what_is_used_of_them(client: TestClient, ann: Headers, bob: Headers, job_id: str) -> None:
    shown = [client.get("/v1/limits", headers=headers).json() for headers in (ann, bob)]
    assert [view["queued_jobs"] for view in shown] == [{"used": 1, "limit": 100}, {"used": 0, "limit": 100}]
    assert shown[0]["event_streams"] == {"used": 0, "limit": 100}


def test_limits_are_those_of_the_settings(services: Services, ann: Headers) -> None:
    limited = services.settings.model_copy(update={"reads_per_minute": 77, "max_upload_bytes": 1234})
    with TestClient(create_app(limited)) as client:
        shown = client.get("/v1/limits", headers=ann).json()
    assert (shown["reads_per_minute"], shown["upload_bytes"]) == (77, 1234)


def test_a_caller_who_reaches_the_object_store_is_sent_there(services: Services, ann: Headers, url: str) -> None:
    public = services.settings.model_copy(update={"s3_public_endpoint": services.settings.s3_endpoint})
    app = create_app(public)
    with TestClient(app) as client:
        answer = client.get(url, headers=ann, follow_redirects=False)
        head = client.head(url, headers=ann)
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
    assert head.headers["content-length"] == str(len(CONTENT))
    assert services.settings.s3_secret_key.get_secret_value() not in answer.headers["location"]
    assert httpx.get(answer.headers["location"]).content == CONTENT


def test_an_address_at_the_object_store_is_good_for_one_file_only(services: Services, claim: Claim, url: str) -> None:
    (artifact,) = services.store.artifacts("ann", claim.job_id)
    signed = services.objects.presigned_url(artifact.key, "a.zip", "application/zip", 60)
    assert httpx.get(signed).status_code == 200
    assert httpx.get(signed.replace("/read/", "/label/")).status_code == 403


def test_curl_resumes_a_download_that_was_cut_off(
    app: FastAPI, client: TestClient, ann: Headers, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "archive.zip"
    curl = ["curl", "--silent", "--show-error", "--fail", "-H", f"Authorization: {ann['Authorization']}"]
    with serve(app) as address:
        with subprocess.Popen([*curl, address + url], stdout=subprocess.PIPE) as cut:
            assert cut.stdout
            file.write_bytes(cut.stdout.read(1_000_000))
            cut.kill()
        subprocess.run([*curl, "-C", "-", "-o", str(file), address + url], check=True, timeout=60)
    assert file.read_bytes() == CONTENT
