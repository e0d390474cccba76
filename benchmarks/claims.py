"""How many workers one database serves: claims, heartbeats and finishes of simulated workers that do no other work.

    python benchmarks/claims.py [--workers 100] [--jobs 1000] [--units 1000] [--owners 50] [--seconds 30]

A PostgreSQL of our own gets JOBS jobs of UNITS ready units each, of all three priorities. Then WORKERS workers, threads
of several processes, each with its own heartbeat, run units that do nothing: first as fast as they can, then one a
second each. Times are those that a worker sees, with the network left out.
"""

import argparse
import itertools
import json
import os
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import psycopg
from sqlalchemy import Engine, create_engine, text

from cli.servers import Running, start_postgres
from cli.watchdog import Watchdog
from ddoq.config import DistillConfig
from ddoq.dataset_config import DatasetConfig
from ddoq.events import Stage
from jobs.errors import LeaseLostError
from jobs.leases import Leases
from jobs.records import Claim
from jobs.schema import upgrade

N_PROCESSES = 4
HEARTBEAT_SECONDS = 10  # as DDOQ_HEARTBEAT_SECONDS
LEASE_SECONDS = 60
IMPORT_SECONDS = 15  # until all processes stand ready
SAMPLE_SECONDS = 0.1
CUT = (Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE, Stage.LABEL, Stage.TRAIN)
JOBS = """
INSERT INTO jobs (id, owner, state, stage, config, blocks, priority)
SELECT 'job_' || lpad(n::text, 26, '0'), 'owner-' || n % :owners, 'queued', 'encode', :config, :blocks, n % 3
FROM generate_series(1, :jobs) AS n
"""
UNITS = """
INSERT INTO units (job_id, stage, "index", "of", state, prefix)
SELECT id, 'read', 0, 1, 'done', 'jobs/' || id || '/read/0/1' FROM jobs
UNION ALL
SELECT id, 'encode', n, :units, 'ready', NULL FROM jobs, generate_series(0, :units - 1) AS n
"""
OUTPUTS = "INSERT INTO outputs SELECT id, 'read', '{1}' FROM jobs"
WAITS = "SELECT wait_event_type FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
SIZE = "SELECT pg_database_size(current_database())"
TABLE_SIZES = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname IN ('jobs', 'units', 'events')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--units", type=int, default=1000, help="of each job's first large stage")
    parser.add_argument("--owners", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30, help="of each of the two runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ddoq-claims-", ignore_cleanup_errors=True) as name, Watchdog() as watchdog:
        server = _start_roomy(Path(name), watchdog, 3 * arguments.workers + 20)
        try:
            compare(server.url.replace("postgresql://", "postgresql+psycopg://"), server.process.pid, arguments)
        finally:
            server.stop()


def _start_roomy(folder: Path, watchdog: Watchdog, n_connections: int) -> Running:
    """Start a server that takes enough connections; all else is as it comes."""
    server = start_postgres(folder, watchdog.guard)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET max_connections = {n_connections:d}")
    server.stop()
    watchdog.release(server)
    return start_postgres(folder, watchdog.guard)


def compare(url: str, server_pid: int, arguments: argparse.Namespace) -> None:
    """Fill the database, and let the workers loose on it twice."""
    engine = create_engine(url)
    start = time.perf_counter()
    fill(engine, arguments)
    n_units = arguments.jobs * arguments.units
    print(
        f"{n_units:,} ready units of {arguments.jobs:,} jobs of {arguments.owners} owners, {arguments.workers} workers"
    )
    print(f"filled in {time.perf_counter() - start:.0f} s: {sizes(engine)}", flush=True)
    for title, pace in (("as fast as they can", 0.0), ("one unit a second each", 1.0)):
        with Watch(engine, server_pid) as watch:
            times = let_loose(url, arguments.workers, arguments.seconds, pace)
        n_done = len(times["finish"])
        print(f"{title}: {n_done / arguments.seconds:.0f} units/s\n  {watch.told(n_done, sum(times.pop('processor')))}")
        for name, taken in times.items():
            p50, p99, worst = 1e3 * np.quantile(taken, (0.5, 0.99, 1))
            print(f"  {name:<9} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   worst {worst:6.1f} ms   {len(taken)} calls")
        print(f"  {sizes(engine)}", flush=True)
    engine.dispose()


def fill(engine: Engine, arguments: argparse.Namespace) -> None:
    """Make the jobs, each with its first stage done and the units of the next one ready."""
    upgrade(engine.url.render_as_string(hide_password=False))
    config = DistillConfig(dataset=DatasetConfig(uri="s3://datasets/imagenet"))
    blocks = json.dumps(dict.fromkeys(CUT, arguments.units))
    given = {"owners": arguments.owners, "jobs": arguments.jobs, "units": arguments.units, "blocks": blocks}
    with engine.begin() as connection:
        for statement in (JOBS, UNITS, OUTPUTS):
            connection.execute(text(statement), {**given, "config": config.model_dump_json()})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def sizes(engine: Engine) -> str:
    """Say how large the database and its large tables are, with their indexes."""
    with engine.connect() as connection:
        tables = sorted(tuple(row) for row in connection.execute(text(TABLE_SIZES)))
        whole = connection.execute(text(SIZE)).scalar_one()
    listed = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in tables)
    return f"database {whole / 2**20:.0f} MiB ({listed})"


def let_loose(url: str, n_workers: int, seconds: float, pace: float) -> dict[str, list[float]]:
    """Run the workers in several processes; answer how long each of their calls took, by name.

    `processor` are the seconds of processor time of each process.
    """
    begin_at = time.time() + IMPORT_SECONDS
    shares = [len(range(part, n_workers, N_PROCESSES)) for part in range(N_PROCESSES)]
    with ProcessPoolExecutor(N_PROCESSES, get_context("spawn")) as pool:
        parts = [pool.submit(run_workers, url, share, begin_at, seconds, pace) for share in shares]
        found = [part.result() for part in parts]
    names = ("claim", "finish", "heartbeat", "processor")
    return {name: [taken for part in found for taken in part.get(name, [])] for name in names}


def run_workers(url: str, n_workers: int, begin_at: float, seconds: float, pace: float) -> Mapping[str, list[float]]:
    """Run the workers of one process from a moment on, and their heartbeats."""
    engine = create_engine(url, pool_size=n_workers + 1, max_overflow=0)
    crew = Crew(Leases(engine, LEASE_SECONDS), n_workers, begin_at, seconds, pace)
    threads = [threading.Thread(target=crew.run_units, args=(number,)) for number in range(n_workers)]
    threads.append(threading.Thread(target=crew.beat))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    return {**crew.times, "processor": [time.process_time()]}


class Crew:
    """The workers of one process."""

    def __init__(self, leases: Leases, n_workers: int, begin_at: float, seconds: float, pace: float) -> None:
        self._leases = leases
        self._n_workers = n_workers
        self._begin_at = begin_at
        self._ends_at = begin_at + seconds
        self._pace = pace
        self._held: dict[int, Claim] = {}
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    def run_units(self, number: int) -> None:
        """Run units until the end, each as long as the pace says."""
        worker = f"{os.getpid()}-{number}"
        self._leases.present(worker)  # connects, too
        due = self._begin_at + self._pace * number / self._n_workers
        while due < self._ends_at:
            time.sleep(max(0, due - time.time()))
            claim = self._timed("claim", partial(self._leases.claim, worker))
            if claim is None:
                break
            self._held[number] = claim
            due = max(time.time(), due + self._pace)
            time.sleep(max(0, due - time.time()))
            self._timed("finish", partial(self._leases.finish, claim))
            del self._held[number]

    def beat(self) -> None:
        """Extend the leases of the workers in turn, each every HEARTBEAT_SECONDS."""
        time.sleep(max(0, self._begin_at - time.time()))
        for number in itertools.cycle(range(self._n_workers)):
            if time.time() > self._ends_at:
                break
            if claim := self._held.get(number):
                with suppress(LeaseLostError):  # it may have finished meanwhile
                    self._timed("heartbeat", partial(self._leases.heartbeat, claim))
            time.sleep(HEARTBEAT_SECONDS / self._n_workers)

    def _timed(self, name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        try:
            return call()
        finally:
            self.times[name].append(time.perf_counter() - start)


class Watch:
    """Samples what the server's connections wait for, and counts the processor time of all who work."""

    def __init__(self, engine: Engine, server_pid: int) -> None:
        self._engine = engine
        self._server = psutil.Process(server_pid)
        self._waits: Counter[str] = Counter()
        self._n_samples = 0
        self._busy: dict[int, float] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._before = self._server_seconds()
        self._all_before = _busy_seconds()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not self._ended.wait(SAMPLE_SECONDS):
                self._n_samples += 1
                self._waits.update(kind or "CPU" for kind in connection.execute(text(WAITS)).scalars())
                self._server_seconds()

    def _server_seconds(self) -> float:
        """Add up what the server's processes used, those that have ended too."""
        for child in self._server.children():
            with suppress(psutil.NoSuchProcess):
                used = child.cpu_times()
                self._busy[child.pid] = used.user + used.system
        return sum(self._busy.values())

    def told(self, n_units: int, of_workers: float) -> str:
        """Say what was seen; `of_workers` are the seconds of processor time that the workers took."""
        of_server = sum(self._busy.values()) - self._before
        of_others = _busy_seconds() - self._all_before - of_server - of_workers
        waits = ", ".join(f"{kind} {n / self._n_samples:.2f}" for kind, n in self._waits.most_common())
        server, workers = 1e3 * of_server / n_units, 1e3 * of_workers / n_units
        return (
            f"processor: server {server:.1f} ms a unit, workers {workers:.1f} ms a unit, "
            f"other programs {of_others:.0f} s; load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores\n"
            f"  connections at work, by what they wait for: {waits}"
        )


def _busy_seconds() -> float:
    """Add up the processor time of all programs of this machine so far."""
    all_times = psutil.cpu_times()
    return float(sum(all_times) - all_times.idle - all_times.iowait)


if __name__ == "__main__":
    main()
