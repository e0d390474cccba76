"""Whether a job has changed, and answers that come when it has."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from api.services import Services
from api.watching import Watcher
from ddoq.events import Stage
from jobs.leases import Leases
from jobs.positions import Line
from jobs.records import Claim, Failure
from jobs.schema import make_engine
from tests.integration.live import serve

CONFIG = {"dataset": {"uri": "s3://datasets/flowers.zip"}}
Headers = dict[str, str]
LONG = "wait=50"


@pytest.fixture
def leases(services: Services) -> Leases:
    return Leases(services.engine, 60)


def tag(client: TestClient, headers: Headers, job_id: str) -> str:
    return str(client.get(f"/v1/jobs/{job_id}", headers=headers).headers["etag"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_job_that_the_caller_has_is_not_sent_again(
    client: TestClient, ann: Headers, job_id: str, method: str
) -> None:
    known = tag(client, ann, job_id)
    response = client.request(method, f"/v1/jobs/{job_id}", headers={**ann, "If-None-Match": known})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", known)
    assert "retry-after" in response.headers


def test_the_tag_of_a_job_is_that_of_its_submission(client: TestClient, ann: Headers) -> None:
    submitted = client.post("/v1/jobs", json=CONFIG, headers=ann)
    assert submitted.headers["etag"] == tag(client, ann, submitted.json()["id"])


def test_head_tells_what_get_would(client: TestClient, ann: Headers, job_id: str) -> None:
    head, get = (client.request(method, f"/v1/jobs/{job_id}", headers=ann) for method in ("HEAD", "GET"))
    shown = [{k: v for k, v in answer.headers.items() if k != "x-request-id"} for answer in (head, get)]
    assert (head.status_code, shown[0]) == (200, shown[1])


def test_every_change_of_a_job_but_the_passing_of_time_changes_its_tag(
    client: TestClient, ann: Headers, job_id: str, leases: Leases
) -> None:
    tags = [tag(client, ann, job_id)]
    claim = leases.claim("a worker")
    assert claim is not None
    tags.append(tag(client, ann, job_id))
    leases.report(claim, 3, 10)
    tags.append(tag(client, ann, job_id))
    assert tag(client, ann, job_id) == tags[-1]
    leases.report(claim, 4, 10)
    tags.append(tag(client, ann, job_id))
    leases.finish(claim)
    tags.append(tag(client, ann, job_id))
    client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    tags.append(tag(client, ann, job_id))
    assert len(set(tags)) == len(tags)


def test_a_job_that_moves_on_in_the_line_has_another_tag(client: TestClient, ann: Headers, job_id: str) -> None:
    second = client.post("/v1/jobs", json=CONFIG, headers=ann).json()["id"]
    before = tag(client, ann, second)
    client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    while tag(client, ann, second) == before:  # within the half second for which a process keeps the line
        time.sleep(0.05)


@pytest.mark.parametrize("preference", ["wait=1", "wait=0"])
def test_who_waits_in_vain_is_told_what_is(client: TestClient, ann: Headers, job_id: str, preference: str) -> None:
    response = client.get(f"/v1/jobs/{job_id}", headers={**ann, "Prefer": preference})
    assert (response.status_code, response.json()["status"]) == (200, "queued")
    assert response.headers["preference-applied"] == preference


def test_who_waits_in_vain_for_another_answer_is_told_that_it_is_the_same(
    client: TestClient, ann: Headers, job_id: str
) -> None:
    known = {"If-None-Match": tag(client, ann, job_id), "Prefer": "wait=1"}
    assert client.get(f"/v1/jobs/{job_id}", headers={**ann, **known}).status_code == 304


def test_a_wait_is_bounded_and_says_so(client: TestClient, ann: Headers, job_id: str) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    response = client.get(f"/v1/jobs/{job_id}", headers={**ann, "Prefer": "respond-async, wait=3600"})
    assert response.headers["preference-applied"] == "wait=60"


async def answer_after(
    url: str, headers: Headers, job_id: str, known: Headers, act: Callable[[], object]
) -> httpx.Response:
    """Wait for a job at a live service, and let something happen to it meanwhile."""
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        waiting = asyncio.create_task(client.get(f"/v1/jobs/{job_id}", headers={"Prefer": LONG, **known}))
        await asyncio.sleep(1.2)  # past its first look
        assert not waiting.done()
        await asyncio.to_thread(act)
        return await waiting


def test_who_waits_for_the_end_is_answered_at_the_end_and_not_before(
    app: FastAPI, client: TestClient, ann: Headers, claim: Claim, leases: Leases
) -> None:
    def progress_and_end() -> None:
        leases.report(claim, 3, 10)
        time.sleep(1.2)
        leases.fail(claim, Failure("internal", "it broke", retryable=False, stage=Stage.READ))

    with serve(app) as url:
        answer = asyncio.run(answer_after(url, ann, claim.job_id, {}, progress_and_end))
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")


def test_who_waits_for_any_change_is_answered_at_progress(
    app: FastAPI, client: TestClient, ann: Headers, claim: Claim, leases: Leases
) -> None:
    known = {"If-None-Match": tag(client, ann, claim.job_id)}
    with serve(app) as url:
        answer = asyncio.run(answer_after(url, ann, claim.job_id, known, lambda: leases.report(claim, 3, 10)))
    assert (answer.status_code, answer.json()["stages"][0]["done"]) == (200, 3)


def test_who_waits_for_a_job_that_is_deleted_is_told(
    app: FastAPI, client: TestClient, ann: Headers, job_id: str, services: Services
) -> None:
    def cancel_and_delete() -> None:
        services.store.cancel("ann", job_id)
        services.store.delete("ann", job_id)

    with serve(app) as url:
        answer = asyncio.run(answer_after(url, ann, job_id, {}, cancel_and_delete))
    assert (answer.status_code, answer.json()["code"]) == (410, "job.deleted")


def test_a_hundred_who_wait_keep_nobody_else_waiting(
    app: FastAPI, client: TestClient, ann: Headers, job_id: str, services: Services
) -> None:
    async def crowd(url: str) -> tuple[list[int], list[Any]]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=url, headers=ann, timeout=60, limits=limits) as many:
            path = f"/v1/jobs/{job_id}"
            waiting = [asyncio.create_task(many.get(path, headers={"Prefer": LONG})) for _ in range(100)]
            await asyncio.sleep(1.5)
            others = [(await many.get(other)).status_code for other in ("/healthz", path, "/v1/jobs")]
            assert not any(task.done() for task in waiting)
            await asyncio.to_thread(services.store.cancel, "ann", job_id)
            return others, [(await task).json()["status"] for task in waiting]

    with serve(app) as url:
        others, answers = asyncio.run(crowd(url))
    assert (others, answers) == ([200] * 3, ["cancelled"] * 100)


def test_no_look_outlives_the_service(services: Services, job_id: str) -> None:
    engine = make_engine(services.settings.database_url)
    watcher = Watcher(engine, Line())

    async def close_in_the_middle_of_a_look() -> None:
        with services.engine.connect() as busy, watcher.watch(job_id):
            busy.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
            while engine.pool.checkedout() == 0:  # type: ignore[attr-defined]  # of the pool that it is
                await asyncio.sleep(0.01)
            release = threading.Timer(0.3, busy.rollback)
            release.start()
            watcher.close()
            assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
            release.join()

    asyncio.run(close_in_the_middle_of_a_look())
    engine.dispose()
