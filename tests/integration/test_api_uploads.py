"""Uploads over HTTP: whole, in parts, past the server; resumed, refused, deleted."""

import hashlib
import os
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from cli.servers import free_port
from ddoq_client import Client
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.records import JobState
from jobs.settings import Settings
from jobs.upload_parts import LEAST_PART_BYTES

Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]
TWO_PARTS = os.urandom(LEAST_PART_BYTES + 1000)
FIRST, SECOND = TWO_PARTS[:LEAST_PART_BYTES], TWO_PARTS[LEAST_PART_BYTES:]


def begin(client: TestClient, headers: Headers, **said: Any) -> dict[str, Any]:
    response = client.post("/v1/uploads", json=said, headers=headers)
    assert response.status_code == 201, response.text
    shown: dict[str, Any] = response.json()
    assert response.headers["location"] == shown["links"]["self"]
    return shown


def send(client: TestClient, headers: Headers, content: bytes = b"some bytes", **said: Any) -> dict[str, Any]:
    """Send a file whole."""
    response = client.put(begin(client, headers, **said)["links"]["content"], content=content, headers=headers)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


def put_part(client: TestClient, headers: Headers, upload: dict[str, Any], number: int, content: bytes) -> Any:
    return client.put(f"{upload['links']['parts']}/{number}", content=content, headers=headers)


def complete(client: TestClient, headers: Headers, upload: dict[str, Any], **said: Any) -> Any:
    return client.post(upload["links"]["complete"], json=said, headers=headers)


def stored(services: Services) -> dict[str, bytes]:
    """All bytes below `uploads/` in the bucket, by key."""
    s3, bucket = make_s3_client(services.settings), services.settings.s3_bucket
    keys = ObjectStore(s3, bucket).list_keys("uploads")
    found = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
    s3.close()
    return found


def with_settings(services: Services, **changes: Any) -> TestClient:
    return TestClient(create_app(services.settings.model_copy(update=changes)), raise_server_exceptions=False)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Let a real server answer, for clients that are programs of their own."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def test_a_file_sent_whole_is_ready_at_once(client: TestClient, ann: Headers, services: Services) -> None:
    upload = begin(client, ann, filename="flowers.zip")
    assert (upload["state"], upload["uri"]) == ("open", f"upload://{upload['id']}")
    ready = client.put(upload["links"]["content"], content=TWO_PARTS, headers=ann).json()
    assert (ready["state"], ready["size_bytes"]) == ("ready", len(TWO_PARTS))
    assert ready["sha256"] == hashlib.sha256(TWO_PARTS).hexdigest()
    assert list(stored(services).values()) == [TWO_PARTS]


def test_curl_uploads_a_file(app: FastAPI, ann: Headers, services: Services, tmp_path: Path) -> None:
    (tmp_path / "flowers.zip").write_bytes(TWO_PARTS)
    with served(app) as url, httpx.Client(base_url=url, headers=ann) as client:
        content = client.post("/v1/uploads", json={}).json()["links"]["content"]
        command = [
            "curl",
            "-sS",
            "--fail-with-body",
            "-T",
            "flowers.zip",
            "-H",
            f"Authorization: {ann['Authorization']}",
        ]
        curl = subprocess.run([*command, url + content], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '"state":"ready"' in curl.stdout
    assert list(stored(services).values()) == [TWO_PARTS]


def test_a_client_that_goes_away_leaves_nothing_and_may_come_again(
    app: FastAPI, ann: Headers, services: Services
) -> None:
    def cut_off() -> Iterator[bytes]:
        yield FIRST
        raise ConnectionAbortedError

    with served(app) as url, httpx.Client(base_url=url, headers=ann) as client:
        upload = client.post("/v1/uploads", json={"size_bytes": len(TWO_PARTS)}).json()
        with pytest.raises(ConnectionAbortedError):
            client.put(upload["links"]["content"], content=cut_off())
        assert client.get(upload["links"]["self"]).json()["state"] == "open"
        assert stored(services) == {}
        assert client.put(upload["links"]["content"], content=TWO_PARTS).json()["state"] == "ready"


def test_parts_are_sent_in_any_order_and_again_and_put_together(
    client: TestClient, ann: Headers, services: Services
) -> None:
    upload = begin(client, ann, size_bytes=len(TWO_PARTS), sha256=hashlib.sha256(TWO_PARTS).hexdigest())
    assert (upload["part_size_bytes"], upload["n_parts"]) == (LEAST_PART_BYTES, 2)
    sent = [put_part(client, ann, upload, number, part) for number, part in ((2, SECOND), (1, FIRST), (1, FIRST))]
    assert [response.status_code for response in sent] == [200, 200, 200]
    shown = client.get(upload["links"]["self"], headers=ann).json()
    assert [(part["number"], part["size_bytes"]) for part in shown["parts"]] == [(1, len(FIRST)), (2, len(SECOND))]
    told = [{"number": part["number"], "etag": part["etag"]} for part in shown["parts"]]
    assert complete(client, ann, upload, parts=told).json()["state"] == "ready"
    assert complete(client, ann, upload).json()["state"] == "ready"
    assert list(stored(services).values()) == [TWO_PARTS]


def test_a_client_resumes_by_what_is_there(client: TestClient, ann: Headers, wrong_in: WrongIn) -> None:
    upload = begin(client, ann, size_bytes=len(TWO_PARTS))
    put_part(client, ann, upload, 1, FIRST)
    refused = complete(client, ann, upload)
    assert not wrong_in(refused, 422, "upload.incomplete")
    assert "1 of 2 parts are missing, the first is 2" in refused.json()["detail"]
    there = {part["number"] for part in client.get(upload["links"]["self"], headers=ann).json()["parts"]}
    for number in {1, 2} - there:
        put_part(client, ann, upload, number, SECOND)
    assert complete(client, ann, upload).json()["state"] == "ready"


def test_parts_that_the_object_store_forgot_are_sent_again(
    client: TestClient, ann: Headers, services: Services
) -> None:
    upload = begin(client, ann, size_bytes=len(TWO_PARTS))
    put_part(client, ann, upload, 1, FIRST)
    found = services.uploads.get("ann", upload["id"])
    s3 = make_s3_client(services.settings)
    s3.abort_multipart_upload(Bucket=services.settings.s3_bucket, Key=found.key, UploadId=found.multipart_id)
    s3.close()
    assert client.get(upload["links"]["self"], headers=ann).json()["parts"] == []
    for number, part in ((2, SECOND), (1, FIRST)):
        assert put_part(client, ann, upload, number, part).status_code == 200
    assert complete(client, ann, upload).json()["state"] == "ready"


def test_parts_bypass_the_server_by_signed_urls_of_exactly_their_size(
    services: Services, ann: Headers, wrong_in: WrongIn, tmp_path: Path
) -> None:
    with with_settings(services, s3_public_endpoint=services.settings.s3_endpoint) as client:
        upload = begin(client, ann, size_bytes=len(TWO_PARTS))
        assert upload["has_urls"]
        for number, part in ((1, FIRST), (2, SECOND)):
            signed = client.post(f"{upload['links']['parts']}/{number}/url", headers=ann).json()
            assert signed["size_bytes"] == len(part)
            assert httpx.put(signed["url"], content=part + b"!").status_code == 403
            (tmp_path / "part").write_bytes(part)
            subprocess.run(["curl", "-sS", "--fail", "-T", tmp_path / "part", signed["url"]], check=True)
        assert not wrong_in(client.post(f"{upload['links']['parts']}/3/url", headers=ann), 422, "upload.part")
        assert complete(client, ann, upload).json()["state"] == "ready"
    assert list(stored(services).values()) == [TWO_PARTS]


def test_an_object_store_that_clients_do_not_reach_has_no_urls(
    client: TestClient, ann: Headers, wrong_in: WrongIn
) -> None:
    upload = begin(client, ann, size_bytes=10)
    assert not upload["has_urls"]
    assert not wrong_in(client.post(f"{upload['links']['parts']}/1/url", headers=ann), 409, "upload.no_urls")


@pytest.mark.parametrize("in_parts", [False, True])
def test_other_bytes_than_were_declared_are_refused_and_can_be_sent_right(
    client: TestClient, ann: Headers, services: Services, wrong_in: WrongIn, in_parts: bool
) -> None:
    upload = begin(client, ann, size_bytes=4, sha256=hashlib.sha256(b"good").hexdigest())

    def sent(content: bytes) -> Any:
        if not in_parts:
            return client.put(upload["links"]["content"], content=content, headers=ann)
        put_part(client, ann, upload, 1, content)
        return complete(client, ann, upload)

    assert not wrong_in(sent(b"evil"), 422, "upload.checksum")
    assert stored(services) == {}
    assert sent(b"good").json()["state"] == "ready"


def test_a_part_with_a_wrong_checksum_is_refused(client: TestClient, ann: Headers, wrong_in: WrongIn) -> None:
    path = f"{begin(client, ann, size_bytes=4)['links']['parts']}/1"
    md5, sha256 = (b64encode(hashlib.new(name, b"good").digest()).decode() for name in ("md5", "sha256"))
    for checksum in ({"Content-MD5": md5}, {"Content-Digest": f"sha-256=:{sha256}:"}):
        assert not wrong_in(client.put(path, content=b"evil", headers=ann | checksum), 422, "upload.checksum")
        assert client.put(path, content=b"good", headers=ann | checksum).status_code == 200
    wrong = client.put(path, content=b"good", headers=ann | {"Content-MD5": "?"})
    assert not wrong_in(wrong, 422, "request.invalid")
    assert [fault["pointer"] for fault in wrong.json()["errors"]] == ["Content-MD5:"]


def test_other_bytes_where_the_store_cannot_replace_a_part_are_a_conflict(
    client: TestClient, ann: Headers, wrong_in: WrongIn
) -> None:
    upload = begin(client, ann, size_bytes=len(TWO_PARTS))
    put_part(client, ann, upload, 1, FIRST)
    other = put_part(client, ann, upload, 1, FIRST[::-1])
    assert not wrong_in(other, 409, "upload.part_conflict")


def chunked(content: bytes) -> Iterator[bytes]:
    yield content


SENT_WRONG: list[tuple[dict[str, Any], str, Any, int, str]] = [
    ({}, "content", chunked(b"bytes"), 411, "upload.size_needed"),
    ({}, "content", b"", 422, "request.invalid"),
    ({"size_bytes": 4}, "content", b"bytes", 422, "upload.incomplete"),
    ({"size_bytes": 4}, "content", chunked(b"bytes"), 413, "request.too_large"),
    ({"size_bytes": 6}, "content", chunked(b"bytes"), 422, "upload.incomplete"),
    ({}, "parts/1", b"bytes", 411, "upload.size_needed"),
    ({"size_bytes": 4}, "parts/1", b"bytes", 422, "upload.part"),
    ({"size_bytes": 6}, "parts/1", chunked(b"bytes"), 422, "upload.part"),
    ({"size_bytes": 4}, "parts/1", chunked(b"bytes"), 413, "request.too_large"),
    ({"size_bytes": 5}, "parts/2", b"bytes", 422, "upload.part"),
    ({"size_bytes": 5}, "parts/0", b"bytes", 422, "request.invalid"),
]


@pytest.mark.parametrize("case", SENT_WRONG, ids=lambda case: f"{case[1]}-{case[4]}")
def test_bytes_that_do_not_fit_are_refused(
    client: TestClient, ann: Headers, wrong_in: WrongIn, case: tuple[dict[str, Any], str, Any, int, str]
) -> None:
    said, where, content, status, code = case
    upload = begin(client, ann, **said)
    response = client.put(f"{upload['links']['self']}/{where}", content=content, headers=ann)
    assert not wrong_in(response, status, code)
    assert client.get(upload["links"]["self"], headers=ann).json()["state"] == "open"


def test_what_is_ready_takes_no_more_bytes(client: TestClient, ann: Headers, wrong_in: WrongIn) -> None:
    upload = send(client, ann)
    again = client.put(upload["links"]["content"], content=b"some bytes", headers=ann)
    assert not wrong_in(again, 409, "upload.finished")
    assert not wrong_in(put_part(client, ann, upload, 1, b"some bytes"), 409, "upload.finished")


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"size_bytes": 0}, "/size_bytes"),
        ({"sha256": "ABC"}, "/sha256"),
        ({"filename": ""}, "/filename"),
        ({"media_type": "zip"}, "/media_type"),
        ({"surprise": 1}, "/surprise"),
    ],
)
def test_a_wrong_word_about_a_file_is_named(
    client: TestClient, ann: Headers, wrong_in: WrongIn, said: dict[str, Any], pointer: str
) -> None:
    response = client.post("/v1/uploads", json=said, headers=ann)
    assert not wrong_in(response, 422, "request.invalid")
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


def test_an_owner_has_only_so_much_room(services: Services, ann: Headers, bob: Headers, wrong_in: WrongIn) -> None:
    small = {"max_upload_bytes": 100, "max_open_uploads": 2, "upload_bytes_per_owner": 150}
    with with_settings(services, **small) as client:

        def refused(code: str, status: int, **said: Any) -> str:
            return wrong_in(client.post("/v1/uploads", json=said, headers=ann), status, code)

        assert not refused("upload.too_large", 413, size_bytes=101)
        undeclared = begin(client, ann)
        send(client, ann, b"a" * 100)
        assert not refused("upload.quota", 507, size_bytes=51)
        late = client.put(undeclared["links"]["content"], content=b"a" * 51, headers=ann)
        assert not wrong_in(late, 507, "upload.quota")
        begin(client, ann, size_bytes=50)
        assert not refused("upload.too_many", 429)
        begin(client, bob, size_bytes=100)


def test_somebody_elses_upload_is_not_there(client: TestClient, ann: Headers, bob: Headers, wrong_in: WrongIn) -> None:
    upload = send(client, ann)
    links = upload["links"]
    answers = [
        client.get(links["self"], headers=bob),
        client.delete(links["self"], headers=bob),
        client.put(links["content"], content=b"x", headers=bob),
        put_part(client, bob, upload, 1, b"x"),
        client.post(f"{links['parts']}/1/url", headers=bob),
        complete(client, bob, upload),
    ]
    assert [wrong_in(answer, 404, "upload.not_found") for answer in answers] == [""] * 6
    assert client.get("/v1/uploads", headers=bob).json()["data"] == []
    job = client.post("/v1/jobs", json={"dataset": {"uri": upload["uri"]}}, headers=bob)
    assert not wrong_in(job, 422, "dataset.not_found")


def test_uploads_are_listed_newest_first_by_pages(client: TestClient, ann: Headers) -> None:
    made = [begin(client, ann, filename=f"{n}.zip")["id"] for n in range(3)]
    first = client.get("/v1/uploads?limit=2", headers=ann).json()
    second = client.get("/v1/uploads", params={"limit": 2, "cursor": first["next_cursor"]}, headers=ann).json()
    assert [upload["id"] for upload in first["data"] + second["data"]] == made[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_deleted_upload_is_gone_with_its_bytes(
    client: TestClient, ann: Headers, services: Services, wrong_in: WrongIn, in_parts: bool
) -> None:
    upload = begin(client, ann, size_bytes=4) if in_parts else send(client, ann)
    if in_parts:
        put_part(client, ann, upload, 1, b"good")
    assert client.delete(upload["links"]["self"], headers=ann).status_code == 204
    assert stored(services) == {}
    assert not wrong_in(client.get(upload["links"]["self"], headers=ann), 404, "upload.not_found")


def test_an_upload_is_a_dataset_once_it_is_ready(client: TestClient, ann: Headers, wrong_in: WrongIn) -> None:
    upload = begin(client, ann)
    body = {"dataset": {"uri": upload["uri"]}}
    early = client.post("/v1/jobs", json=body, headers=ann)
    assert not wrong_in(early, 422, "dataset.not_found")
    assert [fault["pointer"] for fault in early.json()["errors"]] == ["/dataset/uri"]
    client.put(upload["links"]["content"], content=b"some bytes", headers=ann)
    assert client.post("/v1/jobs", json=body, headers=ann).status_code == 202


def test_an_upload_that_an_open_job_uses_is_not_deleted(
    client: TestClient, ann: Headers, services: Services, wrong_in: WrongIn
) -> None:
    upload = send(client, ann)
    job = client.post("/v1/jobs", json={"dataset": {"uri": upload["uri"]}}, headers=ann).json()
    assert not wrong_in(client.delete(upload["links"]["self"], headers=ann), 409, "upload.in_use")
    client.post(job["links"]["cancel"], headers=ann)
    assert client.delete(upload["links"]["self"], headers=ann).status_code == 204
    assert services.store.get("ann", job["id"]).state is JobState.CANCELLED


def test_a_store_that_is_away_keeps_what_was_begun(
    services: Services, settings: Settings, ann: Headers, wrong_in: WrongIn
) -> None:
    with with_settings(services) as client:
        upload = begin(client, ann)
    with with_settings(services, s3_endpoint="http://127.0.0.1:9") as client:
        away = client.put(upload["links"]["content"], content=b"some bytes", headers=ann)
        assert not wrong_in(away, 503, "storage.unavailable")
    with with_settings(services) as client:
        assert client.put(upload["links"]["content"], content=b"some bytes", headers=ann).status_code == 200


def test_the_command_line_goes_on_where_it_was_cut_off(
    app: FastAPI, ann: Headers, services: Services, tmp_path: Path
) -> None:
    (tmp_path / "flowers.zip").write_bytes(TWO_PARTS)
    said = {"size_bytes": len(TWO_PARTS), "sha256": hashlib.sha256(TWO_PARTS).hexdigest()}
    with served(app) as url, httpx.Client(base_url=url, headers=ann) as http:
        begun = http.post("/v1/uploads", json=said).json()
        http.put(f"{begun['links']['parts']}/2", content=SECOND)
        with Client(url, ann["Authorization"].removeprefix("Bearer ")) as client:
            sent = client.upload(tmp_path / "flowers.zip")
    assert (sent.id, sent.state) == (begun["id"], "ready")
    assert list(stored(services).values()) == [TWO_PARTS]
