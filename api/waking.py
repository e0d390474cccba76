"""Calls to workers, behind the answers: a thread of its own makes them, for several submissions at a time."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from jobs.calling import call_workers
from jobs.errors import QueueUnavailableError
from jobs.queue import Queue

PAUSE_SECONDS = 0.5  # between two looks: those who come meanwhile share the next

log = logging.getLogger(__name__)


class Waker:
    """Calls workers when jobs have come. A broker that is away delays nobody, and the sweep calls again."""

    def __init__(self, engine: Engine, queue: Queue) -> None:
        self._engine = engine
        self._queue = queue
        self._changed = threading.Condition()
        self._is_wanted = False
        self._ended = threading.Event()

    def wake(self) -> None:
        """Have workers called soon."""
        with self._changed:
            self._is_wanted = True
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
        while self._next():
            try:
                call_workers(self._engine, self._queue)
            except (QueueUnavailableError, SQLAlchemyError) as error:
                log.warning("no worker was called, until the next sweep: %s", error)
            self._ended.wait(PAUSE_SECONDS)

    def _next(self) -> bool:
        """Wait until calls are wanted; false at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_wanted or self._ended.is_set())
            is_wanted, self._is_wanted = self._is_wanted, False
            return is_wanted
