"""What the chaos run does to a service: one function a kind of fault, drawn by a seeded generator."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Thread

import psutil

from ddoq_client import ServiceError
from tests.faults import Cutting, Failing, Refusing, Slow
from tests.kill.watching import Service, parent_of, worker_process, workers

LONGEST_NAP_SECONDS = 8.0  # a lease is 3 s long
LONGEST_OUTAGE_SECONDS = 4.0
STORE_FAULTS = (Refusing(), Slow(1.0), Slow(bytes_per_second=50_000), Failing(), Failing(3), Cutting(100, 3))


@dataclass(frozen=True)
class Done:
    """A fault that happened: `unit` and `attempt` where it hit a certain one, `over_at` when it was put right."""

    kind: str
    begun_at: datetime
    over_at: datetime
    unit: int | None = None
    attempt: int = 0


@dataclass
class Mischief:
    """Does one thing after another to a service, and remembers what it did and which jobs it cancelled."""

    service: Service
    rng: random.Random
    done: list[Done] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    naps: list[Thread] = field(default_factory=list)

    def act(self) -> None:
        """Do something at random."""
        kind = self.rng.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        begun_at = datetime.now(UTC)
        unit = KINDS[kind][1](self)
        hit = {"unit": unit["id"], "attempt": unit["attempt"]} if unit else {}
        self.done.append(Done(kind, begun_at, datetime.now(UTC), **hit))

    def rest(self) -> None:
        """Wait until everybody whom we put to sleep is awake."""
        for nap in self.naps:
            nap.join()

    def kill_child(self) -> dict | None:
        unit, child = self._victim()
        _signal(child, psutil.Process.kill)
        return unit

    def kill_parent(self) -> dict | None:
        unit, child = self._victim()
        _signal(child, lambda found: parent_of(found).kill())
        return unit

    def drain(self) -> dict | None:
        unit, child = self._victim()
        _signal(child, lambda found: parent_of(found).terminate())
        return unit

    def put_to_sleep(self) -> None:
        _, child = self._victim()
        if child is None:
            return
        seconds = self.rng.uniform(1, LONGEST_NAP_SECONDS)

        def nap() -> None:
            _signal(child, psutil.Process.suspend)
            time.sleep(seconds)
            _signal(child, psutil.Process.resume)

        self.naps.append(Thread(target=nap))
        self.naps[-1].start()

    def restart_broker(self) -> None:
        with self.service.outside.without_broker():
            self._outage()

    def restart_database(self) -> None:
        end = self.rng.choice([self.service.outside.stop_postgres, self.service.outside.kill_postgres])
        end()
        self._outage()
        self.service.outside.start_postgres()

    def spoil_store(self) -> None:
        with self.service.outside.proxy.spoiling(self.rng.choice(STORE_FAULTS)):
            self._outage()

    def cancel(self) -> None:
        """Cancel a job that has not ended, if there is any; one that just ends refuses."""
        states = "('queued', 'running')"
        open_jobs = self.service.outside.rows(f"SELECT id FROM jobs WHERE state IN {states} ORDER BY id")
        if not open_jobs:
            return
        job_id = self.rng.choice(open_jobs)["id"]
        self.cancelled.add(job_id)
        try:
            self.service.client.cancel(job_id)
        except ServiceError:
            return

    def _victim(self) -> tuple[dict | None, psutil.Process | None]:
        """Choose a unit that somebody works on and that process; else any worker's child."""
        running = self.service.outside.rows("SELECT * FROM units WHERE state = 'running' ORDER BY id")
        unit = self.rng.choice(running) if running else None
        try:
            if unit:
                return unit, worker_process(unit)
            children = [child for worker in workers(self.service) for child in worker.children()]
        except psutil.Error:
            return None, None
        return None, self.rng.choice(children) if children else None

    def _outage(self) -> None:
        time.sleep(self.rng.uniform(0.5, LONGEST_OUTAGE_SECONDS))


KINDS: dict[str, tuple[int, Callable[[Mischief], dict | None]]] = {
    "child killed": (6, Mischief.kill_child),
    "parent killed": (3, Mischief.kill_parent),
    "child put to sleep": (4, Mischief.put_to_sleep),
    "worker drained": (3, Mischief.drain),
    "broker restarted empty": (2, Mischief.restart_broker),
    "database restarted": (2, Mischief.restart_database),
    "object store spoilt": (4, Mischief.spoil_store),
    "job cancelled": (3, Mischief.cancel),
}
"""How often each kind is drawn, and what it does."""


def _signal(process: psutil.Process | None, act: Callable[[psutil.Process], None]) -> None:
    """Do something to a process, unless it has ended meanwhile."""
    try:
        if process is not None:
            act(process)
    except (psutil.Error, AssertionError):
        return
