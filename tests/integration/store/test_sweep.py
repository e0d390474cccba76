"""What the sweep does for lost workers, lost calls and ended jobs."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Connection, Engine, event, func, select, text

from ddoq.events import Stage
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.errors import ArtifactExpiredError
from jobs.leases import Leases
from jobs.queue import QUEUE, Queue, make_celery
from jobs.records import Claim, Failure, JobState
from jobs.settings import Settings
from jobs.store import Store
from jobs.sweep import SWEEPING, Sweeper
from tests.job_steps import CONFIG, expire, planned, put_artifact, reach, split, succeed, take


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(b"some bytes")
    return path


@pytest.fixture
def crowd(store: Store, leases: Leases, engine: Engine) -> tuple[Claim, Claim]:
    """Two units of one job, both running."""
    split(engine, store.submit("ada", CONFIG).id, 2)
    return take(leases), take(leases)


def see(engine: Engine, *names: str, seconds_ago: int = 0) -> None:
    """Let workers have been seen alive."""
    with engine.begin() as connection:
        seen = text(
            "INSERT INTO workers (name, protocol, seen_at) VALUES (:name, 1, now() - make_interval(secs => :ago))"
        )
        for name in names:
            connection.execute(seen, {"name": name, "ago": seconds_ago})


def lose(claim: Claim, engine: Engine, sweeper: Sweeper) -> None:
    expire(engine, claim)
    sweeper.sweep()


def lose_every_attempt(leases: Leases, engine: Engine, sweeper: Sweeper, n: int) -> None:
    for _ in range(n):
        lose(take(leases), engine, sweeper)


def test_a_live_lease_is_left_alone(store: Store, leases: Leases, sweeper: Sweeper) -> None:
    claim = reach(store, leases, Stage.READ)
    assert sweeper.sweep().requeued == ()
    assert store.get("ada", claim.job_id).state is JobState.RUNNING


def test_a_unit_whose_worker_was_lost_is_ready_again(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper
) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    expire(engine, claim)
    assert sweeper.sweep().requeued == (claim.job_id,)
    job = store.get("ada", claim.job_id)
    assert (job.state, job.stages[Stage.ENCODE].n_ready) == (JobState.QUEUED, 1)
    assert take(leases).attempt == 2


def test_a_lost_lease_is_told_in_the_events(store: Store, leases: Leases, engine: Engine, sweeper: Sweeper) -> None:
    claim = reach(store, leases, Stage.READ)
    lose(claim, engine, sweeper)
    event = store.events("ada", claim.job_id, after=2, limit=10)[0]
    assert (event.kind, event.data["attempt"], event.data["worker"]) == ("lease_lost", 1, "worker")


def test_attempts_end(store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, settings: Settings) -> None:
    job = store.submit("ada", CONFIG)
    lose_every_attempt(leases, engine, sweeper, settings.max_attempts)
    failure = store.get("ada", job.id).failure
    assert failure is not None
    assert (failure.code, failure.stage, failure.retryable) == ("job.attempts_exhausted", Stage.READ, True)


def test_the_last_attempt_is_still_given(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, settings: Settings
) -> None:
    store.submit("ada", CONFIG)
    lose_every_attempt(leases, engine, sweeper, settings.max_attempts - 1)
    claim = take(leases)
    leases.finish(claim)
    assert store.get("ada", claim.job_id).state is JobState.RUNNING


def test_a_cancelling_job_whose_worker_was_lost_is_cancelled(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper
) -> None:
    claim = reach(store, leases, Stage.READ)
    store.cancel("ada", claim.job_id)
    lose(claim, engine, sweeper)
    assert store.get("ada", claim.job_id).state is JobState.CANCELLED


def test_a_job_with_another_running_unit_goes_on_when_one_worker_is_lost(
    store: Store, crowd: tuple[Claim, Claim], engine: Engine, sweeper: Sweeper
) -> None:
    lose(crowd[0], engine, sweeper)
    assert store.get("ada", crowd[0].job_id).state is JobState.RUNNING


def test_of_two_sweeps_at_once_one_works(engine: Engine, sweeper: Sweeper) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold_the_election() -> None:
        with engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(SWEEPING)))
            entered.set()
            leave.wait(30)

    other = threading.Thread(target=hold_the_election)
    other.start()
    entered.wait(30)
    while_other = sweeper.sweep()
    leave.set()
    other.join()
    assert (while_other.is_elected, sweeper.sweep().is_elected) == (False, True)


def test_a_waiting_unit_calls_a_worker_again(store: Store, sweeper: Sweeper, broker: Redis) -> None:
    store.submit("ada", CONFIG)
    assert sweeper.sweep().n_woken == 1
    assert broker.llen(QUEUE) == 1


@pytest.mark.parametrize(("n_units", "n_workers", "expected"), [(5, 3, 3), (2, 3, 2), (5, 0, 1)])
def test_as_many_workers_are_called_as_there_are_units_and_workers(
    store: Store, engine: Engine, sweeper: Sweeper, broker: Redis, n_units: int, n_workers: int, expected: int
) -> None:
    split(engine, store.submit("ada", CONFIG).id, n_units)
    see(engine, *(f"worker-{number}" for number in range(n_workers)))
    see(engine, "gone", seconds_ago=120)
    assert sweeper.sweep().n_woken == expected
    assert broker.llen(QUEUE) == expected


def test_workers_that_nobody_has_seen_for_a_day_are_forgotten(engine: Engine, sweeper: Sweeper) -> None:
    see(engine, "here", seconds_ago=3600)
    see(engine, "gone", seconds_ago=90_000)
    assert sweeper.sweep().n_forgotten == 1
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM workers")).scalars().all() == ["here"]


def test_nothing_waiting_calls_nobody(store: Store, leases: Leases, sweeper: Sweeper, broker: Redis) -> None:
    reach(store, leases, Stage.READ)
    assert sweeper.sweep().n_woken == 0
    assert broker.llen(QUEUE) == 0


def put(objects: ObjectStore, file: Path, *keys: str) -> None:
    for key in keys:
        put_artifact(objects, file, key, "name", "application/octet-stream")


def test_of_a_succeeded_job_only_the_artifacts_stay(
    store: Store, leases: Leases, sweeper: Sweeper, objects: ObjectStore, file: Path
) -> None:
    claim = reach(store, leases, Stage.PACKAGE)
    put(objects, file, *(f"{prefix}/latents" for prefixes in claim.inputs.values() for prefix in prefixes))
    archive = put_artifact(objects, file, f"{claim.prefix}/archive.zip", "archive.zip", "application/zip")
    put(objects, file, f"{claim.prefix}/manifest.json")
    leases.finish(claim, [archive])
    assert sweeper.clear_up().cleaned == (claim.job_id,)
    assert list(objects.list_keys("")) == [archive.key]


def test_what_a_losing_attempt_wrote_is_deleted(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, objects: ObjectStore, file: Path
) -> None:
    loser = reach(store, leases, Stage.PACKAGE)
    put(objects, file, f"{loser.prefix}/archive.zip")
    lose(loser, engine, sweeper)
    winner = take(leases)
    archive = put_artifact(objects, file, f"{winner.prefix}/archive.zip", "archive.zip", "application/zip")
    leases.finish(winner, [archive])
    sweeper.clear_up()
    assert list(objects.list_keys("")) == [archive.key]


def test_a_job_is_cleaned_at_its_end_and_once_more_for_who_slept_through_it(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, objects: ObjectStore, file: Path
) -> None:
    job = succeed(store, leases)
    assert [sweeper.clear_up().cleaned, sweeper.clear_up().cleaned] == [(job.id,), ()]
    put(objects, file, f"jobs/{job.id}/encode/0/1/late")
    ended_before = (
        "UPDATE jobs SET finished_at = finished_at - interval '250 s', cleaned_at = cleaned_at - interval '250 s'"
    )
    with engine.begin() as connection:
        connection.execute(text(ended_before))
    assert [sweeper.clear_up().cleaned, sweeper.clear_up().cleaned] == [(job.id,), ()]
    assert list(objects.list_keys("jobs")) == []


def test_a_running_job_keeps_its_objects(
    store: Store, leases: Leases, sweeper: Sweeper, objects: ObjectStore, file: Path
) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    put(objects, file, f"{claim.prefix}/latents")
    sweeper.clear_up()
    assert list(objects.list_keys(claim.prefix)) == [f"{claim.prefix}/latents"]


def test_another_jobs_objects_are_left_alone(store: Store, sweeper: Sweeper, objects: ObjectStore, file: Path) -> None:
    job = store.cancel("ada", store.submit("ada", CONFIG).id)
    put(objects, file, f"jobs/{job.id}/read/0/1/a", f"jobs/{job.id}0/read/0/1/a", "elsewhere/a")
    sweeper.clear_up()
    assert list(objects.list_keys("")) == ["elsewhere/a", f"jobs/{job.id}0/read/0/1/a"]


def test_a_failed_job_is_cleaned_only_when_its_last_worker_is_gone(
    leases: Leases, crowd: tuple[Claim, Claim], engine: Engine, sweeper: Sweeper
) -> None:
    leases.fail(crowd[0], Failure("dataset.invalid", "no", retryable=False))
    while_other_works = sweeper.clear_up().cleaned
    expire(engine, crowd[1])
    sweeper.sweep()
    assert (while_other_works, sweeper.clear_up().cleaned) == ((), (crowd[0].job_id,))


@pytest.fixture
def sweeper_alone(engine: Engine, settings: Settings) -> Iterator[Sweeper]:
    """A sweeper whose broker and object store are away."""
    nowhere = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9", "broker_url": "redis://127.0.0.1:9/0"})
    client, app = make_s3_client(nowhere), make_celery(nowhere)
    yield Sweeper(engine, ObjectStore(client, "bucket"), Queue(app), settings)
    client.close()
    app.close()


def test_units_are_taken_back_while_broker_and_object_store_are_away(
    store: Store, leases: Leases, engine: Engine, sweeper_alone: Sweeper
) -> None:
    store.cancel("ada", store.submit("ada", CONFIG).id)
    claim = reach(store, leases, Stage.READ)
    expire(engine, claim)
    swept = sweeper_alone.sweep()
    assert (swept.requeued, swept.n_woken) == ((claim.job_id,), 0)


def test_what_could_not_be_cleaned_is_cleaned_later(store: Store, sweeper_alone: Sweeper, sweeper: Sweeper) -> None:
    job = store.cancel("ada", store.submit("ada", CONFIG).id)
    sweeper_alone.clear_up()
    assert sweeper.clear_up().cleaned == (job.id,)


def test_the_lease_ends_by_the_clock_of_the_database(store: Store, engine: Engine, sweeper: Sweeper) -> None:
    claim = reach(store, Leases(engine, lease_seconds=0.05), Stage.READ)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_sleep(0.1)"))
    assert sweeper.sweep().requeued == (claim.job_id,)


def test_artifacts_are_kept_for_the_time_that_the_settings_say(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, settings: Settings
) -> None:
    job = succeed(store, leases)
    sweeper.clear_up()
    kept = store.get("ada", job.id)
    assert kept.expires_at is not None
    assert kept.finished_at is not None
    assert (kept.expires_at - kept.finished_at).days == settings.retention_days == 30


def test_artifacts_past_their_time_are_deleted_and_that_is_said(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, objects: ObjectStore, file: Path
) -> None:
    claim = reach(store, leases, Stage.PACKAGE)
    archive = put_artifact(objects, file, f"{claim.prefix}/archive.zip", "archive.zip", "application/zip")
    leases.finish(claim, [archive])
    assert sweeper.clear_up().emptied == ()
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET expires_at = now()"))
    with pytest.raises(ArtifactExpiredError):  # before the sweep too: a link must not die half way through
        store.artifacts("ada", claim.job_id)
    assert [sweeper.clear_up().emptied, sweeper.clear_up().emptied] == [(claim.job_id,), ()]
    assert list(objects.list_keys("")) == []
    with pytest.raises(ArtifactExpiredError):
        store.artifacts("ada", claim.job_id)
    assert store.get("ada", claim.job_id).state is JobState.SUCCEEDED


ENDED_LONG_AGO = """
INSERT INTO jobs (id, owner, state, stage, config, created_at, started_at, finished_at, cleaned_at, expires_at)
SELECT 'job_' || lpad(n::text, 26, '0'), 'ada', 'succeeded', 'package', '{}', day, day, day, day,
  now() + interval '9 days'
FROM generate_series(1, 5000) AS n, (SELECT now() - interval '1 day' AS day) AS ended
"""
QUEUED = """
INSERT INTO jobs (id, owner, state, stage, config)
SELECT 'job_q' || n, 'ada', 'queued', 'read', '{}' FROM generate_series(1, :n) AS n
"""


def rows_passed_over(connection: Connection, statement: str, given: Mapping[str, object]) -> int:
    """Run a statement again, and count the rows that it read in vain."""
    return sum(step.get("Rows Removed by Filter", 0) for step in planned(connection, statement, given))


@pytest.mark.parametrize("n_queued", [0, 500])
def test_jobs_that_ended_long_ago_are_not_looked_through(engine: Engine, sweeper: Sweeper, n_queued: int) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(ENDED_LONG_AGO))
        connection.execute(text(QUEUED), {"n": n_queued})
        connection.execute(text("VACUUM ANALYZE jobs"))
    asked: list[tuple[str, Mapping[str, object]]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, sql, given, *_: asked.append((sql, given)))
    sweeper.sweep()
    sweeper.clear_up()
    of_jobs = [(sql, given) for sql, given in asked if "jobs" in sql]
    assert of_jobs
    with engine.connect() as connection:
        passed_over = {sql: rows_passed_over(connection, sql, given) for sql, given in of_jobs}
        connection.rollback()
    assert max(passed_over.values()) < n_queued + 100, passed_over
