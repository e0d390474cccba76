"""Many threads at the same rows at once: bounded to a few seconds each."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text

from ddoq.events import Stage
from jobs.errors import JobEndedError, LeaseLostError
from jobs.leases import Leases
from jobs.records import Claim, Failure, Job, JobState, Order
from jobs.states import TERMINAL
from jobs.store import JobFilter, Store
from jobs.sweep import Sweeper
from tests.job_steps import CONFIG, expire, reach, split, take, units_of

STORM_SECONDS = 3
BLOCKS = {Stage.ENCODE: 40, Stage.QUANTIZE: 2}


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make all calls at the same moment, each in its own thread."""
    barrier = Barrier(len(calls))

    def call(one: Callable[[], Any]) -> Any:
        barrier.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def sequences(store: Store, job_id: str) -> list[int]:
    return [event.sequence for event in store.events("ada", job_id, after=0, limit=10_000)]


def test_a_claim_is_exclusive_among_concurrent_workers(store: Store, leases: Leases) -> None:
    for _ in range(6):
        store.submit("ada", CONFIG)
    claims = together([partial(leases.claim, "worker")] * 8)
    taken = [claim.unit_id for claim in claims if claim]
    assert len(taken) == len(set(taken)) == 6


def test_one_unit_for_many_workers_is_claimed_by_one(store: Store, leases: Leases) -> None:
    store.submit("ada", CONFIG)
    claims = together([partial(leases.claim, "worker")] * 8)
    assert sum(claim is not None for claim in claims) == 1


def test_the_last_unit_opens_the_next_stage_exactly_once(store: Store, leases: Leases, engine: Engine) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 8)
    claims = [take(leases) for _ in range(8)]
    together([partial(leases.finish, claim) for claim in claims])
    stages = Counter(unit.stage for unit in units_of(engine, job.id))
    assert stages == {Stage.READ: 8, Stage.ENCODE: 1}


def test_the_events_of_a_job_have_no_gaps_under_concurrent_writes(store: Store, leases: Leases, engine: Engine) -> None:
    job = store.submit("ada", CONFIG)
    split(engine, job.id, 8)

    def work() -> None:
        for _ in range(3):
            leases.give_back(take(leases))

    together([work] * 4)
    assert sequences(store, job.id) == list(range(1, 1 + 1 + 2 * 3 * 4))


@pytest.mark.parametrize("stage", [Stage.GENERATE, Stage.PACKAGE])
def test_a_cancel_that_races_a_finish_leaves_one_clear_end(store: Store, leases: Leases, stage: Stage) -> None:
    def cancel(claim: Claim) -> Job | None:
        try:
            return store.cancel("ada", claim.job_id)
        except JobEndedError:
            return None

    for _ in range(5):
        claim = reach(store, leases, stage)
        together([partial(leases.finish, claim), partial(cancel, claim)])
        end = store.get("ada", claim.job_id).state
        assert end in ({JobState.SUCCEEDED} if stage is Stage.PACKAGE else {JobState.CANCELLED})


def test_a_cancel_that_races_a_claim_leaves_no_worker_on_a_cancelled_job(store: Store, leases: Leases) -> None:
    for _ in range(10):
        job = store.submit("ada", CONFIG)
        _, claim = together([partial(store.cancel, "ada", job.id), partial(leases.claim, "worker")])
        expected = JobState.CANCELLING if claim else JobState.CANCELLED
        assert store.get("ada", job.id).state is expected
        if claim:
            leases.stop_cancelled(claim)


def test_of_a_finish_and_a_sweep_of_an_expiring_lease_one_wins(
    store: Store, leases: Leases, engine: Engine, sweeper: Sweeper
) -> None:
    def finish(claim: Claim) -> bool:
        try:
            leases.finish(claim)
        except LeaseLostError:
            return False
        return True

    for _ in range(10):
        claim = reach(store, leases, Stage.READ)
        finished, *_ = together([partial(finish, claim), partial(expire, engine, claim), sweeper.sweep])
        sweeper.sweep()
        job = store.get("ada", claim.job_id)
        assert (job.state, len(units_of(engine, job.id))) == (
            (JobState.RUNNING, 2) if finished else (JobState.QUEUED, 1)
        )
        store.cancel("ada", claim.job_id)


class Storm:
    """Threads that do anything legal to a few jobs, at random, and remember what went wrong."""

    def __init__(self, store: Store, sweeper: Sweeper, engine: Engine) -> None:
        self.store, self.sweeper, self.engine = store, sweeper, engine
        self.until = 0.0

    def work(self, seed: int) -> None:
        rng = random.Random(seed)
        leases = Leases(self.engine, lease_seconds=60 if seed % 2 else 0.03)  # the brief ones run out in mid-write
        while time.monotonic() < self.until:
            claim = leases.claim(f"worker-{seed}")
            if claim is None:
                self.store.submit("ada", CONFIG)
                continue
            try:
                self.end(leases, claim, rng)
            except LeaseLostError:
                continue

    def end(self, leases: Leases, claim: Claim, rng: random.Random) -> None:
        if leases.report(claim, 1, 2) is Order.CANCEL:
            leases.stop_cancelled(claim)
            return
        luck = rng.random()
        if luck < 0.6:
            leases.finish(claim, blocks=BLOCKS if claim.stage is Stage.READ else None)
        elif luck < 0.7:
            leases.give_back(claim)
        elif luck < 0.75:
            leases.crash(claim, "bad luck", out_of_memory=luck < 0.72)
        elif luck < 0.8:
            leases.crash_lost(claim.unit_id, claim.token, "bad luck")
        elif luck < 0.85:
            leases.fail(claim, Failure("dataset.invalid", "bad luck", retryable=False))
        else:
            expire(self.engine, claim)

    def cancel(self, seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < self.until:
            jobs, _ = self.store.page("ada", JobFilter(), None, 4)
            with suppress(JobEndedError, IndexError):
                self.store.cancel("ada", rng.choice(jobs).id)
            time.sleep(rng.random() / 20)

    def sweep(self, _seed: int) -> None:
        while time.monotonic() < self.until:
            self.sweeper.sweep()

    def blow(self) -> list[Job]:
        """Run all threads; a deadlock or an illegal move in any of them is raised here."""
        for _ in range(10):
            split(self.engine, self.store.submit("ada", CONFIG).id, 3)
        roles: list[Callable[[int], None]] = [*[self.work] * 4, self.cancel, self.sweep, self.sweep]
        self.until = time.monotonic() + STORM_SECONDS
        together([partial(role, seed) for seed, role in enumerate(roles)])
        found: list[Job] = []
        after = None
        while True:
            page, after = self.store.page("ada", JobFilter(), after, 100)
            found += page
            if after is None:
                return found


@pytest.fixture
def storm(store: Store, sweeper: Sweeper, engine: Engine) -> Storm:
    return Storm(store, sweeper, engine)


def test_a_storm_of_calls_meets_no_deadlock_and_leaves_every_job_in_order(storm: Storm, store: Store) -> None:
    jobs = storm.blow()
    assert {job.state for job in jobs} & TERMINAL
    for job in jobs:
        events = store.events("ada", job.id, after=0, limit=10_000)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        ends = [event.kind for event in events if event.kind in TERMINAL]
        assert ends == ([job.state] if job.state in TERMINAL else [])
        assert not ends or events[-1].kind == ends[0]


def test_a_storm_leaves_the_running_units_counted_right(storm: Storm, engine: Engine) -> None:
    storm.blow()
    counted = text("SELECT id, n_running FROM jobs WHERE n_running > 0 ORDER BY id")
    running = text("SELECT job_id, count(*) FROM units WHERE state = 'running' GROUP BY job_id ORDER BY job_id")
    with engine.connect() as connection:
        assert connection.execute(counted).all() == connection.execute(running).all()


def test_a_storm_leaves_no_unit_running_that_nobody_holds(storm: Storm, sweeper: Sweeper, engine: Engine) -> None:
    storm.blow()
    with engine.begin() as connection:
        connection.execute(text("UPDATE units SET lease_expires_at = now() WHERE state = 'running'"))
    sweeper.sweep()
    with engine.connect() as connection:
        held = text(
            "SELECT count(*) FROM jobs WHERE state IN ('running', 'cancelling') AND id IN "
            "(SELECT job_id FROM units WHERE state = 'running')"
        )
        assert connection.execute(held).scalar_one() == 0
