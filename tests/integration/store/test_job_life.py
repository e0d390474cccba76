"""A model of the job's life, and random histories of several jobs in which the database must agree with it.

Set `JOB_LIFE_EXAMPLES` for a longer search than the few seconds of every day.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text

from ddoq.config import DatasetConfig, DistillConfig
from ddoq.errors import DdoqError
from ddoq.events import Stage
from jobs.errors import JobEndedError, LeaseLostError
from jobs.leases import Leases
from jobs.records import Claim, Failure, JobState, Order, UnitState
from jobs.states import HELD, MOVES, TERMINAL
from jobs.store import Store
from jobs.sweep import Sweeper
from tests.job_steps import expire, split

CONFIG = DistillConfig(dataset=DatasetConfig(uri="file:///data/flowers.zip"), evaluation="none")
OWNERS = ("ada", "bob")
MAX_ATTEMPTS = 3
N_EXAMPLES = int(os.environ.get("JOB_LIFE_EXAMPLES", "20"))
FAILURE = Failure("dataset.bad", "the dataset is bad", retryable=False)
# What is cleared up after the end is no change of the job.
VOLATILE = {"cleaned_at", "artifacts_deleted_at", "expires_at", "n_running"}


@dataclass
class UnitModel:
    """What should be known of a unit: `holder` is whose lease it has, though that may be over."""

    state: UnitState = UnitState.READY
    holder: Claim | None = None
    is_live: bool = False
    crashes: int = 0


@dataclass
class JobModel:
    """What should be known of a job. Only the units of its present stage matter."""

    owner: str
    state: JobState = JobState.QUEUED
    n_finished_stages: int = 0
    units: list[UnitModel] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        return CONFIG.stages[self.n_finished_stages]

    @property
    def n_running(self) -> int:
        return sum(unit.state is UnitState.RUNNING for unit in self.units)

    def stand_down(self) -> None:
        """A unit stopped unfinished."""
        if self.n_running == 0:
            self.state = JobState.CANCELLED if self.state is JobState.CANCELLING else JobState.QUEUED

    def finish(self, unit: UnitModel) -> None:
        unit.state, unit.holder, unit.is_live = UnitState.DONE, None, False
        is_last = all(other.state is UnitState.DONE for other in self.units)
        if is_last and self.stage is CONFIG.stages[-1]:
            self.state = JobState.SUCCEEDED
        elif self.state is JobState.CANCELLING:
            if self.n_running == 0:
                self.state = JobState.CANCELLED
        elif is_last:
            self.n_finished_stages += 1
            self.units = [UnitModel()]

    def lose(self, unit: UnitModel) -> None:
        """A lease ran out, or the attempt broke."""
        release(unit)
        unit.crashes += 1
        if self.state is JobState.RUNNING and unit.crashes >= MAX_ATTEMPTS:
            self.state = JobState.FAILED
        elif self.state in HELD:
            self.stand_down()


def release(unit: UnitModel) -> None:
    unit.state, unit.holder, unit.is_live = UnitState.READY, None, False


class JobLife(RuleBasedStateMachine):
    """Random histories. A claim stays in the hands of its worker for ever: it tries again with one that it lost."""

    submitted = Bundle("submitted")
    claims = Bundle("claims")

    def __init__(self, engine: Engine, sweeper: Sweeper) -> None:
        super().__init__()
        self.engine = engine
        self.store = Store(engine)
        self.leases = Leases(engine, 60)
        self.sweeper = sweeper
        self.jobs: dict[str, JobModel] = {}
        self.seen: dict[str, JobState] = {}
        self.last_words: dict[str, tuple[object, ...]] = {}

    @initialize()
    def empty_the_database(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE jobs CASCADE"))

    @rule(target=submitted, owner=st.sampled_from(OWNERS), n_units=st.integers(1, 3))
    def submit(self, owner: str, n_units: int) -> str:
        job_id = self.store.submit(owner, CONFIG).id
        split(self.engine, job_id, n_units)
        self.jobs[job_id] = JobModel(owner, units=[UnitModel() for _ in range(n_units)])
        return job_id

    @rule(target=claims)
    def claim(self) -> Claim | None:
        claim = self.leases.claim("worker")
        possible = {job_id for job_id, job in self.jobs.items() if ready(job)}
        if claim is None:
            assert not possible
            return None
        assert claim.job_id in possible
        job = self.jobs[claim.job_id]
        assert claim.stage is job.stage
        unit = job.units[claim.index]
        assert unit.state is UnitState.READY
        unit.state, unit.holder, unit.is_live = UnitState.RUNNING, claim, True
        job.state = JobState.RUNNING
        return claim

    @rule(n=st.integers(1, 12))
    def work(self, n: int) -> None:
        """One worker in good health."""
        for _ in range(n):
            self.finish(self.claim())

    @rule(claim=claims)
    def report(self, claim: Claim | None) -> None:
        def says() -> None:
            order = self.leases.report(claim, 1, 2)
            assert order is (Order.CANCEL if self.jobs[claim.job_id].state is JobState.CANCELLING else Order.CONTINUE)

        self.write(claim, says, lambda _job, _unit: None)

    @rule(claim=claims)
    def finish(self, claim: Claim | None) -> None:
        self.write(claim, lambda: self.leases.finish(claim), JobModel.finish)

    @rule(claim=claims)
    def give_back(self, claim: Claim | None) -> None:
        def gives(job: JobModel, unit: UnitModel) -> None:
            release(unit)
            job.stand_down()

        self.write(claim, lambda: self.leases.give_back(claim), gives)

    @rule(claim=claims)
    def fail(self, claim: Claim | None) -> None:
        def fails(job: JobModel, unit: UnitModel) -> None:
            release(unit)
            job.state = JobState.FAILED

        self.write(claim, lambda: self.leases.fail(claim, FAILURE), fails)

    @rule(claim=claims)
    def crash(self, claim: Claim | None) -> None:
        self.write(claim, lambda: self.leases.crash(claim, "OSError: a wire broke"), JobModel.lose)
        self.sweep()

    @rule(claim=claims)
    def stop_cancelled(self, claim: Claim | None) -> None:
        if claim is None or self.jobs[claim.job_id].state is not JobState.CANCELLING:
            return

        def stops(job: JobModel, unit: UnitModel) -> None:
            release(unit)
            job.stand_down()

        self.write(claim, lambda: self.leases.stop_cancelled(claim), stops)

    @rule(claim=claims)
    def fall_silent(self, claim: Claim | None) -> None:
        """The worker is lost, or only slow: its lease runs out."""
        if claim is None:
            return
        expire(self.engine, claim)
        if unit := self.held_by(claim):
            unit.is_live = False

    @rule()
    def sweep(self) -> None:
        assert self.sweeper.sweep().is_elected
        for job in self.jobs.values():
            for unit in job.units:
                if unit.state is UnitState.RUNNING and not unit.is_live:
                    job.lose(unit)

    @rule(job_id=submitted)
    def cancel(self, job_id: str) -> None:
        job = self.jobs[job_id]
        if job.state in TERMINAL:
            with pytest.raises(JobEndedError):
                self.store.cancel(job.owner, job_id)
            return
        self.store.cancel(job.owner, job_id)
        if job.n_running == 0:
            job.state = JobState.CANCELLED
        elif job.state is JobState.RUNNING:
            job.state = JobState.CANCELLING

    @rule(job_id=submitted)
    def cancel_somebody_elses(self, job_id: str) -> None:
        with pytest.raises(DdoqError):
            self.store.cancel("eve", job_id)

    def held_by(self, claim: Claim) -> UnitModel | None:
        return next((unit for unit in self.jobs[claim.job_id].units if unit.holder is claim), None)

    def write(
        self, claim: Claim | None, call: Callable[[], object], then: Callable[[JobModel, UnitModel], None]
    ) -> None:
        """Try a write: it takes effect when the lease lasts and the job does, else it is refused."""
        if claim is None:
            return
        job, unit = self.jobs[claim.job_id], self.held_by(claim)
        if unit is None or not unit.is_live or job.state not in HELD:
            with pytest.raises(LeaseLostError):
                call()
            return
        call()
        then(job, unit)

    @invariant()
    def states_are_those_of_the_model_and_were_legal_to_reach(self) -> None:
        found = {row.id: JobState(row.state) for row in self.rows("SELECT id, state FROM jobs")}
        assert found == {job_id: job.state for job_id, job in self.jobs.items()}
        for job_id, state in found.items():
            assert state in reachable(self.seen.get(job_id, JobState.QUEUED))
        self.seen = found

    @invariant()
    def units_have_the_leases_of_the_model(self) -> None:
        query = """SELECT u.* FROM units u JOIN jobs j ON j.id = u.job_id AND j.stage = u.stage ORDER BY u."index" """
        found: dict[str, list[tuple[str, str | None, int]]] = {job_id: [] for job_id in self.jobs}
        for row in self.rows(query):
            found[row.job_id].append((row.state, row.lease_token, row.crashes))
        assert found == {
            job_id: [(unit.state, unit.holder.token if unit.holder else None, unit.crashes) for unit in job.units]
            for job_id, job in self.jobs.items()
        }

    @invariant()
    def events_have_no_gaps_and_one_end_that_stays(self) -> None:
        for job in self.rows("SELECT * FROM jobs"):
            events = self.rows("SELECT * FROM events WHERE job_id = :job ORDER BY sequence", job=job.id)
            assert [event.sequence for event in events] == list(range(1, job.n_events + 1))
            ends = [event.kind for event in events if event.kind in {*TERMINAL}]
            assert ends == ([job.state] if job.state in TERMINAL else [])
            if job.state in TERMINAL:
                kept = {name: value for name, value in job._mapping.items() if name not in VOLATILE}
                words = (kept, [event._mapping for event in events])
                assert self.last_words.setdefault(job.id, words) == words

    def rows(self, query: str, **values: object) -> list:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), values))


def ready(job: JobModel) -> bool:
    return job.state not in {*TERMINAL, JobState.CANCELLING} and any(
        unit.state is UnitState.READY for unit in job.units
    )


def reachable(state: JobState) -> set[JobState]:
    """Where a job may be after any number of moves."""
    found = {state}
    while more := {to for known in found for to in MOVES[known]} - found:
        found |= more
    return found


def test_the_database_agrees_with_the_model_of_the_job_life(engine: Engine, sweeper: Sweeper) -> None:
    searching = settings(
        max_examples=N_EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(lambda: JobLife(engine, sweeper), settings=searching)
