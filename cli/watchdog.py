"""End the children of a launcher that was killed: it holds one end of a pipe, and this process reads the other.

    +PID SIGNAL    guard this child; SIGNAL is what makes it end in good order
    -PID           it has ended

At the end of the pipe, whatever is still guarded is ended, the last one started first.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from cli.servers import Running

GRACE_SECONDS = 3


class Watchdog:
    """The launcher's side. Leaving the `with` block ends what is still guarded."""

    def __init__(self, keep_open: Sequence[int] = ()) -> None:
        """Start the watchdog, which keeps the file descriptors `keep_open` until it has ended everything."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of a Ctrl-C and of whoever kills the launcher's group
            pass_fds=keep_open,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.communicate()

    def guard(self, running: "Running") -> None:
        """End this child when the launcher dies."""
        self._tell(f"+{running.process.pid} {running.stop_signal:d}")

    def release(self, running: "Running") -> None:
        """Forget a child that has ended; another may get its process id."""
        self._tell(f"-{running.process.pid}")

    def _tell(self, line: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(f"{line}\n")


def watch(lines: Iterable[str]) -> None:
    """Follow the launcher's lines to their end, then end what is left."""
    guarded: dict[int, int] = {}
    for line in lines:
        pid, _, stop_signal = line[1:].partition(" ")
        if line.startswith("+"):
            guarded[int(pid)] = int(stop_signal)
        else:
            guarded.pop(int(pid), None)
    for left, its_signal in reversed(guarded.items()):
        _end(left, its_signal)


def _end(pid: int, stop_signal: int) -> None:
    try:
        os.kill(pid, stop_signal)
        deadline = time.monotonic() + GRACE_SECONDS
        while _is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    watch(sys.stdin)
