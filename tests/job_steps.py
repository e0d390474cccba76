"""What the tests of jobs do again and again."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, text

from ddoq.config import DatasetConfig, DistillConfig
from ddoq.events import Stage
from jobs.artifacts import ObjectStore
from jobs.leases import Leases
from jobs.records import Artifact, Claim, Job
from jobs.store import Store
from jobs.tables import units

CONFIG = DistillConfig(dataset=DatasetConfig(uri="file:///data/flowers.zip"))


def take(leases: Leases, worker: str = "worker") -> Claim:
    """Claim a unit that must be there."""
    claim = leases.claim(worker)
    assert claim is not None
    return claim


def reach(store: Store, leases: Leases, stage: Stage) -> Claim:
    """Submit a job, finish the stages before `stage` and claim that."""
    store.submit("ada", CONFIG)
    claim = take(leases)
    while claim.stage is not stage:
        leases.finish(claim)
        claim = take(leases)
    return claim


def succeed(store: Store, leases: Leases) -> Job:
    """Submit a job and finish all its stages."""
    claim = reach(store, leases, Stage.PACKAGE)
    leases.finish(claim)
    return store.get("ada", claim.job_id)


def expire(engine: Engine, claim: Claim) -> None:
    """Let the lease of a claim, if it still has one, have run out a second ago."""
    expired = "UPDATE units SET lease_expires_at = clock_timestamp() - interval '1 second' WHERE lease_token = :token"
    with engine.begin() as connection:
        connection.execute(text(expired), {"token": claim.token})


def split(engine: Engine, job_id: str, n_units: int) -> None:
    """Cut the first stage of a job that is still queued into several units."""
    with engine.begin() as connection:
        connection.execute(text('UPDATE units SET "of" = :n WHERE job_id = :job'), {"n": n_units, "job": job_id})
        for index in range(1, n_units):
            connection.execute(
                text(
                    'INSERT INTO units (job_id, stage, "index", "of", state) '
                    "VALUES (:job, 'read', :index, :n, 'ready')"
                ),
                {"job": job_id, "index": index, "n": n_units},
            )


def units_of(engine: Engine, job_id: str) -> Sequence[Row[Any]]:
    """Read every unit of a job, in the order in which they were made."""
    with engine.connect() as connection:
        return connection.execute(select(units).where(units.c.job_id == job_id).order_by(units.c.id)).all()


def put_artifact(objects: ObjectStore, path: Path, key: str, name: str, media_type: str) -> Artifact:
    """Store a file and describe it as the artifact `name` of a job."""
    objects.put_file(path, key, media_type)
    content = path.read_bytes()
    return Artifact(name, key, len(content), hashlib.sha256(content).hexdigest(), media_type)


def until_one_waits(engine: Engine, lock: str) -> None:
    """Return when a connection waits for another's lock: `relation` for that of a table, `transactionid` of a row."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = :lock AND datname = current_database()")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.execute(waiting, {"lock": lock}).scalar_one() == 0:
            time.sleep(0.01)


def planned(connection: Connection, statement: str, given: Mapping[str, object]) -> Iterator[Mapping[str, Any]]:
    """Run a statement, and tell the steps that PostgreSQL made of it."""
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", given).scalar_one()
    steps = [plan["Plan"]]
    while steps:
        step = steps.pop()
        yield step
        steps += step.get("Plans", ())
