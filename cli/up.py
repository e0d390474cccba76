"""`ddoq up`: start the servers, the API and the workers; keep them running; stop them in order."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import httpx

from cli.files import write_private
from cli.folder import DataFolder, open_folder
from cli.servers import (
    Guard,
    Running,
    StartError,
    free_port,
    is_free,
    spawn,
    start_postgres,
    start_s3,
    start_valkey,
    wait_until_ready,
)
from cli.supervise import Family
from cli.watchdog import Watchdog
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.errors import KeyRejectedError
from jobs.keys import Keys, Scope
from jobs.schema import make_engine, upgrade
from jobs.settings import Settings, load_settings

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.2
HOST = "127.0.0.1"
OWNER = "local"
READY = "ddoq is ready at"


class StopRequested(BaseException):
    """Somebody wants the service to end."""


@dataclass(frozen=True)
class Options:
    """What `ddoq up` was asked for. `port` 0 is any free one; `roots` are folders that `file://` may read."""

    data: Path
    port: int
    roots: tuple[Path, ...]
    n_workers: int


def up(options: Options) -> None:
    """Run the service until a signal ends it.

    Raises:
        StartError: something did not start, or a server ended by itself; everything else is stopped.
        FolderInUseError: another one runs on this folder.
    """
    port = options.port or free_port()
    if not is_free(port):
        raise StartError(f"port {port} is taken; choose another with --port, or 0 for any")
    with open_folder(options.data) as folder, Watchdog(keep_open=[folder.lock]) as watchdog:
        family = Family(watchdog)
        _on_signals(_stop)
        try:
            metrics = _start(folder, options, family, port)
            with folder.announce(f"http://{HOST}:{port}", metrics):
                for name, url in metrics.items():
                    click.echo(f"metrics of {name} at {url}")
                click.echo(f"API key in {folder.key_file}\n{READY} http://{HOST}:{port}; Ctrl-C stops it")
                _tend(family)
        except StopRequested:
            click.echo("stopping; a running batch is finished first")
        finally:
            _on_signals(signal.SIG_IGN)  # one is enough: what is left to do is to stop
            family.stop()


def _on_signals(action: "Callable[[int, FrameType | None], None] | signal.Handlers") -> None:
    for number in SIGNALS:
        signal.signal(number, action)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    _on_signals(signal.SIG_IGN)
    raise StopRequested


def _start(folder: DataFolder, options: Options, family: Family, port: int) -> Mapping[str, str]:
    """Start everything; answer where each child shows its metrics."""
    _start_servers(folder, family)
    os.environ.setdefault("DDOQ_ALLOWED_HOSTS", os.pathsep.join((HOST, "localhost")))
    roots = [str(root.resolve()) for root in options.roots]
    for variable in ("DDOQ_DATASET_HOSTS", "DDOQ_HUB_DATASETS"):
        os.environ.setdefault(variable, "*")  # one's own machine; what is not public stays closed
    os.environ["DDOQ_FILE_ROOTS"] = os.pathsep.join([*roots, os.environ.get("DDOQ_FILE_ROOTS", "")])
    _prepare(load_settings(), folder.key_file)
    names = ("api", *(f"worker-{number}" for number in range(1, options.n_workers + 1)), "deliveries")
    ports = {name: free_port() for name in names}
    api, *_ = [family.keep(partial(_start_child, name, folder.path, port, ports[name])) for name in names]
    wait_until_ready(api, lambda: _is_ready(port))
    return {name: f"http://{HOST}:{at}/metrics" for name, at in ports.items()}


def _start_servers(folder: DataFolder, family: Family) -> None:
    """Start each server whose address is not in the environment, and put it there: all children read it."""
    secrets, guard = folder.secrets(), family.watchdog.guard
    keys = (secrets.s3_access_key, secrets.s3_secret_key)
    starts: Mapping[str, Callable[[], Running]] = {
        "DDOQ_DATABASE_URL": lambda: start_postgres(folder.path / "postgres", guard),
        "DDOQ_BROKER_URL": lambda: start_valkey(folder.path / "valkey", secrets.broker_password, guard),
        "DDOQ_S3_ENDPOINT": lambda: start_s3(folder.path / "s3", *keys, guard),
    }
    for variable, start in starts.items():
        if variable not in os.environ:
            os.environ[variable] = family.add(start()).url
    defaults = {"S3_BUCKET": "ddoq", "S3_ACCESS_KEY": keys[0], "S3_SECRET_KEY": keys[1]}
    for name, value in {**defaults, "KEY_PEPPER": secrets.key_pepper}.items():
        os.environ.setdefault(f"DDOQ_{name}", value)


def _prepare(settings: Settings, key_file: Path) -> None:
    """Migrate the database, make the bucket, and make an API key unless there is one that works."""
    upgrade(settings.database_url)
    ObjectStore(make_s3_client(settings), settings.s3_bucket).ensure_bucket()
    engine = make_engine(settings.database_url)
    keys = Keys(engine, settings.key_pepper)
    if not _has_key(keys, key_file):
        _, secret = keys.create(OWNER, "ddoq up", Scope)
        write_private(key_file, secret)
    engine.dispose()


def _has_key(keys: Keys, key_file: Path) -> bool:
    """Whether the key of the data folder works, for all that there is by now."""
    try:
        return set(keys.authenticate(key_file.read_text()).scopes) >= set(Scope)
    except (FileNotFoundError, KeyRejectedError):
        return False


def _start_child(name: str, folder: Path, port: int, metrics_port: int, guard: Guard) -> Running:
    """Start the API, what delivers webhooks, or a worker, whose scratch folder is its own: no two may share one."""
    modules = {"api": ["api", "--host", HOST, "--port", str(port)], "deliveries": ["worker.deliveries"]}
    module = modules.get(name, ["worker"])
    own = {"DDOQ_METRICS_HOST": HOST, "DDOQ_METRICS_PORT": str(metrics_port)}
    if name not in modules:
        own["DDOQ_SCRATCH"] = str(folder / "scratch" / name)
    log = folder / "logs" / f"{name}.log"
    process = spawn([sys.executable, "-m", *module], log, env={**os.environ, **own})
    running = Running(name, "", process, log)
    guard(running)
    return running


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/readyz", timeout=10).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _tend(family: Family) -> NoReturn:
    while True:
        for sentence in family.tend(time.monotonic()):
            click.echo(sentence)
        time.sleep(POLL_SECONDS)
