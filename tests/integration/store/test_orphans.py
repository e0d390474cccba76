"""The bucket against the database, on real servers."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from ddoq.events import Stage
from jobs import orphans
from jobs.artifacts import ObjectStore, Stored, make_s3_client
from jobs.errors import StorageUnavailableError
from jobs.leases import Leases
from jobs.orphans import OrphanScanner
from jobs.records import Artifact
from jobs.settings import Settings
from jobs.store import Store
from jobs.sweep import Sweeper
from tests.job_steps import expire, put_artifact, reach, take


class AgedStore(ObjectStore):
    """A real object store whose clock went on by some hours since everything in it was written."""

    hours = 2

    def list_stored(self, prefix: str) -> Iterator[Stored]:
        for stored in super().list_stored(prefix):
            yield Stored(stored.key, stored.size_bytes, stored.modified - timedelta(hours=self.hours))


@pytest.fixture
def objects(settings: Settings) -> Iterator[AgedStore]:
    client = make_s3_client(settings)
    yield AgedStore(client, settings.s3_bucket)
    client.close()


@pytest.fixture
def scanner(engine: Engine, objects: AgedStore) -> OrphanScanner:
    return OrphanScanner(engine, objects, every_seconds=3600)


@pytest.fixture
def put(objects: AgedStore, tmp_path: Path) -> Callable[[str], Artifact]:
    path = tmp_path / "file.bin"
    path.write_bytes(b"some bytes")
    return lambda key: put_artifact(objects, path, key, key.rpartition("/")[2], "application/zip")


Put = Callable[[str], Artifact]


def keys(objects: ObjectStore) -> list[str]:
    return list(objects.list_keys("jobs"))


def finish_with(store: Store, leases: Leases, put: Put) -> Artifact:
    """Let a job succeed with one artifact."""
    claim = reach(store, leases, Stage.PACKAGE)
    artifact = put(f"{claim.prefix}/archive.zip")
    leases.finish(claim, [artifact])
    return artifact


def test_objects_of_no_job_are_deleted(scanner: OrphanScanner, objects: AgedStore, put: Put) -> None:
    for key in ("jobs/job_gone/read/0/1/a", "jobs/job_gone/read/0/1/b", "jobs/odd", "cache/somebody/teacher.tar"):
        put(key)
    scanned = scanner.scan_when_due()
    assert (scanned.took_place, scanned.n_objects, scanned.n_deleted) == (True, 3, 3)
    assert keys(objects) == []
    assert list(objects.list_keys("cache")) == ["cache/somebody/teacher.tar"]


def test_young_objects_are_left_alone(engine: Engine, settings: Settings, objects: AgedStore, put: Put) -> None:
    put("jobs/job_gone/read/0/1/a")
    objects.hours = 0
    assert OrphanScanner(engine, objects, 3600).scan_when_due().n_deleted == 0
    assert keys(objects) == ["jobs/job_gone/read/0/1/a"]


def test_what_a_lost_attempt_left_is_kept_for_the_next_until_that_is_done(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, scanner: OrphanScanner, objects: AgedStore, put: Put
) -> None:
    lost = reach(store, leases, Stage.ENCODE)
    expire(engine, lost)
    sweeper.sweep()
    winner = take(leases)
    written = [put(f"{prefix}/manifest.json").key for prefix in (lost.prefix, winner.prefix)]
    again = OrphanScanner(engine, objects, every_seconds=0.001)
    scanner.scan_when_due()
    while_running = keys(objects)
    leases.finish(winner)
    again.scan_when_due()
    assert (while_running, keys(objects)) == (written, written[1:])


def test_what_finished_units_made_is_kept_while_the_job_runs(
    store: Store, leases: Leases, scanner: OrphanScanner, objects: AgedStore, put: Put
) -> None:
    claim = reach(store, leases, Stage.QUANTIZE)
    inputs = sorted(put(f"{prefix}/manifest.json").key for prefixes in claim.inputs.values() for prefix in prefixes)
    assert scanner.scan_when_due().n_deleted == 0
    assert keys(objects) == inputs


def test_what_a_drained_attempt_left_is_kept(
    store: Store, leases: Leases, scanner: OrphanScanner, objects: AgedStore, put: Put
) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    put(f"{claim.prefix}/blocks/00000/manifest.json")
    leases.give_back(claim)
    scanner.scan_when_due()
    assert keys(objects) == [f"{claim.prefix}/blocks/00000/manifest.json"]


def test_of_an_ended_job_the_artifacts_are_kept(
    store: Store, leases: Leases, scanner: OrphanScanner, objects: AgedStore, put: Put
) -> None:
    artifact = finish_with(store, leases, put)
    put(artifact.key.replace("archive.zip", "written late.bin"))
    scanner.scan_when_due()
    assert keys(objects) == [artifact.key]


def test_artifacts_that_outlived_their_time_are_deleted(
    store: Store, leases: Leases, engine: Engine, scanner: OrphanScanner, objects: AgedStore, put: Put
) -> None:
    finish_with(store, leases, put)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET expires_at = now(), artifacts_deleted_at = now()"))
    scanned = scanner.scan_when_due()
    assert (keys(objects), scanned.missing) == ([], ())


def test_an_artifact_whose_object_is_gone_is_told_once(
    store: Store, leases: Leases, scanner: OrphanScanner, engine: Engine, objects: AgedStore, put: Put
) -> None:
    artifact, whole = finish_with(store, leases, put), finish_with(store, leases, put)
    objects.delete(artifact.key)
    again = OrphanScanner(engine, objects, every_seconds=0.001)
    assert [scanner.scan_when_due().missing, again.scan_when_due().missing] == [(artifact.key,), ()]
    job_id = artifact.key.split("/")[1]
    event = store.events("ada", job_id, after=0, limit=1000)[-1]
    assert (event.kind, event.data["name"]) == ("artifact_missing", "archive.zip")
    kinds = {event.kind for event in store.events("ada", whole.key.split("/")[1], after=0, limit=1000)}
    assert "artifact_missing" not in kinds


def test_a_scan_is_due_once_for_all_processes(engine: Engine, settings: Settings, objects: AgedStore) -> None:
    objects.hours = 0
    first, second = (OrphanScanner(engine, objects, every_seconds=3600) for _ in range(2))
    assert [first.scan_when_due().took_place, second.scan_when_due().took_place] == [True, False]
    objects.hours = 2
    assert second.scan_when_due().took_place


def test_of_two_scanners_at_once_one_works(engine: Engine, scanner: OrphanScanner) -> None:
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(orphans.ELECTION)))
        while_other = scanner.scan_when_due()
    assert (while_other.took_place, scanner.scan_when_due().took_place) == (False, True)


def test_a_scan_that_is_to_end_breaks_off_behind_a_page(
    monkeypatch: pytest.MonkeyPatch, store: Store, leases: Leases, scanner: OrphanScanner, objects: AgedStore, put: Put
) -> None:
    monkeypatch.setattr(orphans, "PAGE", 2)
    for number in range(5):
        put(f"jobs/job_gone/read/0/1/{number}")
    scanned = scanner.scan_when_due(lambda: True)
    assert (scanned.n_objects, scanned.n_deleted, scanned.missing) == (2, 2, ())


def test_more_objects_than_a_page_are_looked_through(
    monkeypatch: pytest.MonkeyPatch, store: Store, leases: Leases, scanner: OrphanScanner, objects: AgedStore, put: Put
) -> None:
    monkeypatch.setattr(orphans, "PAGE", 2)
    artifact = finish_with(store, leases, put)
    for number in range(5):
        put(f"jobs/job_gone/read/0/1/{number}")
    assert scanner.scan_when_due().n_deleted == 5
    assert keys(objects) == [artifact.key]


def test_a_scan_while_the_object_store_is_away_is_tried_again(engine: Engine, settings: Settings) -> None:
    client = make_s3_client(settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"}))
    scanner = OrphanScanner(engine, ObjectStore(client, "bucket"), 3600)
    for _ in range(2):  # the second finds the election free again
        with pytest.raises(StorageUnavailableError):
            scanner.scan_when_due()
    client.close()


def test_an_upload_in_parts_that_never_ended_is_given_up(settings: Settings) -> None:
    client = make_s3_client(settings)
    client.create_multipart_upload(Bucket=settings.s3_bucket, Key="jobs/j/read/0/1/large.bin")
    objects = ObjectStore(client, settings.s3_bucket)
    now = datetime.now(UTC)
    young, old = objects.abort_uploads(now - timedelta(days=1)), objects.abort_uploads(now + timedelta(days=1))
    left = objects.abort_uploads(now + timedelta(days=1))
    client.close()
    assert (young, old, left) == (0, 1, 0)
