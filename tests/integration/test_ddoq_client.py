"""The Python client against the real service, in calls that wait and in calls of asyncio."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from ddoq_client import Client, ProblemError
from tests.integration.conftest import CONFIG
from tests.integration.live import serve

Headers = dict[str, str]


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serve(app) as url:
        yield url


@pytest.fixture
def ours(url: str, ann: Headers) -> Iterator[Client]:
    with Client(url, ann["Authorization"].removeprefix("Bearer ")) as client:
        yield client


def test_a_job_is_submitted_looked_at_cancelled_and_deleted(ours: Client) -> None:
    job = ours.submit(CONFIG, priority="high", labels={"team": "a"})
    assert (job.status, job.priority, job.labels) == ("queued", "high", {"team": "a"})
    assert job.refresh() == ours.job(job.id)
    assert job.cancel().status == "cancelled"
    assert [seen.status for seen in ours.watch(job.id)] == ["cancelled"]
    assert job.wait().has_ended
    assert [event.kind for event in ours.stream(job.id)] == [event.kind for event in ours.events(job.id)]
    again = ours.retry(job.id)
    assert again.retried_from == job.id
    ours.delete(job.id)
    with pytest.raises(ProblemError, match=r"^job\.deleted: "):
        ours.job(job.id)
