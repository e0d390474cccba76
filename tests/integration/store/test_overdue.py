"""What the sweep ends because its time is over."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from ddoq.events import Stage
from jobs.errors import LeaseLostError
from jobs.leases import Leases
from jobs.options import JobOptions
from jobs.records import Claim, JobState, UnitState
from jobs.settings import Settings
from jobs.store import Store
from jobs.sweep import Sweeper
from tests.job_steps import CONFIG, reach, split, take, units_of


@pytest.fixture
def backdate(engine: Engine) -> Callable[[str, str, str, int], None]:
    """Let a moment of a job's rows have been so many seconds ago."""

    def move(table: str, column: str, job_id: str, seconds: int) -> None:
        key = "id" if table == "jobs" else "job_id"
        past = f"UPDATE {table} SET {column} = clock_timestamp() - make_interval(secs => :s) WHERE {key} = :job"
        with engine.begin() as connection:
            connection.execute(text(past), {"s": seconds, "job": job_id})

    return move


Backdate = Callable[[str, str, str, int], None]


def last_event(store: Store, job_id: str) -> tuple[str, object]:
    event = store.events("ada", job_id, after=0, limit=1000)[-1]
    return event.kind, event.data.get("reason") or event.data.get("code")


def test_a_unit_that_tells_of_no_progress_is_given_to_another_worker(
    store: Store, leases: Leases, sweeper: Sweeper, settings: Settings, backdate: Backdate
) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    limit = settings.stall_seconds[Stage.ENCODE]
    backdate("units", "progress_at", claim.job_id, int(limit) - 60)
    assert sweeper.sweep().stalled == ()
    backdate("units", "progress_at", claim.job_id, int(limit) + 60)
    leases.heartbeat(claim)  # the worker lives
    assert sweeper.sweep().stalled == (claim.job_id,)
    assert take(leases, "another").attempt == 2
    events = store.events("ada", claim.job_id, after=0, limit=100)
    lost = next(event for event in events if event.kind == "lease_lost")
    assert str(lost.data["reason"]).startswith("stalled")


def test_a_stalled_worker_cannot_write_any_more(
    store: Store, leases: Leases, sweeper: Sweeper, backdate: Backdate
) -> None:
    claim = reach(store, leases, Stage.READ)
    backdate("units", "progress_at", claim.job_id, 10**6)
    sweeper.sweep()
    with pytest.raises(LeaseLostError):
        leases.report(claim, 1, 2)


def test_a_job_that_stalls_again_and_again_fails_and_says_so(
    store: Store, leases: Leases, sweeper: Sweeper, settings: Settings, backdate: Backdate
) -> None:
    job = store.submit("ada", CONFIG)
    for _ in range(settings.max_attempts):
        take(leases)
        backdate("units", "progress_at", job.id, 10**6)
        sweeper.sweep()
    failure = store.get("ada", job.id).failure
    assert failure is not None
    assert failure.code == "job.attempts_exhausted"
    assert "stalled" in failure.message


def cancel_long_ago(store: Store, job_id: str, backdate: Backdate, settings: Settings, more_seconds: int) -> None:
    store.cancel("ada", job_id)
    patience = settings.cancel_grace_seconds + settings.lease_seconds
    backdate("events", "at", job_id, int(patience) + more_seconds)


def test_a_cancel_that_its_worker_ignores_is_carried_out(
    store: Store, leases: Leases, sweeper: Sweeper, settings: Settings, backdate: Backdate
) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    cancel_long_ago(store, claim.job_id, backdate, settings, -20)
    assert sweeper.sweep().stopped == ()
    backdate("events", "at", claim.job_id, 3600)
    assert sweeper.sweep().stopped == (claim.job_id,)
    assert store.get("ada", claim.job_id).state is JobState.CANCELLED


def test_a_job_is_cancelled_only_when_none_of_its_units_runs(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, settings: Settings, backdate: Backdate
) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 2)
    claims = [take(leases), take(leases)]
    cancel_long_ago(store, job.id, backdate, settings, 20)
    assert sweeper.sweep().stopped == (job.id, job.id)
    assert [unit.state for unit in units_of(engine, job.id)] == [UnitState.READY] * 2
    kinds = [event.kind for event in store.events("ada", job.id, after=0, limit=100)]
    assert (kinds.count("cancelled"), kinds[-1]) == (1, "cancelled")
    for claim in claims:
        with pytest.raises(LeaseLostError):
            leases.finish(claim)


def test_a_job_that_nobody_began_by_its_deadline_expires(store: Store, sweeper: Sweeper, backdate: Backdate) -> None:
    job = store.submit("ada", CONFIG, JobOptions(queue_deadline_s=60))
    assert sweeper.sweep().expired == ()
    backdate("jobs", "queue_deadline_at", job.id, 1)
    assert sweeper.sweep().expired == (job.id,)
    ended = store.get("ada", job.id)
    assert (ended.state, ended.failure and ended.failure.code) == (JobState.EXPIRED, "job.queue_deadline")
    assert last_event(store, job.id)[0] == "expired"


def test_an_expired_job_is_never_claimed(store: Store, leases: Leases, sweeper: Sweeper, backdate: Backdate) -> None:
    job = store.submit("ada", CONFIG, JobOptions(queue_deadline_s=60))
    backdate("jobs", "queue_deadline_at", job.id, 1)
    sweeper.sweep()
    assert leases.claim("worker") is None


def test_a_job_that_was_begun_in_time_does_not_expire_when_it_waits_again(
    store: Store, leases: Leases, sweeper: Sweeper, backdate: Backdate
) -> None:
    job = store.submit("ada", CONFIG, JobOptions(queue_deadline_s=60))
    leases.give_back(take(leases))
    backdate("jobs", "queue_deadline_at", job.id, 1)
    assert sweeper.sweep().expired == ()
    assert store.get("ada", job.id).state is JobState.QUEUED


def overtime(store: Store, leases: Leases, backdate: Backdate) -> Claim:
    store.submit("ada", CONFIG, JobOptions(timeout_s=600))
    claim = take(leases)
    backdate("jobs", "started_at", claim.job_id, 601)
    return claim


def test_a_job_that_runs_for_too_long_fails_and_may_be_tried_again(
    store: Store, leases: Leases, sweeper: Sweeper, backdate: Backdate
) -> None:
    claim = overtime(store, leases, backdate)
    assert sweeper.sweep().timed_out == (claim.job_id,)
    failure = store.get("ada", claim.job_id).failure
    assert failure is not None
    assert (failure.code, failure.retryable, failure.stage) == ("job.timeout", True, Stage.READ)
    assert "600 seconds" in failure.message
    with pytest.raises(LeaseLostError):
        leases.heartbeat(claim)


def test_a_job_that_waits_for_its_next_attempt_runs_out_of_time_too(
    store: Store, leases: Leases, sweeper: Sweeper, backdate: Backdate
) -> None:
    leases.give_back(overtime(store, leases, backdate))
    assert len(sweeper.sweep().timed_out) == 1


def test_a_job_within_its_timeout_runs_on(store: Store, leases: Leases, sweeper: Sweeper, backdate: Backdate) -> None:
    store.submit("ada", CONFIG, JobOptions(timeout_s=600))
    backdate("jobs", "started_at", take(leases).job_id, 590)
    assert sweeper.sweep().timed_out == ()


def test_a_job_that_is_being_cancelled_is_not_failed_for_its_time(
    store: Store, leases: Leases, sweeper: Sweeper, backdate: Backdate
) -> None:
    claim = overtime(store, leases, backdate)
    store.cancel("ada", claim.job_id)
    sweeper.sweep()
    assert store.get("ada", claim.job_id).state is JobState.CANCELLING


def test_one_duty_that_fails_stops_no_other(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, backdate: Backdate
) -> None:
    job = store.submit("ada", CONFIG, JobOptions(queue_deadline_s=60))
    backdate("jobs", "queue_deadline_at", job.id, 1)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE units RENAME COLUMN progress_at TO lost"))
    swept = sweeper.sweep()
    assert (swept.stalled, swept.expired) == ((), (job.id,))
