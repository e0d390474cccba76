"""The bucket against the database, both ways: objects that nobody refers to, and artifacts whose object is gone.

The whole bucket is listed, which takes long: it has its own election and its own clock, an object in the bucket.
Memory does not grow with the number of objects: they are looked up page by page.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, exists, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from jobs.artifacts import ObjectStore, Stored
from jobs.errors import ObjectNotFoundError, StorageUnavailableError
from jobs.records import UnitState
from jobs.rows import lock_job, now, record
from jobs.states import TERMINAL, EventKind
from jobs.tables import artifacts, events, jobs, units, uploads

ELECTION = 0x64646F73  # any number, the same in all processes
CLOCK = "scans/orphans"  # an empty object, as old as the latest scan
LEAST_AGE = timedelta(hours=1)  # what is younger may be about to be referred to
UPLOAD_AGE = timedelta(days=1)
PAGE = 1000
MISSING_AT_ONCE = 1000  # a scan

seen = Table("seen_artifacts", MetaData(), Column("key", Text, primary_key=True), prefixes=["TEMPORARY"])
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Scanned:
    """What a scan found. It did not take place when it was not due, or another process was scanning."""

    took_place: bool
    n_objects: int = 0
    n_deleted: int = 0
    missing: tuple[str, ...] = ()


class OrphanScanner:
    """Scans. Safe to share between threads."""

    def __init__(self, engine: Engine, objects: ObjectStore, every_seconds: float) -> None:
        self._engine = engine
        self._objects = objects
        self._every = timedelta(seconds=every_seconds)

    def scan_when_due(self, is_ending: Callable[[], bool] = lambda: False) -> Scanned:
        """Scan, unless another process does, or some process has done so lately. Breaks off when `is_ending`.

        Raises:
            StorageUnavailableError: the object store is away; the next scan begins anew.
        """
        with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:  # no transaction
            if not connection.execute(select(func.pg_try_advisory_lock(ELECTION))).scalar_one():
                return Scanned(took_place=False)
            try:
                return self._scan(connection, is_ending) if self._is_due() else Scanned(took_place=False)
            finally:
                connection.execute(select(func.pg_advisory_unlock(ELECTION)))

    def _is_due(self) -> bool:
        latest = next((clock for clock in self._objects.list_stored("scans") if clock.key == CLOCK), None)
        return latest is None or latest.modified <= datetime.now(UTC) - self._every

    def _scan(self, connection: Connection, is_ending: Callable[[], bool]) -> Scanned:
        self._objects.put_empty(CLOCK)
        began = connection.execute(select(now())).scalar_one()
        n_objects = n_deleted = 0
        seen.drop(connection, checkfirst=True)
        seen.create(connection)
        for page in _pages(self._objects.list_stored("jobs"), PAGE):
            n_objects += len(page)
            n_deleted += self._sort_out(connection, page)
            if is_ending():
                return Scanned(took_place=True, n_objects=n_objects, n_deleted=n_deleted)
        n_deleted += self._sort_out_uploads(connection)
        missing = self._tell_missing(connection, began)
        seen.drop(connection)
        self._abort_uploads()
        return Scanned(True, n_objects, n_deleted, missing)

    def _sort_out(self, connection: Connection, page: Sequence[Stored]) -> int:
        """Remember the artifacts of a page, and delete what nobody refers to; answer how many."""
        handed_out = _artifacts_among(connection, [stored.key for stored in page])
        if handed_out:
            connection.execute(insert(seen).on_conflict_do_nothing(), [{"key": key} for key in handed_out])
        old = datetime.now(UTC) - LEAST_AGE
        rest = [stored.key for stored in page if stored.key not in handed_out and stored.modified < old]
        in_use = _attempts_in_use(connection, {_attempt_of(key) for key in rest})
        orphans = [key for key in rest if _attempt_of(key) not in in_use]
        if orphans:
            log.info("%d objects that nobody refers to are deleted, %r first", len(orphans), orphans[0])
            self._objects.delete_keys(orphans)
        return len(orphans)

    def _sort_out_uploads(self, connection: Connection) -> int:
        """Delete the bytes of uploads that nobody refers to; answer how many objects."""
        n_deleted, old = 0, datetime.now(UTC) - LEAST_AGE
        for page in _pages(self._objects.list_stored("uploads"), PAGE):
            keys = [stored.key for stored in page if stored.modified < old]
            kept = set(connection.execute(select(uploads.c.key).where(uploads.c.key.in_(keys))).scalars())
            self._objects.delete_keys([key for key in keys if key not in kept])
            n_deleted += len(keys) - len(kept)
        return n_deleted

    def _tell_missing(self, connection: Connection, began: datetime) -> tuple[str, ...]:
        """Write into the events of jobs that ended before the scan which of their artifacts it did not see."""
        is_told = exists().where(
            events.c.job_id == jobs.c.id,
            events.c.kind == EventKind.ARTIFACT_MISSING,
            events.c.data["name"].as_string() == artifacts.c.name,
        )
        unseen = (
            select(artifacts.c.job_id, artifacts.c.name, artifacts.c.key)
            .join(jobs, jobs.c.id == artifacts.c.job_id)
            .outerjoin(seen, seen.c.key == artifacts.c.key)
            .where(seen.c.key.is_(None), jobs.c.finished_at < began, ~is_told)
            .where(jobs.c.artifacts_deleted_at.is_(None), func.coalesce(jobs.c.expires_at > now(), True))
            .limit(MISSING_AT_ONCE)
        )
        missing = []
        for row in connection.execute(unseen).all():
            if self._objects.holds(row.key):
                continue
            log.error("artifact %r of job %s is gone from the object store", row.name, row.job_id)
            with self._engine.begin() as writing:
                told = {"name": row.name, "key": row.key}
                record(writing, lock_job(writing, row.job_id), EventKind.ARTIFACT_MISSING, told)
            missing.append(row.key)
        return tuple(missing)

    def _abort_uploads(self) -> None:
        try:
            n_aborted = self._objects.abort_uploads(datetime.now(UTC) - UPLOAD_AGE)
            log.info("%d uploads that nobody ended are given up", n_aborted)
        except (ObjectNotFoundError, StorageUnavailableError) as error:  # not every server can list them
            log.info("unfinished uploads are not looked for: %s", error)


def _pages(found: Iterator[T], size: int) -> Iterator[Sequence[T]]:
    while page := list(islice(found, size)):
        yield page


def _attempt_of(key: str) -> str:
    """Name the prefix at which the attempt that wrote an object wrote: `jobs/<job>/<stage>/<index>/<attempt>`."""
    return "/".join(key.split("/")[:5])


def _artifacts_among(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Find those of the keys that are artifacts, and still to be had."""
    kept = select(artifacts.c.key).join(jobs, jobs.c.id == artifacts.c.job_id)
    of_jobs = artifacts.c.job_id.in_({key.split("/")[1] for key in keys})
    found = connection.execute(kept.where(of_jobs, artifacts.c.key.in_(keys), jobs.c.artifacts_deleted_at.is_(None)))
    return set(found.scalars())


def _attempts_in_use(connection: Connection, prefixes: set[str]) -> set[str]:
    """Find those of the attempts that a job which has not ended still needs.

    Of a unit that is done that is the one that won; of another all, since each may have left blocks to go on from.
    """
    by_place = defaultdict(set)
    for prefix in prefixes:
        match prefix.split("/"):
            case ["jobs", job_id, stage, index, _] if index.isdecimal() and len(index) < 10:
                by_place[job_id, stage, int(index)].add(prefix)
    if not by_place:
        return set()
    of_open = select(units).join(jobs, jobs.c.id == units.c.job_id).where(jobs.c.state.not_in(TERMINAL))
    found = connection.execute(of_open.where(tuple_(units.c.job_id, units.c.stage, units.c.index).in_(by_place)))
    in_use: set[str] = set()
    for unit in found.mappings():
        is_done = unit["state"] == UnitState.DONE
        in_use |= {unit["prefix"]} if is_done else by_place[unit["job_id"], unit["stage"], unit["index"]]
    return in_use
