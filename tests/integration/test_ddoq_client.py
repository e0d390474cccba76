"""The Python client against the real service: every call, in the form that waits and in the one of asyncio."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.services import Services
from ddoq.config import DistillConfig
from ddoq_client import ArtifactError, AsyncClient, Client, JobFailedError, ProblemError, Progress, WaitTimeoutError
from ddoq_client.views import JobView
from jobs.leases import Leases
from jobs.options import JobOptions
from jobs.records import Artifact, Claim
from tests.integration.conftest import CONFIG
from tests.pictures import members, write_zip

CONTENT = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def ours(service_url: str, anns_key: str) -> Iterator[Client]:
    with Client(service_url, anns_key) as client:
        yield client


def end(services: Services, claim: Claim) -> None:
    """Let the job of a claim be cancelled, as its worker does."""
    services.store.cancel("ann", claim.job_id)
    Leases(services.engine, 60).stop_cancelled(claim)


def test_a_job_is_submitted_looked_at_cancelled_and_deleted(ours: Client) -> None:
    job = ours.submit(CONFIG, priority="high", labels={"team": "a"}, queue_deadline_s=600, timeout_s=90)
    assert (job.status, job.priority, job.labels, job.timeout_s) == ("queued", "high", {"team": "a"}, 90)
    assert job.queue_deadline_at is not None
    assert job.config["dataset"]["uri"] == CONFIG["dataset"]["uri"]
    assert job.refresh() == ours.job(job.id)
    assert job.cancel().status == "cancelled"
    with pytest.raises(JobFailedError, match=r"^job\.cancelled"):
        job.wait().raise_for_failure()
    again = ours.retry(job.id)
    assert again.retried_from == job.id
    ours.delete(job.id)
    with pytest.raises(ProblemError) as caught:
        job.refresh()
    assert (caught.value.code, caught.value.status) == ("job.deleted", 410)


def test_asyncio_does_the_same(service_url: str, anns_key: str) -> None:
    async def live() -> None:
        async with AsyncClient(service_url, anns_key) as client:
            job = await client.submit(CONFIG, priority="low")
            assert (job.status, job.priority) == ("queued", "low")
            assert await job.refresh() == await client.job(job.id)
            assert [one.id async for one in client.jobs()] == [job.id]
            assert (await job.cancel()).status == "cancelled"
            assert (await job.wait()).has_ended
            assert [one.status async for one in client.watch(job.id)] == ["cancelled"]
            listed = [event async for event in client.events(job.id)]
            assert [event async for event in client.stream(job.id)] == listed
            assert (await client.retry(job.id)).retried_from == job.id
            await client.delete(job.id)
            with pytest.raises(ProblemError, match=r"^job\.deleted: "):
                await job.refresh()

    asyncio.run(live())


def test_a_refusal_names_every_fault(ours: Client) -> None:
    with pytest.raises(ProblemError) as caught:
        ours.submit({**CONFIG, "colour": "red", "images_per_class": 0})
    assert caught.value.code == "request.invalid"
    assert {fault.pointer for fault in caught.value.errors} >= {"/colour", "/images_per_class"}
    assert caught.value.hint
    assert caught.value.request_id.startswith("req_")


def test_a_wrong_key_is_told(service_url: str) -> None:
    with Client(service_url, "ddoq_wrong") as client, pytest.raises(ProblemError, match=r"^auth\.invalid_key"):
        client.me()


def test_a_plan_is_told_and_nothing_is_stored(ours: Client, tmp_path: Path) -> None:
    plan = ours.plan({"dataset": {"uri": write_zip(tmp_path / "data.zip", members())}, "images_per_class": 2})
    assert [one.name for one in plan.dataset.classes] == ["cat", "dog", "eel"]
    assert sum(one.n_images for one in plan.archives) == 2 * len(plan.dataset.classes)
    assert plan.stages[0].stage == "read"
    assert list(ours.jobs()) == []


def test_jobs_are_listed_over_all_pages_by_state_and_label(ours: Client, services: Services) -> None:
    config = DistillConfig.model_validate(CONFIG)
    made = [services.store.submit("ann", config, JobOptions(labels={"run": str(n % 2)})).id for n in range(99)]
    for job_id in made[:50]:
        services.store.cancel("ann", job_id)
    made += [ours.submit(config).id for _ in range(2)]
    assert [job.id for job in ours.jobs()] == made[::-1]
    assert [job.id for job in ours.jobs(limit=2)] == made[:-3:-1]
    assert [job.id for job in ours.jobs(status="cancelled", label={"run": "1"})] == made[1:50:2][::-1]
    assert [job.id for job in ours.jobs(status=["queued", "running"])] == made[50:][::-1]


def test_a_watch_sees_each_change_until_the_end(services: Services, claim: Claim, ours: Client) -> None:
    seen: list[JobView] = []
    for job in ours.watch(claim.job_id):
        seen.append(job)
        if len(seen) == 1:
            Leases(services.engine, 60).report(claim, 3, 10)
        if len(seen) == 2:
            end(services, claim)
    assert seen[1].stages[0].done == 3
    assert (seen[0].status, seen[-1].status) == ("running", "cancelled")
    assert len({job.model_dump_json() for job in seen}) == len(seen)


def test_an_end_that_does_not_come_is_not_waited_for_longer_than_was_said(ours: Client, job_id: str) -> None:
    with pytest.raises(WaitTimeoutError, match=f"job {job_id} is still queued after 0.5 seconds"):
        ours.wait(job_id, timeout_seconds=0.5)


def test_a_stream_says_what_the_list_says_and_progress_beside_it(
    services: Services, claim: Claim, ours: Client
) -> None:
    Leases(services.engine, 60).report(claim, 3, 10)
    told = []
    for one in ours.stream(claim.job_id):
        told.append(one)
        if told.count(one) == 1 and isinstance(one, Progress):
            end(services, claim)
    assert Progress(stage="read", done=3, total=10) in told
    assert [one for one in told if not isinstance(one, Progress)] == list(ours.events(claim.job_id))


def test_files_are_listed_and_downloaded(
    ours: Client, claim: Claim, make_artifact: Callable[[str, bytes], Artifact], tmp_path: Path
) -> None:
    make_artifact("plots/a b.zip", CONTENT)
    (artifact,) = ours.artifacts(claim.job_id)
    assert (artifact.size_bytes, artifact.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    (path,) = ours.job(claim.job_id).download(tmp_path)
    assert (path, path.read_bytes() == CONTENT) == (tmp_path / "plots" / "a b.zip", True)
    with pytest.raises(ArtifactError, match="has no archive"):
        ours.images(claim.job_id)


def test_asyncio_downloads_and_uploads(
    service_url: str, anns_key: str, claim: Claim, make_artifact: Callable[[str, bytes], Artifact], tmp_path: Path
) -> None:
    make_artifact("data.bin", CONTENT)
    told: list[tuple[str, int, int]] = []

    async def both() -> None:
        async with AsyncClient(service_url, anns_key) as client:
            (path,) = await client.download(claim.job_id, tmp_path, on_bytes=lambda *one: told.append(one))
            assert path.read_bytes() == CONTENT
            sent = await client.upload(path)
            assert (sent.state, sent.size_bytes) == ("ready", len(CONTENT))
            assert [upload.id async for upload in client.uploads()] == [sent.id]
            await client.delete_upload(sent.id)
            assert [upload async for upload in client.uploads()] == []

    asyncio.run(both())
    assert told[0] == ("data.bin", 0, len(CONTENT))
    assert told[-1] == ("data.bin", len(CONTENT), len(CONTENT))


def test_an_upload_goes_on_with_the_parts_that_are_missing(ours: Client, tmp_path: Path, services: Services) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT * 5)
    told: list[int] = []

    class StoppedError(Exception):
        pass

    def stop(_name: str, done: int, _total: int) -> None:
        if done:
            raise StoppedError

    with pytest.raises(StoppedError):
        ours.upload(tmp_path / "data.bin", stop)
    (begun,) = ours.uploads()
    assert (begun.state, begun.n_parts) == ("open", 2)
    sent = ours.upload(tmp_path / "data.bin", lambda _name, done, _total: told.append(done))
    assert (sent.id, sent.state) == (begun.id, "ready")
    assert told == [begun.part_size_bytes, len(CONTENT) * 5]


def test_the_installation_is_described(ours: Client) -> None:
    assert ours.me().owner == "ann"
    assert ours.limits().page_jobs == 100
    assert ours.usage().jobs_in_24_hours == 0
    assert "ddoq" in {method.name for method in ours.models().methods}
    assert ours.workers() == ()


def test_keys_are_made_and_revoked(ours: Client, service_url: str) -> None:
    made = ours.create_key("for a test", ["jobs:read"])
    with Client(service_url, made.secret) as other:
        assert other.me().key_id == made.id
        ours.revoke_key(made.id)
        with pytest.raises(ProblemError, match=r"^auth\."):
            other.me()
    listed = ours.keys()
    assert [key.id for key in listed if key.revoked_at] == [made.id]


def test_webhook_endpoints_are_added_changed_pinged_and_removed(ours: Client) -> None:
    made = ours.create_webhook("https://8.8.8.8/hook", ["job.succeeded"], "for a test")
    assert made.secret.startswith("whsec_")
    ping = ours.ping_webhook(made.id)
    assert [one.id for one in ours.deliveries(made.id)] == [ping.id]
    assert ours.redeliver(made.id, ping.id).type == "ping"
    assert ours.rotate_webhook_secret(made.id, overlap_s=0).secret != made.secret
    assert ours.change_webhook(made.id, disabled=True).disabled
    assert [one.id for one in ours.webhooks()] == [made.id]
    ours.delete_webhook(made.id)
    assert ours.webhooks() == ()
