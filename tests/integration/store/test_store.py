"""What an owner may do with a job."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from ddoq.config import DatasetConfig, DistillConfig
from ddoq.events import Stage
from jobs.errors import JobEndedError, JobNotFoundError
from jobs.leases import Leases
from jobs.records import Artifact, Failure, JobState, Order, UnitState
from jobs.store import JobFilter, Store
from tests.job_steps import CONFIG, reach, succeed, take, units_of


def kinds(store: Store, job_id: str) -> list[str]:
    return [event.kind for event in store.events("ada", job_id, after=0, limit=100)]


def test_a_new_job_waits_with_one_unit_of_the_first_stage(store: Store, engine: Engine) -> None:
    job = store.submit("ada", CONFIG)
    assert (job.state, job.stage) == (JobState.QUEUED, Stage.READ)
    assert [(unit.stage, unit.index, unit.of, unit.state) for unit in units_of(engine, job.id)] == [
        (Stage.READ, 0, 1, UnitState.READY)
    ]


def test_a_job_is_read_as_it_was_submitted(store: Store) -> None:
    job = store.submit("ada", CONFIG)
    assert store.get("ada", job.id) == job


def test_a_config_may_hold_any_characters(store: Store) -> None:
    names = ("na\0me", "\u00e9\U0001f33b")
    config = DistillConfig(dataset=DatasetConfig(uri="s3://b/k", class_names=names))
    assert store.get("ada", store.submit("ada", config).id).config == config


def test_the_moments_of_a_job_are_in_utc(store: Store) -> None:
    offset = store.submit("ada", CONFIG).created_at.utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 0


def test_an_unknown_job_is_not_found(store: Store) -> None:
    with pytest.raises(JobNotFoundError):
        store.get("ada", "job_unknown")


@pytest.mark.parametrize("call", ["get", "cancel", "artifacts"])
def test_somebody_elses_job_is_not_found(store: Store, call: str) -> None:
    job = store.submit("ada", CONFIG)
    with pytest.raises(JobNotFoundError):
        getattr(store, call)("bob", job.id)


def test_somebody_elses_events_are_not_found(store: Store) -> None:
    job = store.submit("ada", CONFIG)
    with pytest.raises(JobNotFoundError):
        store.events("bob", job.id, after=0, limit=10)


def test_pages_run_through_all_jobs_of_the_owner_newest_first(store: Store) -> None:
    submitted = [store.submit("ada", CONFIG).id for _ in range(5)]
    store.submit("bob", CONFIG)
    found, after = [], None
    while True:
        page, after = store.page("ada", JobFilter(), after, 2)
        found += [job.id for job in page]
        if after is None:
            break
    assert found == submitted[::-1]


def test_a_full_last_page_is_the_last(store: Store) -> None:
    for _ in range(2):
        store.submit("ada", CONFIG)
    assert store.page("ada", JobFilter(), None, 2)[1] is None


def test_a_page_can_be_of_one_state(store: Store) -> None:
    waiting, cancelled = store.submit("ada", CONFIG), store.submit("ada", CONFIG)
    store.cancel("ada", cancelled.id)
    assert [job.id for job in store.page("ada", JobFilter(states=frozenset({JobState.QUEUED})), None, 10)[0]] == [
        waiting.id
    ]


def test_a_queued_job_is_cancelled_at_once(store: Store) -> None:
    job = store.cancel("ada", store.submit("ada", CONFIG).id)
    assert job.state is JobState.CANCELLED
    assert job.finished_at is not None


def test_a_cancelled_job_is_never_claimed(store: Store, leases: Leases) -> None:
    store.cancel("ada", store.submit("ada", CONFIG).id)
    assert leases.claim("worker") is None


def test_a_running_job_is_cancelled_only_when_its_worker_has_stopped(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    assert store.cancel("ada", claim.job_id).state is JobState.CANCELLING
    leases.stop_cancelled(claim)
    assert store.get("ada", claim.job_id).state is JobState.CANCELLED


def test_cancelling_twice_is_cancelling_once(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    first, second = store.cancel("ada", claim.job_id), store.cancel("ada", claim.job_id)
    assert first == second
    assert kinds(store, claim.job_id).count("cancelling") == 1


def test_a_job_between_two_stages_is_cancelled_at_once(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.finish(claim)
    job = store.get("ada", claim.job_id)
    assert job.state is JobState.RUNNING
    assert store.cancel("ada", job.id).state is JobState.CANCELLED


def test_a_job_given_back_is_cancelled_at_once(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.give_back(claim)
    assert store.cancel("ada", claim.job_id).state is JobState.CANCELLED


def test_a_succeeded_job_cannot_be_cancelled(store: Store, leases: Leases) -> None:
    job = succeed(store, leases)
    with pytest.raises(JobEndedError, match="succeeded"):
        store.cancel("ada", job.id)


def test_a_failed_job_cannot_be_cancelled(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.fail(claim, Failure("dataset.not_found", "nothing there", retryable=False))
    with pytest.raises(JobEndedError, match="failed"):
        store.cancel("ada", claim.job_id)


def test_a_cancelled_job_cannot_be_cancelled_again(store: Store) -> None:
    job = store.cancel("ada", store.submit("ada", CONFIG).id)
    with pytest.raises(JobEndedError, match="cancelled"):
        store.cancel("ada", job.id)


def test_a_worker_hears_of_a_cancel_at_its_next_report(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    before = leases.report(claim, 1, 10)
    store.cancel("ada", claim.job_id)
    assert (before, leases.report(claim, 2, 10)) == (Order.CONTINUE, Order.CANCEL)


def test_a_worker_hears_of_a_cancel_at_its_next_heartbeat(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    before = leases.heartbeat(claim)
    store.cancel("ada", claim.job_id)
    assert (before, leases.heartbeat(claim)) == (Order.CONTINUE, Order.CANCEL)


def test_finishing_the_last_unit_wins_over_a_cancel(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.PACKAGE)
    store.cancel("ada", claim.job_id)
    leases.finish(claim)
    assert store.get("ada", claim.job_id).state is JobState.SUCCEEDED


def test_finishing_an_earlier_unit_obeys_a_cancel(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.GENERATE)
    store.cancel("ada", claim.job_id)
    leases.finish(claim)
    job = store.get("ada", claim.job_id)
    assert job.state is JobState.CANCELLED
    assert leases.claim("worker") is None


def test_giving_back_a_cancelled_unit_obeys_the_cancel(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    store.cancel("ada", claim.job_id)
    leases.give_back(claim)
    assert store.get("ada", claim.job_id).state is JobState.CANCELLED


def test_a_failure_while_cancelling_is_told(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    store.cancel("ada", claim.job_id)
    leases.fail(claim, Failure("prior.not_found", "no such model", retryable=False, stage=Stage.ENCODE))
    assert store.get("ada", claim.job_id).state is JobState.FAILED


def test_the_events_tell_the_whole_story_in_order(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    leases.give_back(claim)
    leases.finish(take(leases))
    store.cancel("ada", claim.job_id)
    told = store.events("ada", claim.job_id, after=0, limit=100)
    assert [(event.sequence, event.kind) for event in told] == [
        (1, "queued"),
        (2, "unit_started"),
        (3, "drained"),
        (4, "unit_started"),
        (5, "unit_finished"),
        (6, "cancelled"),
    ]
    assert sorted(event.at for event in told) == [event.at for event in told]


def test_events_can_be_read_on_from_any_number(store: Store, leases: Leases) -> None:
    job = succeed(store, leases)
    assert [event.sequence for event in store.events("ada", job.id, after=3, limit=2)] == [4, 5]


def test_artifacts_are_listed_by_name(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.PACKAGE)
    made = [Artifact(name, f"{claim.prefix}/{name}", 7, "0" * 64, "application/zip") for name in ("b.zip", "a.zip")]
    leases.finish(claim, made)
    assert store.artifacts("ada", claim.job_id) == made[::-1]


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE jobs SET state = 'lost'",
        "UPDATE jobs SET state = 'failed', finished_at = now()",
        "UPDATE jobs SET state = 'succeeded'",
        "UPDATE jobs SET stage = 'bake'",
        "UPDATE units SET state = 'running'",
        "UPDATE units SET state = 'done'",
        'UPDATE units SET "index" = 1',
    ],
)
def test_the_database_itself_refuses_impossible_rows(store: Store, engine: Engine, wrong: str) -> None:
    store.submit("ada", CONFIG)
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text(wrong))
