"""The Celery app of a worker: one task, which looks into the database for work. Loads no torch; its child does."""

import logging
from typing import Any

from celery import Celery, signals
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import DBAPIError

from jobs.errors import QueueUnavailableError
from jobs.metrics import serve_metrics
from jobs.queue import TASK, Queue, make_celery
from jobs.settings import Settings
from jobs.tracing import close_tracing, open_tracing
from worker.counts import Counts
from worker.draining import Flag
from worker.notes import report_predecessor
from worker.presence import Presence

log = logging.getLogger(__name__)


def create_worker(settings: Settings) -> Celery:
    """Make the app with its task. SIGTERM to the worker makes the running unit go back at its next batch."""
    app = make_celery(settings)
    app.conf.worker_proc_alive_timeout = 600  # a new child loads torch, and may have to wait for the database
    draining = Flag()  # inherited by the pool's child
    presence = Presence(settings)
    counts = Counts()  # shared with the pool's child
    registry = CollectorRegistry()
    registry.register(counts)

    def begin(**_: Any) -> None:
        presence.enter()
        serve_metrics(settings, registry)

    def drain(**_: Any) -> None:
        draining.set()
        presence.leave()

    def succeed(**_: Any) -> None:
        counts.rest()
        open_tracing("ddoq-worker")
        _report_predecessor(settings, Queue(app))
        import worker.runner  # noqa: F401  torch, which takes seconds to load, before there is work

    signals.worker_ready.connect(begin, weak=False)
    signals.worker_shutting_down.connect(drain, weak=False)
    signals.worker_process_init.connect(succeed, weak=False)
    signals.worker_process_shutdown.connect(_end_child, weak=False)
    signals.setup_logging.connect(_keep_logs, weak=False)

    def run_units() -> None:
        from worker import runner  # torch

        with runner.open_bench(settings, Queue(app), draining, counts) as bench:
            runner.run_units(bench)

    app.task(run_units, name=TASK)
    return app


def _end_child(**_: Any) -> None:
    close_tracing()


def _keep_logs(**_: Any) -> None:
    """Leave logs as they are: Celery sets up its own unless somebody listens to this signal."""


def _report_predecessor(settings: Settings, queue: Queue) -> None:
    """Free the unit of a child that was killed, and call a worker for it."""
    try:
        if report_predecessor(settings):
            queue.wake()
    except (DBAPIError, QueueUnavailableError) as error:
        log.warning("the unit of the process before this one waits for the end of its lease: %s", error)
