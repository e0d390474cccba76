"""Events of a job as Server-Sent Events, by the HTML standard: replayed from where the caller stood, then as they come.

A stream holds no thread and no connection to the database while nothing happens.
"""

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import OperationalError
from starlette.types import Receive, Scope, Send

from api.errors import TooManyStreamsError
from api.shapes import show_event
from api.watching import Watcher
from jobs.errors import JobDeletedError, JobNotFoundError
from jobs.pulses import Pulse
from jobs.records import JobEvent
from jobs.store import Store

MEDIA_TYPE = "text/event-stream"
RETRY_MILLISECONDS = 2000
HEARTBEAT_SECONDS = 15.0  # so that no proxy takes the silence for the end
LIFE_SECONDS = 600.0  # then the caller comes again, and shows a key that may have been revoked
STREAMS_A_KEY = 100
EVENTS_AT_ONCE = 100

log = logging.getLogger(__name__)


class Streams:
    """Counts the open streams of each API key in this process. Safe to share between threads."""

    def __init__(self) -> None:
        self._n_open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def n_open(self, key_id: str) -> int:
        return self._n_open[key_id]

    def enter(self, key_id: str) -> None:
        """Count one more.

        Raises:
            TooManyStreamsError: there are as many as may be.
        """
        with self._lock:
            if self._n_open[key_id] >= STREAMS_A_KEY:
                message = f"this API key has {STREAMS_A_KEY} streams of events open, which is the most; close some"
                raise TooManyStreamsError(message, headers={"Retry-After": "5"})
            self._n_open[key_id] += 1

    def leave(self, key_id: str) -> None:
        """Count one less."""
        with self._lock:
            self._n_open[key_id] -= 1
            self._n_open += Counter()  # forgets those that have none


class EventStream(StreamingResponse):
    """A stream that is counted until its connection is closed, even before its first byte."""

    def __init__(self, frames: AsyncIterator[bytes], streams: Streams, key_id: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}
        super().__init__(frames, media_type=MEDIA_TYPE, headers=headers)
        self._streams, self._key_id = streams, key_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._key_id)


async def frames(store: Store, watcher: Watcher, owner: str, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Write every event behind `after`, once and in order, until the job has ended or the stream is old."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    ends_at = asyncio.get_running_loop().time() + LIFE_SECONDS
    with watcher.watch(job_id) as watch, _told_by_next_request():
        while asyncio.get_running_loop().time() < ends_at:
            news = await run_in_threadpool(store.news, owner, job_id, after, EVENTS_AT_ONCE)
            if news.events:
                yield b"".join(_event_frame(event) for event in news.events)
                after = news.events[-1].sequence
            if news.is_all:
                return
            if len(news.events) == EVENTS_AT_ONCE:
                continue
            if watch.pulse:
                yield _progress_frame(watch.pulse)
            if not await watch.news(HEARTBEAT_SECONDS):
                yield b":\n\n"


@contextmanager
def _told_by_next_request() -> Iterator[None]:
    """End the stream on what the caller is told as a problem when it comes again."""
    try:
        yield
    except (JobDeletedError, JobNotFoundError, OperationalError) as error:
        log.info("a stream of events ends: %s", error)


def _event_frame(event: JobEvent) -> bytes:
    shown = show_event(event)
    return f"id: {shown.sequence}\nevent: {shown.kind}\ndata: {shown.model_dump_json()}\n\n".encode()


def _progress_frame(pulse: Pulse) -> bytes:
    """Tell how far the stage is, without an id: nobody misses what comes anew a second later."""
    progress = {"stage": pulse.stage, "done": pulse.done, "total": pulse.total}
    return f"event: progress\ndata: {json.dumps(progress)}\n\n".encode()
