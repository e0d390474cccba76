"""What a worker counts of its units. Its child counts and its main process shows: the child may be killed any time."""

import mmap
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ddoq.events import Event, OnEvent, Stage


class Outcome(StrEnum):
    """How an attempt at a unit ended. One whose process was killed has none."""

    DONE = "done"
    GIVEN_BACK = "given_back"
    LOST = "lost"
    FAILED = "failed"
    BROKEN = "broken"
    OUT_OF_MEMORY = "out_of_memory"


STAGES: Final = tuple(Stage)
OUTCOMES: Final = tuple(Outcome)
SECONDS, PIECES, RUNNING = range(len(OUTCOMES), len(OUTCOMES) + 3)
N_COLUMNS: Final = len(OUTCOMES) + 3


class Counts(Collector):
    """Numbers by stage, in memory that the main process shares with the children it forks; one child writes at a time.

    It has no lock that a killed child could take along; what the main process reads may be a unit old.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * len(STAGES) * N_COLUMNS)
        self._cells = memoryview(self._memory).cast("d")

    @contextmanager
    def running(self, stage: Stage) -> Iterator[None]:
        """Show that a unit is being run, and add up the time it takes."""
        started = time.monotonic()
        self._cells[_cell(stage, RUNNING)] = 1
        try:
            yield
        finally:
            self._cells[_cell(stage, RUNNING)] = 0
            self._add(stage, SECONDS, time.monotonic() - started)

    def end(self, stage: Stage, outcome: Outcome) -> None:
        """Count an attempt by how it ended."""
        self._add(stage, OUTCOMES.index(outcome), 1)

    def counting(self, on_event: OnEvent) -> OnEvent:
        """Count the pieces that a unit's events tell of, such as images, and pass the events on."""
        n_done = 0

        def count(event: Event) -> None:
            nonlocal n_done
            self._add(event.stage, PIECES, max(0, event.done - n_done))
            n_done = max(n_done, event.done)
            on_event(event)

        return count

    def rest(self) -> None:
        """Show that nothing is being run: a new child begins."""
        for stage in STAGES:
            self._cells[_cell(stage, RUNNING)] = 0

    def collect(self) -> Iterable[Metric]:
        """Show all numbers."""
        ended = CounterMetricFamily("ddoq_worker_units", "Attempts at units.", labels=("stage", "outcome"))
        for stage in STAGES:
            for column, outcome in enumerate(OUTCOMES):
                ended.add_metric((stage, outcome), self._cells[_cell(stage, column)])
        yield ended
        for name, words, column in (
            ("ddoq_worker_unit_seconds", "Time spent on units.", SECONDS),
            ("ddoq_worker_pieces", "Pieces of work done, such as images.", PIECES),
        ):
            counter = CounterMetricFamily(name, words, labels=("stage",))
            for stage in STAGES:
                counter.add_metric((stage,), self._cells[_cell(stage, column)])
            yield counter
        running = GaugeMetricFamily("ddoq_worker_running", "1 while a unit of the stage is run.", labels=("stage",))
        for stage in STAGES:
            running.add_metric((stage,), self._cells[_cell(stage, RUNNING)])
        yield running

    def _add(self, stage: Stage, column: int, number: float) -> None:
        self._cells[_cell(stage, column)] += number


def _cell(stage: Stage, column: int) -> int:
    return STAGES.index(stage) * N_COLUMNS + column
