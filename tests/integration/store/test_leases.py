"""What a worker may do with a unit, and what it may not any more."""

import math
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from ddoq.events import Stage
from ddoq.prior_config import FitPrior
from ddoq.teacher_config import TrainedTeacher
from jobs.errors import LeaseLostError
from jobs.leases import Leases
from jobs.records import Artifact, Claim, Failure, Job, JobState, UnitState
from jobs.store import JobFilter, Store
from jobs.sweep import Sweeper
from tests.job_steps import CONFIG, expire, reach, split, succeed, take, units_of

TEACHER = TrainedTeacher()
FAILURE = Failure("dataset.one_class", "there is only one class", retryable=False, stage=Stage.READ)
WRITES: dict[str, Callable[[Leases, Claim], object]] = {
    "heartbeat": lambda leases, claim: leases.heartbeat(claim),
    "report": lambda leases, claim: leases.report(claim, 1, 2),
    "finish": lambda leases, claim: leases.finish(claim, [Artifact("a", "k", 1, "0" * 64, "x/y")], {"f": 1.0}),
    "crash": lambda leases, claim: leases.crash(claim, "a broken disk"),
    "give_back": lambda leases, claim: leases.give_back(claim),
    "fail": lambda leases, claim: leases.fail(claim, FAILURE),
    "stop_cancelled": lambda leases, claim: leases.stop_cancelled(claim),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def refuse(store: Store, leases: Leases, claim: Claim, write: Callable[[Leases, Claim], object]) -> None:
    """Check that a write is refused and leaves everything as it was."""

    def everything() -> tuple[Job, object, object]:
        job = store.get("ada", claim.job_id)
        return job, store.events("ada", job.id, 0, 100), store.artifacts("ada", job.id)

    before = everything()
    with pytest.raises(LeaseLostError):
        write(leases, claim)
    assert everything() == before


def test_there_is_nothing_to_claim_in_an_empty_table(leases: Leases) -> None:
    assert leases.claim("worker") is None


def test_a_claim_says_all_that_a_worker_must_know(store: Store, leases: Leases) -> None:
    job = store.submit("ada", CONFIG)
    claim = take(leases, "host:1")
    assert (claim.job_id, claim.stage, claim.index, claim.of) == (job.id, Stage.READ, 0, 1)
    assert (claim.attempt, claim.worker, claim.config, claim.inputs) == (1, "host:1", CONFIG, {})
    assert claim.prefix == f"jobs/{job.id}/read/0/1"


def test_a_claimed_job_runs(store: Store, leases: Leases, engine: Engine) -> None:
    claim = reach(store, leases, Stage.READ)
    job = store.get("ada", claim.job_id)
    assert job.state is JobState.RUNNING
    assert job.started_at is not None
    (unit,) = units_of(engine, job.id)
    assert (unit.state, unit.worker) == (UnitState.RUNNING, "worker")


def test_a_finished_unit_keeps_what_memory_it_took(store: Store, leases: Leases, engine: Engine) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.finish(claim, peak_bytes=5 * 2**30)
    leases.finish(take(leases))
    peaks = [unit.peak_bytes for unit in units_of(engine, claim.job_id)]
    assert peaks == [5 * 2**30, None, None]


def test_a_unit_is_claimed_once(store: Store, leases: Leases) -> None:
    store.submit("ada", CONFIG)
    take(leases)
    assert leases.claim("another") is None


def test_the_stages_follow_in_the_order_of_the_flow(store: Store, leases: Leases, engine: Engine) -> None:
    job = succeed(store, leases)
    assert [unit.stage for unit in units_of(engine, job.id)] == [
        stage for stage in Stage if stage not in {Stage.FIT, Stage.TEACH, Stage.LABEL}
    ]
    assert job.state is JobState.SUCCEEDED


def test_a_job_with_a_trained_prior_and_a_teacher_has_a_stage_for_each(store: Store, leases: Leases) -> None:
    store.submit("ada", CONFIG.model_copy(update={"prior": FitPrior(), "teacher": TEACHER}))
    seen = []
    while (claim := leases.claim("worker")) is not None:
        seen.append(claim.stage)
        assert claim.owner == "ada"
        leases.finish(claim)
    assert seen == list(Stage)


def test_a_claim_names_the_outputs_of_all_earlier_stages(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.QUANTIZE)
    job = f"jobs/{claim.job_id}"
    assert claim.inputs == {Stage.READ: (f"{job}/read/0/1",), Stage.ENCODE: (f"{job}/encode/0/1",)}


def test_the_inputs_are_those_of_the_attempt_that_finished(store: Store, leases: Leases) -> None:
    leases.give_back(reach(store, leases, Stage.READ))
    leases.finish(take(leases))
    claim = take(leases)
    assert claim.inputs == {Stage.READ: (f"jobs/{claim.job_id}/read/0/2",)}


def test_progress_is_seen_by_the_owner(store: Store, leases: Leases, engine: Engine) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    leases.report(claim, 3, 12)
    unit = units_of(engine, claim.job_id)[1]
    assert (unit.done, unit.total) == (3, 12)


def test_a_new_attempt_begins_its_progress_again(store: Store, leases: Leases, engine: Engine) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.report(claim, 3, 12)
    leases.give_back(claim)
    again = take(leases)
    assert units_of(engine, again.job_id)[0].done == 0


def test_figures_of_all_stages_are_kept(store: Store, leases: Leases) -> None:
    leases.finish(reach(store, leases, Stage.READ), figures={"n_images": 7, "share": 0.5})
    claim = take(leases)
    leases.finish(claim, figures={"share": 0.25, "worst": math.inf})
    assert store.get("ada", claim.job_id).figures == {"n_images": 7, "share": 0.25, "worst": math.inf}


def test_a_failure_is_told_with_its_stage(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.fail(claim, FAILURE)
    job = store.get("ada", claim.job_id)
    assert (job.state, job.failure) == (JobState.FAILED, FAILURE)


def test_a_failure_may_quote_a_file_name_that_is_no_text(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.fail(claim, Failure("dataset.damaged", "in a\0b\udce9.jpg", retryable=False))
    failure = store.get("ada", claim.job_id).failure
    assert failure is not None
    assert failure.message == "in a\\0b\\udce9.jpg"


def test_the_units_of_a_failed_job_are_not_claimed(store: Store, leases: Leases) -> None:
    leases.fail(reach(store, leases, Stage.READ), FAILURE)
    assert leases.claim("worker") is None


def test_a_drained_unit_is_ready_for_another_worker(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    leases.give_back(claim)
    assert store.get("ada", claim.job_id).state is JobState.QUEUED
    again = take(leases, "another")
    assert (again.unit_id, again.attempt, again.worker) == (claim.unit_id, 2, "another")


def test_no_two_attempts_write_to_the_same_prefix(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.give_back(claim)
    assert take(leases).prefix != claim.prefix


def test_drains_are_not_held_against_a_unit(store: Store, leases: Leases, engine: Engine, sweeper: Sweeper) -> None:
    claim = reach(store, leases, Stage.READ)
    for _ in range(10):
        leases.give_back(claim)
        claim = take(leases)
    expire(engine, claim)
    sweeper.sweep()
    assert store.get("ada", claim.job_id).state is JobState.QUEUED


@each_write
def test_a_worker_whose_lease_expired_cannot_write(
    store: Store, leases: Leases, engine: Engine, write: Callable[[Leases, Claim], object]
) -> None:
    claim = reach(store, leases, Stage.READ)
    expire(engine, claim)
    refuse(store, leases, claim, write)


@each_write
def test_a_worker_whose_unit_went_to_another_cannot_write(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper, write: Callable[[Leases, Claim], object]
) -> None:
    claim = reach(store, leases, Stage.READ)
    expire(engine, claim)
    sweeper.sweep()
    take(leases, "another")
    refuse(store, leases, claim, write)


@each_write
def test_a_worker_that_finished_cannot_write_again(
    store: Store, leases: Leases, write: Callable[[Leases, Claim], object]
) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.finish(claim)
    refuse(store, leases, claim, write)


@each_write
def test_a_worker_whose_job_failed_elsewhere_cannot_write(
    store: Store, leases: Leases, engine: Engine, write: Callable[[Leases, Claim], object]
) -> None:
    split(engine, store.submit("ada", CONFIG).id, 2)
    claim, other = take(leases), take(leases)
    leases.fail(other, FAILURE)
    refuse(store, leases, claim, write)


def test_a_heartbeat_keeps_the_lease(store: Store, engine: Engine, sweeper: Sweeper) -> None:
    brief = Leases(engine, lease_seconds=0.2)
    claim = reach(store, brief, Stage.READ)
    Leases(engine, lease_seconds=60).heartbeat(claim)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
    sweeper.sweep()
    assert store.get("ada", claim.job_id).state is JobState.RUNNING


def test_stopping_a_job_that_nobody_cancelled_is_a_mistake(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    with pytest.raises(ValueError, match="give the unit back"):
        leases.stop_cancelled(claim)


def test_the_owner_with_the_fewest_running_units_comes_first(store: Store, leases: Leases) -> None:
    for owner in ("ada", "ada", "ada", "bob", "cyd"):
        store.submit(owner, CONFIG)
    claimed = [take(leases).job_id for _ in range(5)]
    owner_of = {
        job.id: job.owner for owner in ("ada", "bob", "cyd") for job in store.page(owner, JobFilter(), None, 9)[0]
    }
    assert [owner_of[job_id] for job_id in claimed] == ["ada", "bob", "cyd", "ada", "ada"]


def test_of_one_owners_jobs_the_oldest_comes_first(store: Store, leases: Leases) -> None:
    submitted = [store.submit("ada", CONFIG).id for _ in range(4)]
    assert [take(leases).job_id for _ in range(4)] == submitted


def test_a_begun_job_goes_on_before_a_newer_one_begins(store: Store, leases: Leases) -> None:
    first = store.submit("ada", CONFIG)
    store.submit("ada", CONFIG)
    leases.finish(take(leases))
    assert take(leases).job_id == first.id


def test_a_stage_of_several_units_opens_the_next_with_its_last(store: Store, leases: Leases, engine: Engine) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 3)
    claims = [take(leases) for _ in range(3)]
    assert [leases.finish(claim) for claim in claims] == [0, 0, 1]
    prefixes = tuple(f"jobs/{job.id}/read/{index}/1" for index in range(3))
    assert take(leases).inputs == {Stage.READ: prefixes}


def test_a_job_with_another_running_unit_goes_on_when_one_is_drained(
    store: Store, leases: Leases, engine: Engine
) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 2)
    leases.give_back((take(leases), take(leases))[0])
    assert store.get("ada", job.id).state is JobState.RUNNING


def test_a_job_is_cancelled_only_when_all_its_workers_have_stopped(
    store: Store, leases: Leases, engine: Engine
) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 2)
    claims = take(leases), take(leases)
    store.cancel("ada", job.id)
    states = []
    for claim in claims:
        leases.stop_cancelled(claim)
        states.append(store.get("ada", job.id).state)
    assert states == [JobState.CANCELLING, JobState.CANCELLED]


def test_a_unit_that_waits_for_a_server_rests_while_others_go_before_it(
    store: Store, leases: Leases, engine: Engine
) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.give_back(claim, reason="bucket 'sets' does not answer")
    other = store.submit("ada", CONFIG)
    assert take(leases).job_id == other.id
    assert leases.claim("worker") is None
    with engine.begin() as connection:
        connection.execute(text("UPDATE units SET progress_at = progress_at - interval '2 s' WHERE state = 'ready'"))
    assert take(leases).unit_id == claim.unit_id
    drained = [event for event in store.events("ada", claim.job_id, 0, 100) if event.kind == "drained"]
    assert [event.data["reason"] for event in drained] == ["bucket 'sets' does not answer"]
