"""The sweep, in a thread beside the requests. Every API process runs one; the database elects which of them works."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from api.services import Services
from ddoq.errors import DdoqError
from jobs.sweep import Sweeper

log = logging.getLogger(__name__)


@contextmanager
def sweeping(services: Services) -> Iterator[None]:
    """Sweep every `settings.sweep_seconds` until the block ends; wait for a sweep that is under way."""
    ended = threading.Event()
    thread = threading.Thread(target=_sweep_until, args=(ended, services), name="sweeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


def _sweep_until(ended: threading.Event, services: Services) -> None:
    sweeper = Sweeper(services.engine, services.objects, services.queue, services.settings.max_attempts)
    while not ended.wait(services.settings.sweep_seconds):
        try:
            sweeper.sweep()
        except (SQLAlchemyError, DdoqError, ValueError) as error:  # a row that cannot be read is a ValueError
            log.warning("the sweep failed and will be tried again: %s", error)
