"""How long uploads live, on real servers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from sqlalchemy import Engine, text

from ddoq.config import DatasetConfig, DistillConfig
from ddoq.errors import DatasetNotFoundError
from ddoq.sources import Access, LocalFile, StoredObject, open_source
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.orphans import OrphanScanner
from jobs.records import Upload, UploadState
from jobs.settings import Settings
from jobs.store import JobFilter, Store
from jobs.submitting import Idempotency
from jobs.upload_beginnings import NewUpload
from jobs.upload_errors import UploadFinishedError, UploadNotFoundError
from jobs.uploads import Uploads, open_uploads
from tests.integration.store.test_orphans import AgedStore


@pytest.fixture
def uploads(engine: Engine, settings: Settings) -> Uploads:
    return open_uploads(engine, settings)


@pytest.fixture
def aged(settings: Settings) -> Iterator[AgedStore]:
    client = make_s3_client(settings)
    yield AgedStore(client, settings.s3_bucket)
    client.close()


def sent(uploads: Uploads, content: bytes = b"bytes") -> Upload:
    """Send a file whole."""
    upload = uploads.create("ada", NewUpload(size_bytes=len(content)))
    writing = uploads.write(upload)
    writing.write(BytesIO(content), len(content))
    return uploads.finish_written(upload, writing)


def config(upload: Upload) -> DistillConfig:
    return DistillConfig(dataset=DatasetConfig(uri=f"upload://{upload.id}"))


def age(engine: Engine, table: str, column: str, days: float) -> None:
    """Let a moment of all rows lie further back."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET {column} = {column} - interval '{days} days'"))


def keys(objects: ObjectStore) -> list[str]:
    return list(objects.list_keys("uploads"))


def test_equal_requests_at_once_begin_one_upload(uploads: Uploads) -> None:
    once = Idempotency("the key", "a digest")
    with ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(lambda _: uploads.create_once("ada", NewUpload(), once), range(8)))
    assert sum(one.is_new for one in begun) == 1
    assert len({one.upload.id for one in begun}) == len(uploads.page("ada", None, 100)[0]) == 1


def test_what_was_never_finished_is_given_up_after_a_day(
    uploads: Uploads, engine: Engine, objects: ObjectStore
) -> None:
    upload = uploads.create("ada", NewUpload(size_bytes=5))
    uploads.put_part("ada", upload.id, 1, BytesIO(b"bytes"))
    assert uploads.delete_unused() == []
    begun = uploads.get("ada", upload.id)
    age(engine, "uploads", "used_at", 1)
    assert uploads.delete_unused() == [upload.id]
    assert uploads.parts(begun) == []
    with pytest.raises(UploadNotFoundError):
        uploads.get("ada", upload.id)


def test_an_upload_lives_for_some_days_after_its_last_job(
    uploads: Uploads, engine: Engine, store: Store, objects: ObjectStore
) -> None:
    upload = sent(uploads)
    job = store.submit("ada", config(upload))
    age(engine, "uploads", "used_at", 31)
    assert uploads.delete_unused() == []
    store.cancel("ada", job.id)
    assert uploads.delete_unused() == []
    age(engine, "jobs", "finished_at", 31)
    assert uploads.delete_unused() == [upload.id]
    assert keys(objects) == []
    assert store.get("ada", job.id).config == config(upload)


def test_a_job_on_an_upload_begins_its_days_anew(uploads: Uploads, engine: Engine, store: Store) -> None:
    upload = sent(uploads)
    age(engine, "uploads", "used_at", 31)
    store.submit("ada", config(upload))
    assert uploads.get("ada", upload.id).used_at > upload.created_at


@pytest.mark.parametrize("owner", ["ada", "bob"])
def test_a_job_on_an_upload_that_is_not_there_is_not_stored(uploads: Uploads, store: Store, owner: str) -> None:
    upload = sent(uploads) if owner == "bob" else uploads.create("ada", NewUpload())
    with pytest.raises(DatasetNotFoundError, match="no complete upload"):
        store.submit(owner, config(upload))
    assert store.page(owner, JobFilter(), None, 10)[0] == []


def test_of_two_who_send_at_once_one_wins_and_the_other_leaves_nothing(uploads: Uploads, objects: ObjectStore) -> None:
    upload = uploads.create("ada", NewUpload(size_bytes=5))
    first, second = uploads.write(upload), uploads.write(upload)
    for writing, content in ((first, b"first"), (second, b"other")):
        writing.write(BytesIO(content), 5)
    ready = uploads.finish_written(upload, first)
    with pytest.raises(UploadFinishedError):
        uploads.finish_written(upload, second)
    assert keys(objects) == [ready.key]


def test_an_upload_whose_end_nobody_wrote_down_is_completed_again(
    uploads: Uploads, settings: Settings, objects: ObjectStore
) -> None:
    upload = uploads.create("ada", NewUpload(size_bytes=5))
    part = uploads.put_part("ada", upload.id, 1, BytesIO(b"bytes"))
    begun = uploads.get("ada", upload.id)
    client = make_s3_client(settings)
    client.complete_multipart_upload(
        Bucket=settings.s3_bucket,
        Key=begun.key,
        UploadId=begun.multipart_id,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part.etag}]},
    )
    client.close()
    assert uploads.complete("ada", upload.id, None).state is UploadState.READY
    assert keys(objects) == [begun.key]


def test_the_scan_for_orphans_leaves_what_an_upload_is_and_deletes_the_rest(
    uploads: Uploads, engine: Engine, aged: AgedStore
) -> None:
    upload = sent(uploads)
    for key in ("uploads/upload_gone/x", f"uploads/{upload.id}/loser"):
        aged.put_empty(key)
    OrphanScanner(engine, aged, 3600).scan_when_due()
    assert keys(aged) == [upload.key]


def test_a_worker_reads_an_upload_of_its_jobs_owner(uploads: Uploads, settings: Settings, tmp_path) -> None:
    upload, client = sent(uploads), make_s3_client(settings)

    def access(owner: str) -> Access:
        def find(upload_id: str) -> StoredObject | None:
            key = uploads.locate(owner, upload_id)
            return StoredObject(lambda: client, settings.s3_bucket, key) if key else None

        return Access((), (), None, tmp_path / owner, uploads=find)

    uri = f"upload://{upload.id}"
    found = open_source(uri, access("ada"))
    assert isinstance(found, LocalFile)
    assert found.path.read_bytes() == b"bytes"
    with pytest.raises(DatasetNotFoundError, match="no complete upload"):
        open_source(uri, access("bob"))
    assert upload.key is not None
    client.delete_object(Bucket=settings.s3_bucket, Key=upload.key)
    with pytest.raises(DatasetNotFoundError, match="are gone"):
        open_source(uri, access("ada"))
    client.close()
