"""A stage that does not listen: its process ends all the same, and says so. Real processes, forked from this one."""

import multiprocessing
import time

import pytest
from sqlalchemy import Engine, create_engine

import worker.lease
from ddoq.events import Event, Stage
from jobs.leases import Leases
from jobs.records import Claim, JobState, UnitState
from jobs.settings import Settings
from jobs.store import Store
from tests.job_steps import expire, reach, units_of
from worker.draining import Flag
from worker.lease import Lease

FORK = multiprocessing.get_context("fork")
QUICK = {"heartbeat_seconds": 0.1, "cancel_grace_seconds": 0.3}
DEAF_SECONDS = 60  # for which the stage tells of nothing


@pytest.fixture
def claim(store: Store, leases: Leases) -> Claim:
    return reach(store, leases, Stage.ENCODE)


def be_deaf(settings: Settings, claim: Claim, draining: Flag) -> None:
    """Hold a unit in a stage that never tells of progress."""
    leases = Leases(create_engine(settings.database_url), settings.lease_seconds)
    with Lease(leases, claim, settings.model_copy(update=QUICK), draining):
        time.sleep(DEAF_SECONDS)


def start(settings: Settings, claim: Claim, draining: Flag) -> multiprocessing.context.ForkProcess:
    process = FORK.Process(target=be_deaf, args=(settings, claim, draining))
    process.start()
    return process


def exit_code(process: multiprocessing.context.ForkProcess) -> int | None:
    process.join(DEAF_SECONDS / 2)
    found = process.exitcode
    process.kill()
    return found


def test_a_drained_unit_goes_back_uncharged_though_its_stage_does_not_listen(
    settings: Settings, store: Store, engine: Engine, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.lease, "DRAIN_SECONDS", 0.3)
    draining = Flag()
    process = start(settings, claim, draining)
    draining.set()
    assert exit_code(process) == 1
    unit = units_of(engine, claim.job_id)[-1]
    assert (unit.state, unit.crashes, unit.failures) == (UnitState.READY, 0, [])
    assert store.events("ada", claim.job_id, 0, 100)[-1].kind == "drained"


def test_a_cancel_ends_a_process_whose_stage_does_not_listen(settings: Settings, store: Store, claim: Claim) -> None:
    process = start(settings, claim, Flag())
    assert store.cancel("ada", claim.job_id).state is JobState.CANCELLING
    assert exit_code(process) == 1
    assert store.get("ada", claim.job_id).state is JobState.CANCELLED


def test_a_lost_lease_ends_a_process_whose_stage_does_not_listen(
    settings: Settings, engine: Engine, claim: Claim
) -> None:
    process = start(settings, claim, Flag())
    expire(engine, claim)
    assert exit_code(process) == 1


def test_while_nothing_is_ordered_the_lease_goes_on(settings: Settings, leases: Leases, claim: Claim) -> None:
    with Lease(leases, claim, settings.model_copy(update=QUICK), Flag()) as lease:
        time.sleep(0.5)
        lease.on_event(Event(Stage.ENCODE, 1, 2))
    leases.finish(claim)
