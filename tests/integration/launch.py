"""Starting `ddoq up` as people do, and looking at its processes from outside."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from cli.service import open_client
from cli.up import READY
from ddoq_client import Client


@dataclass(frozen=True)
class Launched:
    """An `ddoq up` that is ready."""

    process: "subprocess.Popen[str]"
    data: Path

    def client(self) -> Client:
        return open_client(self.data)

    def family(self) -> list[psutil.Process]:
        """List everything that runs for it, itself too."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """List the workers' main processes."""
        return [found for found in self.family() if _command_of(found)[1:3] == ["-m", "worker"]]

    def worker(self) -> psutil.Process:
        """Find the main process of the first worker."""
        return self.workers()[0]


def _command_of(process: psutil.Process) -> list[str]:
    """Tell the command of a process, or nothing of one that ended since it was listed."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def command(data: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", "up", "--data", str(data), "--port", "0", *more]


def environment(**more: str) -> dict[str, str]:
    """Our own environment without the service's variables."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DDOQ_")}
    return {**ours, "PYTHONWARNINGS": "default", **more}


@contextmanager
def launch(data: Path, *more: str, within: Sequence[str] = (), **variables: str) -> Iterator[Launched]:
    """Run `ddoq up`, by the command `within` if given, until it is ready; stop it at the end, if it still runs."""
    whole = [*within, *command(data, *more)]
    process = subprocess.Popen(whole, stdout=subprocess.PIPE, text=True, env=environment(**variables))
    try:
        assert process.stdout
        assert any(line.startswith(READY) for line in process.stdout), "it ended before it was ready"
        yield Launched(process, data)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def wait_for_end(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for processes to end; answer those that live on."""
    deadline = time.monotonic() + seconds
    while (alive := [found for found in processes if _is_alive(found)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
