"""What is stored with a job, how often, and when there is no room for it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Engine, event, text

from ddoq.events import Stage
from jobs.backpressure import QueueLimits
from jobs.errors import IdempotencyMismatchError, QueueFullError
from jobs.leases import Leases
from jobs.options import JobOptions, Priority
from jobs.positions import PROCESSES, Line
from jobs.store import JobFilter, Store
from jobs.submitting import Idempotency, NewJob, let_in_at_once
from tests.job_steps import CONFIG, planned, reach, split, take, units_of, until_one_waits

ONCE = Idempotency("the key", "a digest")


def submit_once(store: Store, owner: str = "ada", idempotency: Idempotency = ONCE) -> tuple[str, bool]:
    submitted = store.submit_once(owner, CONFIG, JobOptions(), idempotency)
    return submitted.job.id, submitted.is_new


def refuse(store: Store, owner: str = "ada") -> QueueFullError:
    with pytest.raises(QueueFullError) as refused:
        store.submit(owner, CONFIG)
    return refused.value


def test_a_job_has_the_options_that_it_was_submitted_with(store: Store) -> None:
    job = store.submit("ada", CONFIG, JobOptions(priority=Priority.HIGH, queue_deadline_s=60, timeout_s=90))
    assert (job.priority, job.timeout_seconds) == (Priority.HIGH, 90)
    assert job.queue_deadline_at is not None
    assert timedelta(seconds=59) < job.queue_deadline_at - job.created_at < timedelta(seconds=61)


def test_a_job_without_options_waits_as_long_as_it_takes(store: Store) -> None:
    job = store.submit("ada", CONFIG)
    assert (job.priority, job.queue_deadline_at, job.timeout_seconds) == (Priority.NORMAL, None, None)


def test_a_request_that_is_sent_again_makes_no_second_job(store: Store) -> None:
    (first, is_new), (second, is_new_again) = submit_once(store), submit_once(store)
    assert (is_new, is_new_again) == (True, False)
    assert first == second
    assert len(store.page("ada", JobFilter(), None, 10)[0]) == 1


def test_a_key_with_another_body_is_refused(store: Store) -> None:
    submit_once(store)
    with pytest.raises(IdempotencyMismatchError, match="the key"):
        submit_once(store, idempotency=Idempotency("the key", "another digest"))


@pytest.mark.parametrize("digest", ["a digest", "another digest"])
def test_a_key_that_comes_while_its_request_is_looked_for_makes_no_second_job(engine: Engine, digest: str) -> None:
    ample, near_its_end = QueueLimits(), QueueLimits(of_owner=10)  # the latter lets in one at a time
    new = NewJob("ada", CONFIG, JobOptions(), ONCE)
    again = partial(submit_once, Store(engine, near_its_end), idempotency=Idempotency("the key", digest))
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            first = let_in_at_once(connection, new, ample)
            assert first is not None
            second = pool.submit(again)
            until_one_waits(engine, "transactionid")
        if digest == ONCE.digest:
            assert second.result() == (first["id"], False)
        else:
            assert isinstance(second.exception(), IdempotencyMismatchError)


def test_owners_choose_their_keys_alone(store: Store) -> None:
    assert submit_once(store, "ada")[0] != submit_once(store, "bob")[0]


def test_requests_without_a_key_are_jobs_each(store: Store) -> None:
    assert store.submit("ada", CONFIG).id != store.submit("ada", CONFIG).id


def test_an_owner_may_queue_so_many_jobs_and_others_go_on(engine: Engine) -> None:
    store = Store(engine, QueueLimits(of_owner=2))
    store.submit("ada", CONFIG), store.submit("ada", CONFIG)
    assert "2 jobs of 'ada' are queued, and 2 may be" in str(refuse(store))
    store.submit("bob", CONFIG)


def test_all_owners_together_may_queue_so_many_jobs(engine: Engine) -> None:
    store = Store(engine, QueueLimits(of_owner=2, in_all=2))
    store.submit("ada", CONFIG), store.submit("bob", CONFIG)
    assert "all owners" in str(refuse(store, "eve"))


def test_a_job_that_a_worker_began_makes_room_for_another(engine: Engine, leases: Leases) -> None:
    store = Store(engine, QueueLimits(of_owner=1))
    store.submit("ada", CONFIG)
    refuse(store)
    take(leases)
    store.submit("ada", CONFIG)


def test_a_full_queue_lets_nobody_slip_in_beside(engine: Engine) -> None:
    store = Store(engine, QueueLimits(of_owner=3))

    def submit(_: int) -> bool:
        try:
            store.submit("ada", CONFIG)
        except QueueFullError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(24))) == 3


def test_processes_that_know_of_each_others_jobs_late_keep_to_the_limits_together(engine: Engine) -> None:
    limit = 600
    stores = [Store(engine, QueueLimits(in_all=limit), Line(seconds=3600)) for _ in range(PROCESSES)]
    for number in range(limit):
        stores[number % PROCESSES].submit("ada", CONFIG)
    for store in stores:
        refuse(store)
    assert n_queued(engine) == limit


def n_queued(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM jobs WHERE state = 'queued'")).scalar_one()


@pytest.mark.parametrize(("limit", "is_counted"), [(10_000, False), (600, True)])
def test_a_job_costs_no_look_at_those_that_wait_while_they_are_few(
    engine: Engine, limit: int, *, is_counted: bool
) -> None:
    store = Store(engine, QueueLimits(of_owner=limit, in_all=limit), Line(seconds=3600))
    for _ in range(50):
        store.submit("ada", CONFIG)
    asked: list[tuple[str, dict[str, object]]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, sql, given, *_: asked.append((sql, given)))
    store.submit("ada", CONFIG)
    ((sql, given),) = asked
    with engine.connect() as connection:
        steps = planned(connection, sql, {**given, "new_id": "job_again"})
        n_read = sum(
            step["Actual Rows"] for step in steps if "Scan" in step["Node Type"] and step.get("Relation Name") == "jobs"
        )
        connection.rollback()
    assert (n_read >= 50) is is_counted


def test_a_request_that_came_before_is_answered_when_the_queue_is_full(engine: Engine) -> None:
    store = Store(engine, QueueLimits(of_owner=1))
    assert [submit_once(store)[1], submit_once(store)[1]] == [True, False]


@pytest.mark.parametrize(("n_ended", "expected"), [(0, 600), (1, 600), (60, 60), (3600, 5)])
def test_the_wait_is_that_of_the_last_hours_pace(engine: Engine, n_ended: int, expected: int) -> None:
    store = Store(engine, QueueLimits(of_owner=1))
    store.submit("ada", CONFIG)
    ended = text(
        "INSERT INTO jobs (id, owner, state, stage, config, finished_at) SELECT 'job_' || n, 'ada', 'succeeded', "
        "'package', '{}', now() - interval '30 minutes' FROM generate_series(1, :n) AS n"
    )
    with engine.begin() as connection:
        connection.execute(ended, {"n": n_ended})
    assert refuse(store).retry_after_seconds == expected


def test_the_units_of_a_stage_are_added_up(store: Store, leases: Leases, engine: Engine) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 4)
    leases.finish(take(leases))
    leases.report(take(leases), 5, 10)
    stage = store.get("ada", job.id).stages[Stage.READ]
    assert (stage.n_ready, stage.n_running, stage.n_done, stage.attempts) == (2, 1, 1, 1)
    assert (stage.done, stage.finished_at) == (5, None)


def test_units_that_have_not_begun_are_taken_to_be_like_those_that_have(
    store: Store, leases: Leases, engine: Engine
) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 4)
    leases.report(take(leases), 1, 10)
    leases.report(take(leases), 5, 13)
    stage = store.get("ada", job.id).stages[Stage.READ]
    assert (stage.done, stage.total) == (6, 46)


def test_a_stage_has_ended_when_its_last_unit_has(store: Store, leases: Leases, engine: Engine) -> None:
    claim = reach(store, leases, Stage.ENCODE)
    job = store.get("ada", claim.job_id)
    (unit, _) = units_of(engine, claim.job_id)
    assert job.stages[Stage.READ].finished_at == unit.finished_at
    assert set(job.stages) == {Stage.READ, Stage.ENCODE}
