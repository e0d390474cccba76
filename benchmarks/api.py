"""What the API adds to a bare FastAPI endpoint with one statement: POST, GET and list, many clients at once.

    python -m benchmarks.api [--jobs 1000 100000] [--clients 50] [--seconds 8] [--rounds 3]

PostgreSQL, Valkey and S3 of our own; one uvicorn process of ours and one of `benchmarks/bare_api.py`, whose table holds
as many rows with the same JSON. In each round each call is made to both in turn, by clients that keep their connection:
first as fast as answers come, then one a second each. Times are those that a client sees.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import httpx
import numpy as np
from sqlalchemy import Engine, create_engine, text

from cli.servers import Running, free_port, spawn, start_postgres, start_s3, start_valkey, wait_until_ready
from cli.watchdog import Watchdog
from ddoq.config import DatasetConfig, DistillConfig
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.keys import Keys, Scope
from jobs.schema import upgrade
from jobs.settings import load_settings

OWNERS = 50
S3_KEYS = ("accesskey", "secretkey0123456789")
URI = "s3://datasets/flowers.zip"
JOBS = """
INSERT INTO jobs
  (id, owner, state, stage, config, n_events, created_at, started_at, finished_at, cleaned_at, expires_at)
SELECT 'job_' || lpad(n::text, 26, '0'), 'owner-' || n % CAST(:owners AS int), 'succeeded', 'package', :config, 2,
       day, day, day, day, now() + interval '30 days'
FROM (SELECT now() - interval '1 day' AS day) AS ended, generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
"""
UNITS = """
INSERT INTO units (job_id, stage, "index", "of", state, prefix, attempt, done, total, started_at, finished_at)
SELECT id, each, 0, 1, 'done', 'p', 1, 5, 5, now(), now() FROM jobs,
  unnest(ARRAY['read', 'encode', 'quantize', 'generate', 'train', 'evaluate', 'package']) AS each
WHERE NOT EXISTS (SELECT 1 FROM units WHERE job_id = jobs.id)
"""
FIGURES = """
INSERT INTO figures (job_id, name, value)
SELECT id, 'figure-' || n, n FROM jobs, generate_series(1, 12) AS n
WHERE NOT EXISTS (SELECT 1 FROM figures WHERE job_id = jobs.id)
"""
BARE = """
CREATE TABLE IF NOT EXISTS bare (id TEXT PRIMARY KEY, body JSON);
INSERT INTO bare SELECT id, config FROM jobs ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Call:
    """A request as bytes, one of several at random; `expected` is the status of its answer."""

    requests: tuple[bytes, ...]
    expected: int


@dataclass(frozen=True)
class Server:
    """One of the two servers: what each of the three calls is there."""

    name: str
    port: int
    calls: dict[str, Call]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1_000, 100_000], help="in the table, rising")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=8, help="of each call in each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ddoq-api-", ignore_cleanup_errors=True) as name, Watchdog() as watchdog:
        running: list[Running] = []
        try:
            servers = start(Path(name), watchdog, running)
            compare(servers, arguments)
        finally:
            for server in reversed(running):
                server.stop()


def start(folder: Path, watchdog: Watchdog, running: list[Running]) -> tuple[Server, Server]:
    """Start everything, and make a key."""
    start_servers(folder, watchdog, running)
    settings = load_settings()
    engine = create_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(text(BARE.split(";", maxsplit=1)[0]))
    _, secret = Keys(engine, settings.key_pepper).create("owner-1", "benchmark", Scope)
    engine.dispose()
    ours, bare = (
        serve(app, path, folder, watchdog, running)
        for app, path in (("api.app:create_app", "/healthz"), ("benchmarks.bare_api:app", "/docs"))
    )
    body = DistillConfig(dataset=DatasetConfig(uri=URI)).model_dump_json()
    return (
        Server("ours", ours, {"POST": _post("/v1/jobs", body, secret), "list": Call((_get("/v1/jobs", secret),), 200)}),
        Server("bare", bare, {"POST": _post("/jobs", body, ""), "list": Call((_get("/jobs", ""),), 200)}),
    )


def start_servers(folder: Path, watchdog: Watchdog, running: list[Running]) -> None:
    """Start what an API process needs, and name it in the environment."""
    running.append(start_postgres(folder / "postgres", watchdog.guard))
    running.append(start_valkey(folder / "valkey", "password", watchdog.guard))
    running.append(start_s3(folder / "s3", *S3_KEYS, watchdog.guard))
    os.environ |= {
        "DDOQ_DATABASE_URL": running[0].url,
        "DDOQ_BROKER_URL": running[1].url,
        "DDOQ_S3_ENDPOINT": running[2].url,
        "DDOQ_S3_BUCKET": "ddoq",
        "DDOQ_S3_ACCESS_KEY": S3_KEYS[0],
        "DDOQ_S3_SECRET_KEY": S3_KEYS[1],
        "DDOQ_KEY_PEPPER": "pepper-of-the-benchmark",
        "DDOQ_DATASET_BUCKETS": "datasets",
        "DDOQ_MAX_QUEUED": "1000000000",
        "DDOQ_MAX_QUEUED_PER_OWNER": "1000000000",
        "DDOQ_READS_PER_MINUTE": "1000000000",
        "DDOQ_WRITES_PER_MINUTE": "1000000000",
    }
    settings = load_settings()
    upgrade(settings.database_url)
    ObjectStore(make_s3_client(settings), settings.s3_bucket).ensure_bucket()


def serve(app: str, path: str, folder: Path, watchdog: Watchdog, running: list[Running]) -> int:
    """Serve an application on a port of its own, which is answered."""
    port = free_port()
    options = ["--factory"] if app.endswith("create_app") else []
    command = [sys.executable, "-m", "uvicorn", app, *options, "--port", str(port), "--no-access-log"]
    log = folder / f"{port}.log"
    server = Running(app, "", spawn([*command, "--log-level", "warning"], log, env=os.environ), log)
    watchdog.guard(server)
    running.append(wait_until_ready(server, partial(_answers, f"http://127.0.0.1:{port}{path}")))
    return port


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _get(path: str, secret: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()


def _post(path: str, body: str, secret: str) -> Call:
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json"
    return Call((f"POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(),), 202)


def compare(servers: Sequence[Server], arguments: argparse.Namespace) -> None:
    """Fill the tables step by step, and measure at each size."""
    engine = create_engine(load_settings().database_url)
    n_before = 0
    for n_jobs in arguments.jobs:
        fill(engine, n_before + 1, n_jobs)
        n_before = n_jobs
        ids = [f"job_{n:026}" for n in random.Random(0).sample(range(1, n_jobs + 1), 500) if n % OWNERS == 1]
        for server in servers:
            path, secret = ("/v1/jobs/", _secret(server)) if server.name == "ours" else ("/jobs/", "")
            server.calls["GET"] = Call(tuple(_get(path + each, secret) for each in ids), 200)
        for title, pace in (("as fast as answers come", 0.0), ("one a second each", 1.0)):
            print(f"\n{n_jobs:,} jobs, {arguments.clients} clients, {title}", flush=True)
            show(measure(engine, servers, arguments, pace), arguments.seconds)
    engine.dispose()


def _secret(server: Server) -> str:
    return server.calls["list"].requests[0].decode().partition("Bearer ")[2].partition("\r")[0]


def fill(engine: Engine, first: int, last: int) -> None:
    """Make succeeded jobs with all that a job has, and as many rows of the peer's."""
    config = DistillConfig(dataset=DatasetConfig(uri=URI)).model_dump_json()
    given = {"owners": OWNERS, "first": first, "last": last, "config": config}
    with engine.begin() as connection:
        for statement in (JOBS, UNITS, FIGURES, BARE.split(";")[1]):
            connection.execute(text(statement), given)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


Times = dict[tuple[str, str], list[list[float]]]


def measure(engine: Engine, servers: Sequence[Server], arguments: argparse.Namespace, pace: float) -> Times:
    """Answer the seconds that each call took in each round, by call and server; no call sees what others queued."""
    times: Times = defaultdict(list)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for server in servers:
            for call in server.calls.values():  # what is made at the first request counts for none
                pool.submit(partial(load, server.port, call, arguments.clients, 1.0, pace)).result()
        for _ in range(arguments.rounds):
            for call in ("POST", "GET", "list"):
                for server in servers:
                    with engine.begin() as connection:
                        connection.execute(text("DELETE FROM jobs WHERE state = 'queued'"))
                    job = partial(load, server.port, server.calls[call], arguments.clients, arguments.seconds, pace)
                    times[call, server.name].append(pool.submit(job).result())
    return times


def load(port: int, call: Call, n_clients: int, seconds: float, pace: float) -> list[float]:
    """Let clients call for so long; answer the seconds that each call took."""
    return asyncio.run(_load(port, call, n_clients, seconds, pace))


async def _load(port: int, call: Call, n_clients: int, seconds: float, pace: float) -> list[float]:
    end = time.perf_counter() + seconds
    found = await asyncio.gather(*(_client(number, port, call, end, pace) for number in range(n_clients)))
    return [taken for each in found for taken in each]


async def _client(number: int, port: int, call: Call, end: float, pace: float) -> list[float]:
    draw, times = random.Random(number), list[float]()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(draw.uniform(0, pace))
    while (start := time.perf_counter()) < end:
        writer.write(draw.choice(call.requests))
        status = await _answer(reader)
        taken = time.perf_counter() - start
        if status != call.expected:
            raise RuntimeError(f"answered {status}, not {call.expected}")
        times.append(taken)
        await asyncio.sleep(max(0.0, pace - taken))
    writer.close()
    return times


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])


def show(times: Times, seconds: float) -> None:
    """Print quantiles of all rounds, and the ratio of each quantile round by round."""
    print(f"{'call':<6}{'':<6}{'calls/s':>8}{'p50 ms':>9}{'p99 ms':>9}   ours/bare p50        p99")
    for call in dict.fromkeys(call for call, _ in times):
        ours, bare = times[call, "ours"], times[call, "bare"]
        for name, rounds in (("ours", ours), ("bare", bare)):
            p50, p99 = 1e3 * np.quantile([each for found in rounds for each in found], (0.5, 0.99))
            rate = sum(map(len, rounds)) / len(rounds) / seconds
            words = f"   {_ratio(ours, bare, 0.5)}   {_ratio(ours, bare, 0.99)}" if name == "ours" else ""
            print(f"{call:<6}{name:<6}{rate:>8.0f}{p50:>9.1f}{p99:>9.1f}{words}", flush=True)


def _ratio(ours: Iterable[list[float]], bare: Iterable[list[float]], quantile: float) -> str:
    ratios = sorted(np.quantile(a, quantile) / np.quantile(b, quantile) for a, b in zip(ours, bare, strict=True))
    return f"{np.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


if __name__ == "__main__":
    main()
