"""Calls to workers, behind the answers: a thread of its own makes them, several submissions with one call."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import QueueUnavailableError
from jobs.queue import Queue

AT_ONCE = 64  # calls at a time; the sweep calls the rest
PAUSE_SECONDS = 0.1  # between two calls: those who come meanwhile share the next

log = logging.getLogger(__name__)


class Waker:
    """Calls a worker for each job that came. A broker that is away delays nobody, and the sweep calls again."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._changed = threading.Condition()
        self._n_wanted = 0
        self._ended = threading.Event()

    def wake(self) -> None:
        """Have a worker called soon."""
        with self._changed:
            self._n_wanted += 1
            self._changed.notify()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make the calls until the block ends, those that are wanted by then too."""
        self._ended.clear()
        thread = threading.Thread(target=self._run, name="waker", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._ended.set()
                self._changed.notify()
            thread.join(timeout=10)

    def _run(self) -> None:
        while n_wanted := self._next():
            try:
                self._queue.wake(min(n_wanted, AT_ONCE))
            except QueueUnavailableError as error:
                log.warning("%s", error)
            self._ended.wait(PAUSE_SECONDS)

    def _next(self) -> int:
        """Wait until calls are wanted, and take them all; 0 at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._n_wanted or self._ended.is_set())
            n_wanted, self._n_wanted = self._n_wanted, 0
            return n_wanted
