"""The place in the line, against the order in which workers really claim."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from jobs.leases import Leases
from jobs.options import JobOptions, Priority
from jobs.positions import Line, Waiting
from jobs.records import JobState
from jobs.store import JobFilter, Store
from tests.job_steps import CONFIG, split, take, until_one_waits

OWNERS = ("ada", "bob", "eve")


def positions(store: Store) -> dict[str, int]:
    """Read the place of every queued job, of all owners."""
    queued = [
        job
        for owner in OWNERS
        for job in store.page(owner, JobFilter(states=frozenset({JobState.QUEUED})), None, 100)[0]
    ]
    return {job.id: job.queue_position for job in queued if job.queue_position is not None}


def test_a_job_alone_is_the_next(store: Store) -> None:
    assert store.submit("ada", CONFIG).queue_position == 1


def test_a_job_that_is_begun_is_in_no_line(store: Store, leases: Leases) -> None:
    job = store.submit("ada", CONFIG)
    take(leases)
    assert store.get("ada", job.id).queue_position is None


def test_a_higher_priority_goes_first(store: Store) -> None:
    low, normal, high = (store.submit("ada", CONFIG, JobOptions(priority=priority)) for priority in Priority)
    assert positions(store) == {high.id: 1, normal.id: 2, low.id: 3}


def test_an_owner_with_much_in_line_does_not_stand_before_one_with_little(store: Store) -> None:
    many = [store.submit("ada", CONFIG).id for _ in range(3)]
    one = store.submit("bob", CONFIG).id
    assert positions(store) == {many[0]: 1, one: 2, many[1]: 3, many[2]: 4}


def test_an_owner_at_work_comes_after_one_who_is_not(store: Store, leases: Leases) -> None:
    store.submit("ada", CONFIG)
    take(leases)
    later, earlier = store.submit("ada", CONFIG).id, store.submit("bob", CONFIG).id
    assert positions(store) == {earlier: 1, later: 2}


def test_a_running_job_whose_units_wait_is_counted(store: Store, leases: Leases, engine: Engine) -> None:
    large = store.submit("ada", CONFIG).id
    split(engine, large, 3)
    take(leases)
    assert store.submit("ada", CONFIG).queue_position == 2


@pytest.mark.parametrize("seed", range(4))
def test_workers_begin_the_jobs_in_the_order_of_their_places(
    store: Store, leases: Leases, engine: Engine, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(12):
        job = store.submit(rng.choice(OWNERS), CONFIG, JobOptions(priority=rng.choice(list(Priority))))
        split(engine, job.id, rng.randint(1, 3))
    for _ in range(rng.randint(0, 5)):
        take(leases)
    told = positions(store)
    begun: list[str] = []
    while claim := leases.claim("worker"):
        begun += [claim.job_id] * (claim.job_id not in begun)
    assert sorted(told, key=lambda job_id: told[job_id]) == [job_id for job_id in begun if job_id in told]
    assert [told.get(job_id, place) for place, job_id in enumerate(begun, 1)] == list(range(1, len(begun) + 1))


def test_one_reads_the_line_again_and_others_go_on_with_that_of_before_while_it_is_of_use(
    engine: Engine, store: Store
) -> None:
    job = store.submit("ada", CONFIG)
    line, waiting = Line(seconds=2), [Waiting(job.id, "ada", Priority.NORMAL.level)]

    def ask() -> int:
        with engine.connect() as connection:
            return line.positions(connection, waiting)[job.id]

    assert ask() == 1
    time.sleep(2)
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as holding:
            holding.execute(text("LOCK TABLE units IN ACCESS EXCLUSIVE MODE"))
            first = pool.submit(ask)
            until_one_waits(engine, "relation")
            assert ask() == 1
            assert not first.done()
            time.sleep(4)
            second = pool.submit(ask)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
        assert (first.result(), second.result()) == (1, 1)
