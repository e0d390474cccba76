"""What the database knows, as metrics; and the server that each process shows its metrics by."""

import time
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, Select, func, select, text
from sqlalchemy.exc import DBAPIError

from ddoq.events import Stage
from jobs.columns import fixed
from jobs.records import JobState, UnitState, UploadState
from jobs.rows import now, now_once
from jobs.settings import Settings
from jobs.states import TERMINAL
from jobs.tables import jobs, units, uploads, webhook_deliveries, workers
from jobs.webhook_records import DeliveryState

FRESH_SECONDS: Final = 5.0  # scrapes in between are answered with the same numbers
OPEN: Final = tuple(state for state in JobState if state not in TERMINAL)
ENDED: Final = tuple(state for state in JobState if state in TERMINAL)
WAITING: Final = (UnitState.READY, UnitState.RUNNING)

Numbers = Mapping[tuple[str, ...], float]
"""A number for each combination of labels."""

DATABASE_METRICS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ddoq_jobs": ("state",),
        "ddoq_jobs_ended_last_hour": ("state",),
        "ddoq_units": ("stage", "state"),
        "ddoq_oldest_queued_seconds": (),
        "ddoq_workers": (),
        "ddoq_webhook_deliveries_pending": (),
        "ddoq_upload_bytes": ("state",),
    }
)
"""What is counted, by which labels."""


class DatabaseMetrics(Collector):
    """Counts what is in the database, when asked, by small indexes; says so when the database is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._found: Sequence[Metric] = ()
        self._fresh_until = 0.0

    def describe(self) -> Iterable[Metric]:
        """Tell the registry nothing beforehand, so that it does not ask the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._found = self._count()
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            return self._found

    def _count(self) -> Sequence[Metric]:
        up = GaugeMetricFamily("ddoq_database_up", "1 while the database answers.")
        try:
            with self._engine.connect() as connection:
                found = _metrics(connection)
        except DBAPIError:
            up.add_metric((), 0)
            return [up]
        up.add_metric((), 1)
        return [up, *found]


def serve_metrics(settings: Settings, registry: CollectorRegistry) -> None:
    """Show the metrics of this process at its own port, if it has one, in a thread."""
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, settings.metrics_host, registry)


def _metrics(connection: Connection) -> Sequence[Metric]:
    return [
        _gauge("ddoq_jobs", "Jobs that have not ended.", _open_jobs(connection)),
        _gauge("ddoq_jobs_ended_last_hour", "Jobs that ended within an hour.", _ended_jobs(connection)),
        _gauge("ddoq_units", "Units that wait or are run.", _units(connection)),
        _gauge("ddoq_oldest_queued_seconds", "Age of the oldest queued job.", _oldest(connection)),
        _gauge("ddoq_workers", "Workers seen within a minute.", _workers(connection)),
        _gauge("ddoq_webhook_deliveries_pending", "Deliveries of webhooks that wait.", _deliveries(connection)),
        _gauge("ddoq_upload_bytes", "Bytes of uploads, unfinished ones as declared.", _uploads(connection)),
    ]


def _gauge(name: str, words: str, numbers: Numbers) -> Metric:
    family = GaugeMetricFamily(name, words, labels=DATABASE_METRICS[name])
    for values, number in sorted(numbers.items()):
        family.add_metric(values, number)
    return family


def _counted(connection: Connection, query: Select[Any]) -> Numbers:
    return {tuple(labels): float(n) for *labels, n in connection.execute(query)}


def _open_jobs(connection: Connection) -> Numbers:
    is_open = jobs.c.state.in_([fixed(state) for state in OPEN])
    query = select(jobs.c.state, func.count()).where(is_open).group_by(jobs.c.state)
    return {**{(state,): 0.0 for state in OPEN}, **_counted(connection, query)}


def _ended_jobs(connection: Connection) -> Numbers:
    lately = jobs.c.finished_at > now_once() - text("interval '1 hour'")
    query = select(jobs.c.state, func.count()).where(lately).group_by(jobs.c.state)
    return {**{(state,): 0.0 for state in ENDED}, **_counted(connection, query)}


def _units(connection: Connection) -> Numbers:
    numbers: dict[tuple[str, ...], float] = {(stage, state): 0.0 for stage in Stage for state in WAITING}
    for state in WAITING:  # an index each
        is_so = units.c.state == fixed(state)
        numbers |= _counted(
            connection,
            select(units.c.stage, units.c.state, func.count()).where(is_so).group_by(units.c.stage, units.c.state),
        )
    return numbers


def _oldest(connection: Connection) -> Numbers:
    age = func.coalesce(func.extract("epoch", now() - func.min(jobs.c.created_at)), 0)
    return _counted(connection, select(age).where(jobs.c.state == fixed(JobState.QUEUED)))


def _workers(connection: Connection) -> Numbers:
    return _counted(connection, select(func.count()).where(workers.c.seen_at > now() - text("interval '1 minute'")))


def _deliveries(connection: Connection) -> Numbers:
    pending = webhook_deliveries.c.state == fixed(DeliveryState.PENDING)
    return _counted(connection, select(func.count()).where(pending))


def _uploads(connection: Connection) -> Numbers:
    query = select(uploads.c.state, func.coalesce(func.sum(uploads.c.size_bytes), 0)).group_by(uploads.c.state)
    return {**{(state,): 0.0 for state in UploadState}, **_counted(connection, query)}
