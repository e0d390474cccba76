"""PostgreSQL, Valkey and S3 outside of `ddoq up`, so that each can be killed, started again or spoilt under it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import redis
from psycopg.rows import dict_row

from cli.servers import Guard, kill_group, start_postgres, start_s3, start_valkey
from cli.watchdog import Watchdog
from tests.faults import FaultProxy

PASSWORD = "password"
BUCKET = "ddoq"
KEYS = ("access", "secret")


class Outside:
    """Three servers and the proxy in front of S3, with what `ddoq up` has to know of them."""

    def __init__(self, folder: Path, guard: Guard) -> None:
        self._folder = folder
        self._guard = guard
        self.postgres = start_postgres(folder / "postgres", guard)
        self.valkey = start_valkey(folder / "valkey", PASSWORD, guard)
        self.s3 = start_s3(folder / "s3", *KEYS, guard)
        self.proxy = FaultProxy(self.s3.url)
        self._bucket = folder / "s3" / "buckets" / BUCKET
        self.mark = uuid4().hex  # in the environment of everything that works for this service

    def stop(self) -> None:
        for running in (self.s3, self.valkey, self.postgres):
            running.stop()

    def environment(self) -> dict[str, str]:
        """Say where the servers are, and let a lost worker be noticed within seconds."""
        return {
            "DDOQ_DATABASE_URL": self.postgres.url,
            "DDOQ_BROKER_URL": self.valkey.url,
            "DDOQ_S3_ENDPOINT": self.proxy.url,
            "DDOQ_S3_BUCKET": BUCKET,
            "DDOQ_S3_ACCESS_KEY": KEYS[0],
            "DDOQ_S3_SECRET_KEY": KEYS[1],
            "DDOQ_KEY_PEPPER": f"a pepper for {self.mark}",
            "DDOQ_LEASE_SECONDS": "3",
            "DDOQ_HEARTBEAT_SECONDS": "1",
            "DDOQ_SWEEP_SECONDS": "1",
        }

    def stop_postgres(self) -> None:
        """Shut the database down as an administrator does: who is connected is cut off."""
        self.postgres.stop()

    def kill_postgres(self) -> None:
        kill_group(self.postgres.process.pid)
        self.postgres.process.wait()

    def start_postgres(self) -> None:
        """Start the database again, on the same socket and with what it had committed."""
        self.postgres = start_postgres(self._folder / "postgres", self._guard)

    def kill_valkey(self) -> None:
        kill_group(self.valkey.process.pid)
        self.valkey.process.wait()

    def start_valkey(self) -> None:
        """Start an empty broker in the place of the one that was killed."""
        self.valkey = start_valkey(self._folder / "valkey", PASSWORD, self._guard, urlsplit(self.valkey.url).port)

    @contextmanager
    def without_broker(self) -> Iterator[None]:
        self.kill_valkey()
        try:
            yield
        finally:
            self.start_valkey()

    def n_messages(self) -> int:
        """Count the wake-up calls that no worker has heard yet."""
        with redis.Redis.from_url(self.valkey.url) as broker:
            return sum(int(broker.llen(key)) for key in broker.keys("ddoq*") if broker.type(key) == b"list")

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Ask the database directly."""
        with psycopg.connect(self.postgres.url, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def stored(self, job_id: str) -> set[str]:
        """List the keys that the object store has of a job: its files lie in a folder."""
        found = os.walk(self.object_file(f"jobs/{job_id}"))  # unlike rglob, bears folders that vanish meanwhile
        return {
            (Path(folder) / name).relative_to(self._bucket).as_posix() for folder, _, names in found for name in names
        }

    def object_file(self, key: str) -> Path:
        """Name the file in which the object store keeps an object."""
        return self._bucket / key


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """Start the servers below `folder`, and stop them at the end."""
    with Watchdog() as watchdog, ExitStack() as stack:
        servers = Outside(folder, watchdog.guard)
        stack.callback(servers.stop)
        stack.enter_context(servers.proxy)
        yield servers
