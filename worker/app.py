"""The Celery app of a worker: one task, which looks into the database for work. Loads no torch; its child does."""

import multiprocessing
from typing import Any

from celery import Celery, signals

from jobs.queue import TASK, make_celery
from jobs.settings import Settings


def create_worker(settings: Settings) -> Celery:
    """Make the app with its task. SIGTERM to the worker makes the running unit go back at its next batch."""
    app = make_celery(settings)
    draining = multiprocessing.get_context("fork").Event()  # inherited by the pool's child

    def drain(**_: Any) -> None:
        draining.set()

    signals.worker_shutting_down.connect(drain, weak=False)

    def run_units() -> None:
        from worker import runner  # torch

        with runner.open_bench(settings, draining) as bench:
            runner.run_units(bench)

    app.task(run_units, name=TASK)
    return app
