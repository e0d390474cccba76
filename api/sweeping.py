"""The sweep, the clearing up and the scan for orphans, in threads beside the requests.

Every API process runs all; the database elects which of them works.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from api.services import Services
from ddoq.errors import DdoqError
from jobs.orphans import OrphanScanner
from jobs.sweep import Sweeper

ASK_SECONDS = 60.0  # how often at most a process asks whether a scan is due

log = logging.getLogger(__name__)


@contextmanager
def sweeping(services: Services, on_sweep: Callable[[], object]) -> Iterator[None]:
    """Sweep, clear up and scan, as often as the settings say, until the block ends; wait for what is under way.

    Args:
        services: What is swept.
        on_sweep: Called after each sweep that this process was elected for.
    """
    ended = threading.Event()
    settings, engine, objects = services.settings, services.engine, services.objects
    sweeper = Sweeper(engine, objects, services.queue, settings)
    scanner = OrphanScanner(engine, objects, settings.orphan_scan_seconds)
    threads = [
        _repeat("sweeper", partial(_sweep, sweeper, on_sweep), settings.sweep_seconds, ended),
        _repeat("cleaner", sweeper.clear_up, settings.sweep_seconds, ended),
        _repeat("cleaner of uploads", services.uploads.delete_unused, settings.sweep_seconds, ended),
        _repeat(
            "scanner",
            lambda: scanner.scan_when_due(ended.is_set),
            min(settings.orphan_scan_seconds, ASK_SECONDS),
            ended,
        ),
    ]
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=10)


def _sweep(sweeper: Sweeper, on_sweep: Callable[[], object]) -> None:
    if sweeper.sweep().is_elected:
        on_sweep()


def _repeat(name: str, act: Callable[[], object], seconds: float, ended: threading.Event) -> threading.Thread:
    def run() -> None:
        while not ended.wait(seconds):
            try:
                act()
            except (SQLAlchemyError, DdoqError, ValueError) as error:  # a row that cannot be read is a ValueError
                log.warning("the %s failed and will try again: %s", name, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
