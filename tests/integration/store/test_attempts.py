"""What becomes of a unit whose attempt broke: told by its worker, by the successor of that, or by the sweep."""

import pytest
from sqlalchemy import Engine, text

from ddoq.events import Stage
from jobs.errors import LeaseLostError
from jobs.leases import Leases
from jobs.records import JobState, Order, UnitState
from jobs.store import Store
from jobs.sweep import Sweeper
from tests.job_steps import CONFIG, expire, reach, split, take, units_of


def failures(engine: Engine, unit_id: int) -> list[dict[str, object]]:
    with engine.connect() as connection:
        query = text("SELECT failures FROM units WHERE id = :unit")
        found: list[dict[str, object]] = connection.execute(query, {"unit": unit_id}).scalar_one()
        return found


def test_a_broken_unit_can_be_claimed_at_once(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.crash(claim, "OSError: disk full\0")
    event = store.events("ada", claim.job_id, after=2, limit=10)[0]
    assert (event.kind, event.data["reason"]) == ("lease_lost", "OSError: disk full\\0")
    assert take(leases).attempt == 2


def test_the_reason_of_every_attempt_is_kept_and_in_the_failure(store: Store, leases: Leases, engine: Engine) -> None:
    claim = reach(store, leases, Stage.READ)
    for number in range(1, 4):
        leases.crash(claim, f"OSError: number {number}")
        claim = claim if number == 3 else take(leases, f"worker-{number + 1}")
    kept = failures(engine, claim.unit_id)
    assert [(one["attempt"], one["worker"]) for one in kept] == [(1, "worker"), (2, "worker-2"), (3, "worker-3")]
    job = store.get("ada", claim.job_id)
    assert job.failure is not None
    assert (job.state, job.failure.code, job.failure.retryable) == (JobState.FAILED, "job.attempts_exhausted", True)
    assert all(f"OSError: number {number}" in job.failure.message for number in range(1, 4))


def test_as_many_attempts_are_given_as_was_said(store: Store, engine: Engine) -> None:
    leases = Leases(engine, lease_seconds=60, max_attempts=1)
    claim = reach(store, leases, Stage.READ)
    leases.crash(claim, "a broken disk")
    assert store.get("ada", claim.job_id).state is JobState.FAILED


def test_a_drained_attempt_is_not_held_against_its_unit(store: Store, engine: Engine) -> None:
    leases = Leases(engine, lease_seconds=60, max_attempts=1)
    claim = reach(store, leases, Stage.READ)
    for _ in range(3):
        leases.give_back(claim)
        claim = take(leases)
    assert (claim.attempt, failures(engine, claim.unit_id)) == (4, [])


def test_after_running_out_of_memory_the_next_attempt_is_small(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    assert not claim.is_small
    leases.crash(claim, "killed for its memory", out_of_memory=True)
    assert take(leases).is_small


def test_running_out_of_memory_once_is_not_counted_as_a_crash(store: Store, engine: Engine) -> None:
    leases = Leases(engine, lease_seconds=60, max_attempts=2)
    claim = reach(store, leases, Stage.READ)
    leases.crash(claim, "killed for its memory", out_of_memory=True)
    leases.crash(take(leases), "a broken disk")
    leases.finish(take(leases))
    assert store.get("ada", claim.job_id).state is JobState.RUNNING


def test_running_out_of_memory_again_fails_the_job_with_what_to_lower(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    leases.crash(claim, "killed for its memory", out_of_memory=True)
    leases.crash(take(leases), "killed again", out_of_memory=True)
    failure = store.get("ada", claim.job_id).failure
    assert failure is not None
    assert (failure.code, failure.stage) == ("job.out_of_memory", Stage.ENCODE)
    assert "prior.batch_size" in failure.message


def test_the_successor_of_a_dead_worker_gives_its_unit_back_before_the_lease_ends(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.crash_lost(claim.unit_id, claim.token, "killed by signal 9")
    assert store.get("ada", claim.job_id).state is JobState.QUEUED
    assert take(leases).attempt == 2


def test_a_successor_that_comes_late_changes_nothing(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper
) -> None:
    claim = reach(store, leases, Stage.READ)
    expire(engine, claim)
    sweeper.sweep()
    again = take(leases)
    with pytest.raises(LeaseLostError):
        leases.crash_lost(claim.unit_id, claim.token, "killed by signal 9")
    assert leases.heartbeat(again) is Order.CONTINUE
    assert len(failures(engine, claim.unit_id)) == 1


def test_a_job_goes_on_when_one_of_its_units_broke(store: Store, leases: Leases, engine: Engine) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 2)
    broken, _ = take(leases), take(leases)
    leases.crash(broken, "a broken disk")
    assert store.get("ada", job.id).state is JobState.RUNNING
    assert take(leases).index == broken.index


def test_a_broken_attempt_of_a_job_that_is_being_cancelled_cancels_it(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    store.cancel("ada", claim.job_id)
    leases.crash(claim, "a broken disk")
    assert store.get("ada", claim.job_id).state is JobState.CANCELLED


def test_a_unit_of_a_job_that_failed_elsewhere_is_taken_back_without_a_word(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper
) -> None:
    split(engine, store.submit("ada", CONFIG).id, 2)
    claim, other = take(leases), take(leases)
    for number in range(3):
        leases.crash(other, f"number {number}")
        other = take(leases) if number < 2 else other
    expire(engine, claim)
    sweeper.sweep()
    job = store.get("ada", claim.job_id)
    assert (job.state, {unit.state for unit in units_of(engine, job.id)}) == (JobState.FAILED, {UnitState.READY})
    assert store.events("ada", job.id, 0, 100)[-1].kind == "failed"
