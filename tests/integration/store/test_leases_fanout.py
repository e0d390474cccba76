"""Stages of many units: how they are opened, in which order they are claimed, and what their workers are told."""

from functools import partial

import pytest
from sqlalchemy import Engine, text

from ddoq.events import Stage
from jobs.leases import Leases
from jobs.records import Claim, JobState
from jobs.store import Store
from tests.integration.store.test_leases_together import together
from tests.job_steps import CONFIG, reach, split, take, units_of

BLOCKS = {Stage.ENCODE: 8, Stage.QUANTIZE: 3, Stage.GENERATE: 40, Stage.TRAIN: 2}


@pytest.fixture
def two_workers(leases: Leases) -> None:
    """Let there be two workers, so that a stage is cut into eight units where it can be."""
    for worker in ("one", "two"):
        leases.present(worker)


def change(engine: Engine, statement: str, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def read(store: Store, leases: Leases) -> str:
    """Submit a job and finish its first stage, which knows the blocks of the others."""
    claim = reach(store, leases, Stage.READ)
    leases.finish(claim, blocks=BLOCKS)
    return claim.job_id


def take_all(leases: Leases, n_units: int) -> list[Claim]:
    return [take(leases) for _ in range(n_units)]


@pytest.mark.usefixtures("two_workers")
def test_a_stage_is_cut_into_units_for_the_workers_that_there_are(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.READ)
    assert leases.finish(claim, blocks=BLOCKS) == 8
    claims = take_all(leases, 8)
    assert leases.claim("worker") is None
    assert [(claim.index, claim.of) for claim in claims] == [(index, 8) for index in range(8)]


@pytest.mark.usefixtures("two_workers")
def test_every_stage_is_cut_by_its_own_blocks(store: Store, leases: Leases) -> None:
    read(store, leases)
    sizes: dict[Stage, int] = {}
    while (claim := leases.claim("worker")) is not None:
        sizes[claim.stage] = claim.of
        leases.finish(claim)
    assert sizes == {**BLOCKS, Stage.GENERATE: 8, Stage.EVALUATE: 1, Stage.PACKAGE: 1}


def test_a_lone_worker_gets_few_units(store: Store, leases: Leases) -> None:
    leases.present("one")
    read(store, leases)
    assert (take(leases).of, leases.claim("worker")) == (1, None)


@pytest.mark.usefixtures("two_workers")
def test_a_worker_that_has_left_or_was_long_silent_is_not_counted(store: Store, leases: Leases, engine: Engine) -> None:
    leases.present("three")
    leases.gone("one")
    change(engine, "UPDATE workers SET seen_at = seen_at - interval '61 seconds' WHERE name = 'two'")
    read(store, leases)
    assert take(leases).of == 1


def test_a_worker_that_was_silent_counts_again_when_it_speaks(store: Store, leases: Leases, engine: Engine) -> None:
    for worker in ("one", "two"):
        leases.present(worker)
    change(engine, "UPDATE workers SET seen_at = seen_at - interval '61 seconds'")
    for worker in ("one", "two"):
        leases.present(worker)
    read(store, leases)
    assert take(leases).of == 8


def test_without_blocks_a_stage_has_one_unit_of_one_block(store: Store, leases: Leases) -> None:
    claim = reach(store, leases, Stage.QUANTIZE)
    assert claim.of == 1


@pytest.mark.usefixtures("two_workers")
def test_the_last_of_many_units_opens_the_next_stage_exactly_once(store: Store, leases: Leases) -> None:
    job_id = read(store, leases)
    opened = together([partial(leases.finish, claim) for claim in take_all(leases, 8)])
    assert sorted(opened) == [0] * 7 + [BLOCKS[Stage.QUANTIZE]]
    assert store.get("ada", job_id).stage is Stage.QUANTIZE
    assert [claim.stage for claim in take_all(leases, 3)] == [Stage.QUANTIZE] * 3


@pytest.mark.usefixtures("two_workers")
def test_workers_that_run_dry_together_finish_the_job_once(store: Store, leases: Leases, engine: Engine) -> None:
    job_id = read(store, leases)

    def work(worker: str) -> int:
        opened = 0
        while store.get("ada", job_id).state is JobState.RUNNING:
            if (claim := leases.claim(worker)) is not None:
                opened += leases.finish(claim)
        return opened

    opened = together([partial(work, f"worker-{number}") for number in range(4)])
    job = store.get("ada", job_id)
    assert job.state is JobState.SUCCEEDED
    assert sum(opened) == len(units_of(engine, job.id)) - 1 - 8  # all but the first stage's and those that it opened


@pytest.mark.usefixtures("two_workers")
def test_inputs_are_the_winning_attempts_in_the_order_of_their_units(store: Store, leases: Leases) -> None:
    job_id = read(store, leases)
    claims = take_all(leases, 8)
    leases.crash(claims[2], "a broken disk")
    claims[2] = take(leases)
    for claim in reversed(claims):
        leases.finish(claim)
    attempts = [1, 1, 2, 1, 1, 1, 1, 1]
    prefixes = tuple(f"jobs/{job_id}/encode/{index}/{attempt}" for index, attempt in enumerate(attempts))
    assert take(leases).inputs == {Stage.READ: (f"jobs/{job_id}/read/0/1",), Stage.ENCODE: prefixes}


def test_a_higher_priority_comes_first_whoever_runs_more(store: Store, leases: Leases, engine: Engine) -> None:
    jobs = {priority: store.submit(f"owner-{priority}", CONFIG).id for priority in (0, 1, 2)}
    for priority, job_id in jobs.items():
        change(engine, "UPDATE jobs SET priority = :priority WHERE id = :job", priority=priority, job=job_id)
        split(engine, job_id, 2)
    order = [jobs[priority] for priority in (2, 2, 1, 1, 0, 0)]
    assert [take(leases).job_id for _ in range(6)] == order


def test_within_a_job_units_are_claimed_in_their_order(store: Store, leases: Leases, engine: Engine) -> None:
    split(engine, store.submit("ada", CONFIG).id, 4)
    claims = take_all(leases, 3)
    leases.give_back(claims[1])
    assert [take(leases).index for _ in range(2)] == [1, 3]


def test_owners_get_workers_by_turns_whatever_the_sizes_of_their_jobs(
    store: Store, leases: Leases, engine: Engine
) -> None:
    split(engine, store.submit("ada", CONFIG).id, 100)
    split(engine, store.submit("bob", CONFIG).id, 3)
    assert [take(leases).owner for _ in range(8)] == ["ada", "bob", "ada", "bob", "ada", "bob", "ada", "ada"]


def test_a_unit_that_this_code_cannot_run_is_left_to_newer_workers(
    store: Store, leases: Leases, engine: Engine
) -> None:
    split(engine, store.submit("ada", CONFIG).id, 2)
    change(engine, 'UPDATE units SET protocol = 2 WHERE "index" = 0')
    claim = take(leases)
    assert (claim.index, leases.claim("worker")) == (1, None)
    assert leases.finish(claim) == 0
    assert store.get("ada", claim.job_id).stage is Stage.READ
