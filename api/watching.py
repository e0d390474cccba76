"""News of jobs for all who wait for some: one look at the database a second, however many they are.

Whoever waits holds neither a thread nor a connection. Everything here runs in the event loop but the look itself.
"""

import asyncio
import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from jobs.positions import Line
from jobs.pulses import Pulse, read_pulses

SECONDS = 1.0  # between two looks

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Watch:
    """What one who waits sees of a job; `pulse` is none before the first look, and when there is no such job."""

    job_id: str
    pulse: Pulse | None = None
    _is_looked_at: bool = False
    _has_news: asyncio.Event = field(default_factory=asyncio.Event)

    async def news(self, seconds: float) -> bool:
        """Wait until the pulse is another, for so long at most; the first look counts as news, too."""
        try:
            await asyncio.wait_for(self._has_news.wait(), max(seconds, 0))
        except TimeoutError:
            return False
        self._has_news.clear()
        return True

    def show(self, pulse: Pulse | None) -> None:
        if not self._is_looked_at or pulse != self.pulse:
            self.pulse, self._is_looked_at = pulse, True
            self._has_news.set()


class Watcher:
    """Looks at all jobs that somebody waits for, while somebody does. Belongs to one event loop at a time."""

    def __init__(self, engine: Engine, line: Line) -> None:
        self._engine = engine
        self._line = line
        self._watches: set[Watch] = set()
        self._looking: asyncio.Task[None] | None = None
        self._asking = threading.Lock()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """Have a job looked at until the block ends; what it is read as inside cannot miss news of it."""
        watch = Watch(job_id)
        self._watches.add(watch)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def close(self) -> None:
        """Look no more; wait for a look that is under way, whose connection would outlive its pool."""
        if self._looking is not None:
            self._looking.cancel()
        with self._asking:
            pass

    async def _look(self) -> None:
        try:
            while self._watches:
                await self._look_once({watch.job_id for watch in self._watches})
                await asyncio.sleep(SECONDS)
        finally:
            self._looking = None

    async def _look_once(self, job_ids: Collection[str]) -> None:
        try:
            pulses = await asyncio.to_thread(self._read, job_ids)
        except (SQLAlchemyError, ValueError) as error:  # a row that cannot be read is a ValueError
            log.warning("the database does not tell what is new, and will be asked again: %s", error)
            return
        for watch in self._watches:
            if watch.job_id in job_ids:
                watch.show(pulses.get(watch.job_id))

    def _read(self, job_ids: Collection[str]) -> Mapping[str, Pulse]:
        with self._asking, self._engine.connect() as connection:
            return read_pulses(connection, job_ids, self._line)
