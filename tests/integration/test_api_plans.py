"""`validate_only`: what a job would be, without one."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from jobs import inspecting
from jobs.artifacts import make_s3_client
from jobs.keys import Scope
from jobs.leases import Leases
from jobs.store import JobFilter
from tests.job_steps import take
from tests.pictures import members, write_tar, write_zip

Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]
PIXELS = {"kind": "pixels", "resolution": 16}


def plan(client: TestClient, headers: Headers, uri: str, **asked: Any) -> Response:
    body = {"dataset": {"uri": uri}, "images_per_class": 2, "prior": PIXELS, **asked}
    return client.post("/v1/jobs?validate_only=true", json=body, headers=headers)


@pytest.fixture
def flowers(tmp_path: Path) -> str:
    return write_zip(tmp_path / "flowers.zip", members() | {"train/cat/notes.txt": b"none"})


def test_a_plan_says_what_the_dataset_is_and_what_the_job_would_be(
    client: TestClient, ann: Headers, flowers: str
) -> None:
    response = plan(client, ann, flowers, images_per_class=[2, 12])
    assert response.status_code == 200, response.text
    found = response.json()
    assert (found["dataset"]["format"], found["dataset"]["held_out"]) == ("folders", False)
    assert found["dataset"]["classes"][0] == {"name": "cat", "train": 12, "test": 4, "validation": None}
    assert found["dataset"]["n_bytes"] == sum(map(len, members().values()))
    assert "notes.txt" in found["dataset"]["left_out"][0]
    assert found["archives"] == [{"name": "ipc-2", "n_images": 6}, {"name": "ipc-12", "n_images": 36}]
    assert [step["stage"] for step in found["stages"]][:3] == ["read", "encode", "quantize"]
    assert all(step["units"] == 1 <= step["blocks"] and step["estimate"]["basis"] for step in found["stages"])
    assert found["config"]["method"] == "ddoq"
    assert any("as many images as 3 classes have" in warning for warning in found["warnings"])
    assert found["seconds"] is None
    assert client.get("/v1/jobs", headers=ann).json()["data"] == []


def test_a_plan_of_an_upload_reads_what_its_owner_sent(
    client: TestClient, ann: Headers, bob: Headers, tmp_path: Path, wrong_in: WrongIn
) -> None:
    write_tar(tmp_path / "flowers.tar.gz", members(), "w:gz")
    upload = client.post("/v1/uploads", json={}, headers=ann).json()
    assert not wrong_in(plan(client, ann, upload["uri"]), 422, "dataset.not_found")
    client.put(upload["links"]["content"], content=(tmp_path / "flowers.tar.gz").read_bytes(), headers=ann)
    assert plan(client, ann, upload["uri"]).json()["dataset"]["format"] == "folders"
    assert not wrong_in(plan(client, bob, upload["uri"]), 422, "dataset.not_found")


def test_a_dataset_that_cannot_be_distilled_is_refused_as_its_job_would_be(
    client: TestClient, ann: Headers, flowers: str, wrong_in: WrongIn
) -> None:
    few = plan(client, ann, flowers, images_per_class=13)
    assert not wrong_in(few, 422, "dataset.empty_class")
    assert [fault["pointer"] for fault in few.json()["errors"]] == ["/dataset/uri"]
    assert not wrong_in(plan(client, ann, f"{flowers}.gone"), 422, "dataset.not_found")


def test_what_is_refused_at_the_door_is_refused_without_looking(
    client: TestClient, ann: Headers, key_for: Callable[..., Headers], flowers: str, wrong_in: WrongIn
) -> None:
    assert not wrong_in(plan(client, ann, "file:///etc/passwd"), 422, "dataset.outside_roots")
    reader = key_for("ann", Scope.JOBS_READ)
    assert not wrong_in(plan(client, reader, flowers), 403, "auth.scope")


def test_looking_takes_no_more_time_or_disk_than_is_given(
    services: Services, ann: Headers, tmp_path: Path, flowers: str, wrong_in: WrongIn
) -> None:
    s3 = make_s3_client(services.settings)
    s3.put_object(Bucket=services.settings.s3_bucket, Key="large", Body=b"x" * 2**20)
    s3.close()
    small = {"inspection_bytes": 2**16, "dataset_buckets": (services.settings.s3_bucket,)}
    with TestClient(create_app(services.settings.model_copy(update=small))) as client:
        large = plan(client, ann, f"s3://{services.settings.s3_bucket}/large")
    assert not wrong_in(large, 422, "inspection.limit")
    with TestClient(create_app(services.settings.model_copy(update={"inspection_seconds": 0.05}))) as client:
        slow = plan(client, ann, flowers)
    assert not wrong_in(slow, 422, "inspection.limit")
    assert "0.05 seconds" in slow.json()["detail"]


def test_only_so_many_datasets_are_looked_at_at_once(
    services: Services, ann: Headers, flowers: str, wrong_in: WrongIn
) -> None:
    one = services.settings.model_copy(update={"inspections_at_once": 1})
    with TestClient(create_app(one)) as client, ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(lambda _: plan(client, ann, flowers), range(2)), key=lambda found: found.status_code)
    assert answers[0].status_code == 200
    assert not wrong_in(answers[1], 503, "inspection.busy")


def test_the_estimate_is_what_jobs_alike_took(
    services: Services, client: TestClient, ann: Headers, flowers: str
) -> None:
    body = {"dataset": {"uri": flowers}, "images_per_class": 2, "prior": PIXELS}
    client.post("/v1/jobs", json=body, headers=ann)
    leases = Leases(services.engine, 60)
    while services.store.page("ann", JobFilter(), None, 1)[0][0].state not in {"succeeded"}:
        leases.finish(take(leases))
    with services.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE units SET total = 10, peak_bytes = 1000, started_at = now(), "
                "finished_at = now() + interval '20 s' WHERE stage IN ('encode', 'evaluate')"
            )
        )
    found = plan(client, ann, flowers).json()
    steps = {step["stage"]: step["estimate"] for step in found["stages"]}
    assert (steps["encode"]["seconds"], steps["encode"]["peak_bytes"]) == (2.0 * 36, 1000)
    assert steps["evaluate"]["seconds"] == 20
    assert "2 s an image in the longest" in steps["encode"]["basis"]
    assert found["seconds"] > 92
    other = plan(client, ann, flowers, prior={"kind": "pixels", "resolution": 32}).json()
    assert [step["estimate"]["seconds"] for step in other["stages"] if step["stage"] == "encode"] == [None]


def test_a_child_sees_no_secret_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDOQ_KEY_PEPPER", "planted-secret")
    assert "planted-secret" not in str(inspecting._environment(tmp_path))


def test_a_look_that_breaks_off_is_told_as_such(
    client: TestClient, ann: Headers, flowers: str, wrong_in: WrongIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert not wrong_in(plan(client, ann, flowers), 500, "inspection.failed")
