"""The Python client behind a network that cuts connections: nothing is lost, doubled or begun anew."""

import asyncio
import gc
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.services import Services
from cli.servers import free_port
from ddoq_client import AsyncClient, Client, Event, NotAnsweredError
from ddoq_client.retries import USUAL
from jobs.leases import Leases
from jobs.records import Artifact, Claim
from jobs.rows import lock_job, record
from jobs.states import EventKind
from tests.faults import Cutting, FaultProxy, Refusing
from tests.integration.conftest import CONFIG

CONTENT = random.Random(2).randbytes(3_000_000)
AFTER_REQUEST = 500  # bytes: more than a job's request has, less than its answer


@pytest.fixture
def proxy(service_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(service_url) as proxy:
        yield proxy
    gc.collect()  # connections that client or service left open are told here, and fail the test


@pytest.fixture
def archive(claim: Claim, make_artifact: Callable[[str, bytes], Artifact]) -> str:
    """A job with a file."""
    make_artifact("archive.zip", CONTENT)
    return claim.job_id


@pytest.fixture
def ours(proxy: FaultProxy, anns_key: str) -> Iterator[Client]:
    with Client(proxy.url, anns_key) as client:
        yield client


def test_a_job_whose_answer_was_cut_off_is_made_once(proxy: FaultProxy, ours: Client) -> None:
    ours.me()
    with proxy.spoiling(Cutting(AFTER_REQUEST, every=2)):
        job = ours.submit(CONFIG)
    assert (proxy.n_spoilt, [one.id for one in ours.jobs()]) == (1, [job.id])


def test_asyncio_makes_it_once_as_well(proxy: FaultProxy, anns_key: str) -> None:
    async def submit() -> None:
        async with AsyncClient(proxy.url, anns_key) as client:
            await client.me()
            with proxy.spoiling(Cutting(AFTER_REQUEST, every=2)):
                job = await client.submit(CONFIG)
            assert [one.id async for one in client.jobs()] == [job.id]

    asyncio.run(submit())
    assert proxy.n_spoilt == 1


def test_a_download_that_is_cut_off_goes_on(proxy: FaultProxy, ours: Client, archive: str, tmp_path: Path) -> None:
    told: list[int] = []
    with proxy.spoiling(Cutting(2_000_000, every=2)):
        (path,) = ours.download(archive, tmp_path, on_bytes=lambda _name, done, _total: told.append(done))
    assert (proxy.n_spoilt, path.read_bytes() == CONTENT) == (1, True)
    assert told == sorted(told)


def test_a_download_of_asyncio_goes_on_as_well(proxy: FaultProxy, anns_key: str, archive: str, tmp_path: Path) -> None:
    told: list[int] = []

    async def download() -> Path:
        async with AsyncClient(proxy.url, anns_key) as client:
            (path,) = await client.download(archive, tmp_path, on_bytes=lambda _name, done, _total: told.append(done))
            return path

    with proxy.spoiling(Cutting(2_000_000, every=2)):
        path = asyncio.run(download())
    assert (proxy.n_spoilt, path.read_bytes() == CONTENT) == (1, True)
    assert told == sorted(told)


def test_a_part_of_an_upload_that_is_cut_off_is_sent_again(proxy: FaultProxy, ours: Client, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    with proxy.spoiling(Cutting(1_000_000, every=3)):
        sent = ours.upload(tmp_path / "data.bin")
    assert (proxy.n_spoilt, sent.state, [one.id for one in ours.uploads()]) == (1, "ready", [sent.id])


def test_an_upload_whose_answers_were_all_cut_off_is_begun_once(
    proxy: FaultProxy, ours: Client, tmp_path: Path
) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    with proxy.spoiling(Cutting(AFTER_REQUEST, every=2)):
        sent = ours.upload(tmp_path / "data.bin")
    assert (proxy.n_spoilt, sent.state, [one.id for one in ours.uploads()]) == (3, "ready", [sent.id])


def test_a_stream_that_is_cut_off_loses_and_doubles_no_event(
    proxy: FaultProxy, ours: Client, services: Services, claim: Claim
) -> None:
    for number in range(20):
        with services.engine.begin() as connection:
            record(connection, lock_job(connection, claim.job_id), EventKind.UNIT_STARTED, {"number": number})
    services.store.cancel("ann", claim.job_id)
    Leases(services.engine, 60).stop_cancelled(claim)
    with proxy.spoiling(Cutting(2_500)):
        told = list(ours.stream(claim.job_id))
    assert [one.sequence for one in told if isinstance(one, Event)] == list(range(1, len(told) + 1))
    assert told == list(ours.events(claim.job_id))
    assert proxy.n_spoilt > 1


def test_a_service_that_resets_every_connection_is_given_up_and_found_again(proxy: FaultProxy, ours: Client) -> None:
    with proxy.spoiling(Refusing()), pytest.raises(NotAnsweredError, match=r"is the service running\?"):
        ours.me()
    assert proxy.n_spoilt == USUAL.tries
    assert ours.me().owner == "ann"


def test_a_service_that_is_not_there_is_told(anns_key: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, anns_key) as client, pytest.raises(NotAnsweredError, match=f"^no answer from {url}"):
        client.submit(CONFIG)
