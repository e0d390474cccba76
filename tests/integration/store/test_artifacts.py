"""The object store, on a real server."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from jobs.artifacts import ObjectStore, make_s3_client
from jobs.errors import ObjectNotFoundError, StorageFullError, StorageRefusedError, StorageUnavailableError
from jobs.records import Artifact
from jobs.settings import Settings
from tests.job_steps import put_artifact

CONTENT = bytes(range(256)) * 4096  # 1 MiB, so that it comes in several chunks


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A complete stage folder."""
    folder = tmp_path / "stage"
    (folder / "shards").mkdir(parents=True)
    (folder / "shards" / "0.bin").write_bytes(CONTENT)
    (folder / "empty.txt").write_bytes(b"")
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.fixture
def stored(objects: ObjectStore, tmp_path: Path) -> Artifact:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return put_artifact(objects, path, "jobs/j/package/0/1/content.bin", "content.bin", "application/zip")


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_as_it_went(objects: ObjectStore, stage: Path, tmp_path: Path) -> None:
    objects.upload_folder(stage, "jobs/j/read/0/1")
    objects.download_folder("jobs/j/read/0/1", tmp_path / "deep" / "copy")
    assert tree(tmp_path / "deep" / "copy") == tree(stage)


def test_a_folder_that_is_here_is_not_fetched_again(objects: ObjectStore, stage: Path) -> None:
    before = tree(stage)
    objects.download_folder("jobs/j/not/there", stage)
    assert tree(stage) == before


def test_half_a_folder_left_by_a_lost_worker_is_replaced(objects: ObjectStore, stage: Path, tmp_path: Path) -> None:
    objects.upload_folder(stage, "jobs/j/read/0/1")
    half = tmp_path / "half"
    half.mkdir()
    (half / "leftover.bin").write_bytes(b"old")
    objects.download_folder("jobs/j/read/0/1", half)
    assert tree(half) == tree(stage)


def test_fetching_leaves_nothing_unfinished_behind(objects: ObjectStore, stage: Path, tmp_path: Path) -> None:
    objects.upload_folder(stage, "jobs/j/read/0/1")
    objects.download_folder("jobs/j/read/0/1", tmp_path / "copies" / "copy")
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["copy"]


def test_a_folder_without_its_manifest_is_not_fetched(objects: ObjectStore, tmp_path: Path, stage: Path) -> None:
    put_artifact(objects, stage / "empty.txt", "jobs/j/read/0/1/empty.txt", "empty.txt", "text/plain")
    with pytest.raises(ObjectNotFoundError, match="complete"):
        objects.download_folder("jobs/j/read/0/1", tmp_path / "copy")


def test_an_artifact_says_its_size_and_sha256(stored: Artifact) -> None:
    assert (stored.size_bytes, stored.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize(("start", "end"), [(0, len(CONTENT) - 1), (0, 0), (300_000, 900_000), (len(CONTENT) - 1,) * 2])
def test_a_range_is_read_as_asked_both_ends_included(
    objects: ObjectStore, stored: Artifact, start: int, end: int
) -> None:
    assert b"".join(objects.open_range(stored.key, start, end)) == CONTENT[start : end + 1]


def test_a_range_that_was_closed_is_not_read_any_further(objects: ObjectStore, stored: Artifact) -> None:
    opened = objects.open_range(stored.key, 0, len(CONTENT) - 1)
    opened.close()
    with pytest.raises(StorageUnavailableError):
        list(opened)


def test_a_missing_object_is_told_before_the_first_chunk(objects: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError):
        objects.open_range("jobs/nothing", 0, 9)


def test_keys_are_listed_below_a_folder_only(objects: ObjectStore, stage: Path) -> None:
    objects.upload_folder(stage, "jobs/j1")
    objects.upload_folder(stage, "jobs/j10")
    assert list(objects.list_keys("jobs/j1")) == [
        "jobs/j1/empty.txt",
        "jobs/j1/manifest.json",
        "jobs/j1/shards/0.bin",
    ]


def test_an_unknown_folder_has_no_keys(objects: ObjectStore) -> None:
    assert list(objects.list_keys("jobs/nothing")) == []


def test_what_is_to_be_kept_outlives_the_folder(objects: ObjectStore, stage: Path) -> None:
    objects.upload_folder(stage, "jobs/j")
    n_deleted = objects.delete_prefix("jobs/j", keep={"jobs/j/empty.txt"})
    assert (n_deleted, list(objects.list_keys(""))) == (2, ["jobs/j/empty.txt"])


def test_more_objects_than_one_request_may_name_are_deleted(
    objects: ObjectStore, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1001):
        (folder / f"{number}").write_bytes(b"")
    (folder / "manifest.json").write_text("{}")
    objects.upload_folder(folder, "jobs/j")
    assert objects.delete_prefix("jobs/j") == 1002
    assert list(objects.list_keys("jobs")) == []


def test_a_bucket_that_is_there_is_ready(objects: ObjectStore) -> None:
    objects.ensure_bucket()
    assert objects.is_ready()


def test_a_bucket_that_is_missing_is_not_ready_until_made(settings: Settings) -> None:
    client = make_s3_client(settings)
    objects = ObjectStore(client, f"{settings.s3_bucket}-2")
    before = objects.is_ready()
    objects.ensure_bucket()
    assert (before, objects.is_ready()) == (False, True)
    client.close()


@pytest.fixture
def nowhere(settings: Settings) -> Iterator[ObjectStore]:
    """An object store that is away."""
    client = make_s3_client(settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"}))
    yield ObjectStore(client, "bucket")
    client.close()


def test_a_server_that_is_away_is_not_ready(nowhere: ObjectStore) -> None:
    assert not nowhere.is_ready()


def test_a_server_that_is_away_is_told(nowhere: ObjectStore) -> None:
    with pytest.raises(StorageUnavailableError):
        nowhere.delete_prefix("jobs/j")


def test_a_wrong_secret_is_told(settings: Settings) -> None:
    client = make_s3_client(settings.model_copy(update={"s3_access_key": "somebody"}))
    with pytest.raises(StorageRefusedError, match="InvalidAccessKeyId"):
        list(ObjectStore(client, settings.s3_bucket).list_keys(""))
    client.close()


@pytest.fixture
def refusing(settings: Settings) -> Iterator[Callable[[int, str], ObjectStore]]:
    """Make an object store that answers every request by the same error."""
    with ExitStack() as opened:

        def make(status: int, code: str) -> ObjectStore:
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

            class Refusal(BaseHTTPRequestHandler):
                def do_PUT(self) -> None:
                    self.rfile.read(int(self.headers["Content-Length"]))
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: object) -> None:
                    pass

            server = opened.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Refusal))
            Thread(target=server.serve_forever, daemon=True).start()
            opened.callback(server.shutdown)
            address = f"http://127.0.0.1:{server.server_port}"
            client = make_s3_client(settings.model_copy(update={"s3_endpoint": address}))
            opened.callback(client.close)
            return ObjectStore(client, "bucket")

        yield make


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (507, "InsufficientStorage", StorageFullError),
        (403, "QuotaExceeded", StorageFullError),
        (403, "AccessDenied", StorageRefusedError),
    ],
)
def test_a_store_that_is_full_or_refuses_is_told_from_one_that_is_away(
    refusing: Callable[[int, str], ObjectStore],
    status: int,
    code: str,
    error: type[StorageUnavailableError],
    stage: Path,
) -> None:
    objects = refusing(status, code)
    for put in (lambda: objects.put_empty("a"), lambda: objects.upload_folder(stage, "jobs/j/read/0/1")):
        with pytest.raises(error, match=code):
            put()
