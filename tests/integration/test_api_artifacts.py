"""Downloads over HTTP, whole and in ranges."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient
from starlette.types import Message

from api.artifact_routes import FileStream
from api.services import Services
from jobs.errors import StorageUnavailableError
from jobs.records import Artifact, Claim

CONTENT = random.Random(0).randbytes(600_001)  # more than two chunks of the object store
SIZE, SHA256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA256}"'
Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]


@pytest.fixture
def url(claim: Claim, make_artifact: Callable[[str, bytes], Artifact]) -> str:
    make_artifact("archive.zip", CONTENT)
    return f"/v1/jobs/{claim.job_id}/artifacts/archive.zip"


def test_artifacts_are_listed_with_size_and_checksum(client: TestClient, ann: Headers, url: str) -> None:
    assert client.get(url.removesuffix("/archive.zip"), headers=ann).json() == {
        "data": [
            {
                "name": "archive.zip",
                "size_bytes": SIZE,
                "sha256": SHA256,
                "media_type": "application/zip",
                "expires_at": None,
                "download_url": url,
            }
        ]
    }


def test_a_job_that_has_made_nothing_lists_nothing(client: TestClient, ann: Headers, job_id: str) -> None:
    assert client.get(f"/v1/jobs/{job_id}/artifacts", headers=ann).json() == {"data": []}


def test_a_whole_file_comes_as_it_was_stored(client: TestClient, ann: Headers, url: str) -> None:
    response = client.get(url, headers=ann)
    assert (response.status_code, response.content == CONTENT) == (200, True)


def test_a_download_describes_itself(client: TestClient, ann: Headers, url: str) -> None:
    headers = client.get(url, headers=ann).headers
    names = ("etag", "content-length", "content-type", "accept-ranges", "content-disposition", "x-content-type-options")
    assert [headers[name] for name in names] == [
        ETAG,
        str(SIZE),
        "application/zip",
        "bytes",
        "attachment; filename*=UTF-8''archive.zip",
        "nosniff",
    ]


@pytest.mark.parametrize(
    ("range_", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=300000-300099", 300_000, 300_100),
        ("bytes=599000-", 599_000, SIZE),
        ("bytes=600000-999999999", 600_000, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-300000", SIZE - 300_000, SIZE),
        ("bytes=-999999999", 0, SIZE),
    ],
)
def test_a_range_comes_with_exactly_its_bytes(
    client: TestClient, ann: Headers, url: str, range_: str, start: int, stop: int
) -> None:
    response = client.get(url, headers={**ann, "Range": range_})
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response.headers["content-length"] == str(stop - start)
    assert response.content == CONTENT[start:stop]


def test_a_file_in_two_ranges_is_the_whole_file(client: TestClient, ann: Headers, url: str) -> None:
    parts = [client.get(url, headers={**ann, "Range": f"bytes={part}"}).content for part in ("0-99999", "100000-")]
    assert b"".join(parts) == CONTENT


@pytest.mark.parametrize("range_", ["bytes=600001-", "bytes=5-2", "bytes=-0", "bytes=x", "bytes=-"])
def test_a_range_without_bytes_is_a_problem_that_names_the_size(
    client: TestClient, ann: Headers, url: str, range_: str, wrong_in: WrongIn
) -> None:
    response = client.get(url, headers={**ann, "Range": range_})
    assert not wrong_in(response, 416, "request.range")
    assert response.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("range_", ["bytes=0-1,5-9", "lines=1-2"])
def test_a_range_that_is_not_served_here_brings_the_whole(
    client: TestClient, ann: Headers, url: str, range_: str
) -> None:
    response = client.get(url, headers={**ann, "Range": range_})
    assert (response.status_code, len(response.content)) == (200, SIZE)


@pytest.mark.parametrize(
    ("if_range", "status"), [(ETAG, 206), ('"other"', 200), (f"W/{ETAG}", 200), ("yesterday", 200)]
)
def test_a_range_is_served_only_of_the_file_that_the_caller_began_with(
    client: TestClient, ann: Headers, url: str, if_range: str, status: int
) -> None:
    response = client.get(url, headers={**ann, "Range": "bytes=0-9", "If-Range": if_range})
    assert response.status_code == status


def test_a_bad_range_of_another_file_is_ignored(client: TestClient, ann: Headers, url: str) -> None:
    response = client.get(url, headers={**ann, "Range": "bytes=999999-", "If-Range": '"other"'})
    assert response.status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("if_none_match", [ETAG, f'"x", W/{ETAG}', "*"])
def test_a_file_that_the_caller_has_is_not_sent_again(
    client: TestClient, ann: Headers, url: str, method: str, if_none_match: str
) -> None:
    response = client.request(method, url, headers={**ann, "If-None-Match": if_none_match, "Range": "bytes=0-1"})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", ETAG)


def test_a_file_that_the_caller_has_not_is_sent(client: TestClient, ann: Headers, url: str) -> None:
    assert client.get(url, headers={**ann, "If-None-Match": '"x"'}).status_code == 200


def test_head_tells_what_get_would(client: TestClient, ann: Headers, url: str) -> None:
    head, get = client.head(url, headers={**ann, "Range": "bytes=0-9"}), client.get(url, headers=ann)
    changing = {"x-request-id"}
    assert (head.status_code, head.content) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in get.headers.items() if k not in changing
    }


def test_head_of_an_unknown_file_is_404(client: TestClient, ann: Headers, url: str) -> None:
    assert client.head(f"{url}.part", headers=ann).status_code == 404


@pytest.mark.parametrize("name", ["other.zip", "archive.zip/x", "%00", "..%2farchive.zip", "ARCHIVE.zip"])
def test_an_unknown_name_is_a_problem_that_lists_the_known(
    client: TestClient, ann: Headers, url: str, name: str, wrong_in: WrongIn
) -> None:
    response = client.get(url.replace("archive.zip", name), headers=ann)
    assert not wrong_in(response, 404, "artifact.not_found")
    assert "archive.zip" in response.json()["detail"]


@pytest.mark.parametrize("name", ["plots/accuracy.svg", "a b%c?d#e.txt", "größe.svg"])
def test_a_file_of_any_name_is_downloaded_from_the_address_it_is_listed_with(
    client: TestClient, ann: Headers, claim: Claim, make_artifact: Callable[[str, bytes], Artifact], name: str
) -> None:
    make_artifact(name, b"content")
    listed = client.get(f"/v1/jobs/{claim.job_id}/artifacts", headers=ann).json()["data"][0]
    assert client.get(listed["download_url"], headers=ann).content == b"content"


@pytest.mark.parametrize(("range_", "status"), [({}, 200), ({"Range": "bytes=0-"}, 416)])
def test_an_empty_file_is_a_file(
    client: TestClient,
    ann: Headers,
    claim: Claim,
    make_artifact: Callable[[str, bytes], Artifact],
    range_: Headers,
    status: int,
) -> None:
    make_artifact("empty", b"")
    response = client.get(f"/v1/jobs/{claim.job_id}/artifacts/empty", headers={**ann, **range_})
    assert response.status_code == status


def test_a_file_that_the_object_store_lost_is_a_problem_and_no_empty_file(
    client: TestClient, ann: Headers, url: str, services: Services, claim: Claim, wrong_in: WrongIn
) -> None:
    services.objects.delete_prefix(f"jobs/{claim.job_id}")
    assert not wrong_in(client.get(url, headers=ann), 500, "storage.not_found")


def test_a_download_is_streamed(client: TestClient, ann: Headers, url: str) -> None:
    with client.stream("GET", url, headers=ann) as response:
        chunks: Iterator[bytes] = response.iter_bytes()
        assert len(next(chunks)) < SIZE


@pytest.mark.parametrize("end", ["", "/archive.zip"])
def test_artifacts_past_their_time_are_gone(
    client: TestClient, ann: Headers, url: str, services: Services, wrong_in: WrongIn, end: str
) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET expires_at = now()"))
    assert not wrong_in(client.get(url.removesuffix("/archive.zip") + end, headers=ann), 410, "artifact.expired")


def test_a_caller_who_goes_away_before_the_first_byte_leaves_nothing_open(
    services: Services, claim: Claim, url: str
) -> None:
    opened = services.objects.open_range(services.store.artifacts("ann", claim.job_id)[0].key, 0, SIZE - 1)

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def unsent(_: Message) -> None:
        raise OSError("the caller went away")

    with pytest.raises(OSError, match="went away"):
        asyncio.run(FileStream(opened, 200, {})({"type": "http"}, gone, unsent))
    with pytest.raises(StorageUnavailableError):
        list(opened)
