"""Images of strangers are decoded in child processes that have limits and no secrets.

A decoder is a million lines of C that reads hostile bytes. Here a crash, a hang or a grab for memory costs one image:
the child dies, the images that it was given are asked again one by one, and the one that kills its child again is bad.
A child ends when its parent does, when its socket is closed, or when it has had nothing to do for some seconds.
A thread of its own waits for its end, so that what has ended is gone though nobody decodes.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Final

from ddoq.decoding_frames import (
    READY,
    SIZE,
    Decoded,
    Refused,
    max_answer_size,
    read_answer,
    write_request,
)
from ddoq.image_rules import Aspect

_START: Final = "import sys; sys.path[:] = sys.argv.pop().split('\\n'); from ddoq.decoding_child import main; main()"
_START_SECONDS: Final = 120.0
_END_SECONDS: Final = 10.0  # from the end of its socket to its own
_PATIENCE: Final = 10  # of the clock, for a second of the processor: the machine may be busy
_SOCKET_BUFFER: Final = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one image may take: seconds of the processor, and memory of the child; and how long a child idles.

    The most that honest images need was measured: 64 million pixels of WebP with transparency, turned, take 1.5 GiB.
    """

    seconds: float = 30.0
    n_bytes: int = 2 * 2**30
    idle_seconds: float = 10.0


class ChildLostError(Exception):
    """The child died, or does not answer; the message says why, as the reason for an image."""


class _RetiredError(Exception):
    """The child had nothing to do for long and ended, before it took anything."""


class Decoders:
    """Children that decode, at most so many at once, started when there is work for them. For any number of threads."""

    def __init__(self, n_children: int, limits: Limits) -> None:
        self._limits = limits
        self._places = threading.Semaphore(n_children)
        self._lock = threading.Lock()
        self._free: list[_Child] = []

    def decode(self, images: Sequence[bytes], resolution: int, aspect: Aspect) -> Sequence[Decoded | Refused]:
        """Decode images as `ddoq.pictures.decode` does; one that a child cannot survive is refused.

        Raises:
            RuntimeError: no child can be started.
        """
        if not images:
            return ()
        with self._places:
            try:
                return self._ask(images, resolution, aspect)
            except ChildLostError:
                return [self._ask_alone(image, resolution, aspect) for image in images]

    def close(self) -> None:
        """End the children that have nothing to do."""
        with self._lock:
            free, self._free = self._free, []
        for child in free:
            child.end()

    def _ask_alone(self, image: bytes, resolution: int, aspect: Aspect) -> Decoded | Refused:
        try:
            return self._ask([image], resolution, aspect)[0]
        except ChildLostError as lost:
            return Refused(str(lost))

    def _ask(self, images: Sequence[bytes], resolution: int, aspect: Aspect) -> Sequence[Decoded | Refused]:
        while True:
            child = self._take()
            try:
                answers = child.ask(images, resolution, aspect)
            except _RetiredError:
                child.end()
                continue
            except BaseException:
                child.end()
                raise
            with self._lock:
                self._free.append(child)
            return answers

    def _take(self) -> "_Child":
        with self._lock:
            retired = [child for child in self._free if not child.is_alive()]
            self._free = [child for child in self._free if child not in retired]
            child = self._free.pop() if self._free else None
        for other in retired:
            other.end()
        return child or _Child(self._limits)


class _Child:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._socket, other = socket.socketpair()
        with other:
            for end in (self._socket, other):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
            self._process = _start(other, limits)
        self._waiting = threading.Thread(target=self._process.wait, daemon=True)  # the only one that waits
        self._waiting.start()
        self._has_answered = False
        self._socket.settimeout(_START_SECONDS)
        if self._receive(len(READY)) != READY:
            self.end()
            raise RuntimeError("the process that decodes images does not start; what it printed says why")

    def is_alive(self) -> bool:
        return self._waiting.is_alive()

    def ask(self, images: Sequence[bytes], resolution: int, aspect: Aspect) -> Sequence[Decoded | Refused]:
        self._socket.settimeout(_PATIENCE * self._limits.seconds * len(images))
        try:
            self._socket.sendall(write_request(images, resolution, aspect))
            size = self._receive(SIZE.size)
            if len(size) == SIZE.size:
                return self._answer(SIZE.unpack(size)[0], len(images), resolution)
        except TimeoutError as error:
            raise ChildLostError("the process that decodes it does not answer") from error
        except (BrokenPipeError, ConnectionResetError):
            pass
        raise self._lost()

    def end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._waiting.join()

    def _answer(self, size: int, n_images: int, resolution: int) -> Sequence[Decoded | Refused]:
        if size > max_answer_size(n_images, resolution):
            raise ChildLostError("the process that decodes it answers too much")
        data = self._receive(size)
        if len(data) < size:
            raise self._lost()
        try:
            answers = read_answer(memoryview(data), n_images, resolution)
        except ValueError as error:
            raise ChildLostError(f"the process that decodes it answers nonsense: {error}") from error
        self._has_answered = True
        return answers

    def _receive(self, size: int) -> bytearray:
        """Receive so many bytes, or fewer where the child ends before."""
        data, n_received = bytearray(size), 0
        deadline = time.monotonic() + (self._socket.gettimeout() or 0)
        while n_received < size:
            n_more = self._socket.recv_into(memoryview(data)[n_received:])
            n_received += n_more
            if n_more == 0:
                break
            if time.monotonic() > deadline:
                raise TimeoutError
        return data[:n_received]

    def _lost(self) -> Exception:
        """Say why the child is gone."""
        self._waiting.join(_END_SECONDS)
        code = self._process.returncode
        if code == 0 and self._has_answered:
            return _RetiredError()
        if code == -signal.SIGPROF:
            return ChildLostError(f"it takes longer than {self._limits.seconds:g} seconds to decode")
        name = signal.Signals(-code).name if code is not None and code < 0 else f"code {code}"
        return ChildLostError(f"the process that decodes it dies of it ({name})")


@cache
def decoders() -> Decoders:
    """Give the children of this process, which all streams share."""
    shared = Decoders(max(2, min(8, os.cpu_count() or 1)), Limits())
    atexit.register(shared.close)
    return shared


os.register_at_fork(after_in_child=decoders.cache_clear)  # a forked process has children of its own


def _start(end: socket.socket, limits: Limits) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[1]
    path = [str(root), *(str(Path(entry).resolve()) for entry in sys.path if entry)]
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # of numpy, which sixteen-bit pixels need; it may start no more
    command = [sys.executable, "-I", "-S", "-c", _START, *map(str, astuple(limits)), "\n".join(path)]
    return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
        command, stdin=end.fileno(), stdout=subprocess.DEVNULL, cwd="/", env=one_thread, close_fds=True
    )
