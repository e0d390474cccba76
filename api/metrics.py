"""What the API counts of its requests. No label takes more values than the API has methods, routes and codes."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import Engine

from jobs.metrics import DatabaseMetrics

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"


@dataclass(frozen=True)
class Answered:
    """A request and what was answered. `route` is the path as it is declared, or `other`."""

    method: str
    route: str
    status: int
    seconds: float
    code: str | None


class ApiMetrics:
    """The metrics of one process, with those of the database."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(DatabaseMetrics(engine))
        labels = ("method", "route", "status")
        self._requests = Counter("ddoq_http_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "ddoq_http_request_duration_seconds",
            "Time to the last byte of the answer.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge("ddoq_http_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.sweeps = Counter("ddoq_sweeps", "Sweeps that this process was elected for.", registry=self.registry)
        self._problems = Counter("ddoq_http_problems", "Problem documents.", ("code",), registry=self.registry)

    def count(self, answered: Answered) -> None:
        """Count an answer: its status by class, such as `2xx`."""
        method = answered.method if answered.method in METHODS else OTHER
        self._requests.labels(method, answered.route, f"{answered.status // 100}xx").inc()
        self._seconds.labels(method, answered.route).observe(answered.seconds)
        if answered.code:
            self._problems.labels(answered.code).inc()
