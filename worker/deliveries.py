"""`python -m worker.deliveries`: the process that delivers webhooks. Touches no job, and loads no torch.

Any number of them may run; the database deals out what is due.
"""

import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter
from sqlalchemy.exc import DBAPIError

from ddoq.guard import Rules
from jobs.logs import start_logs
from jobs.metrics import serve_metrics
from jobs.schema import make_engine
from jobs.settings import Settings, load_settings
from jobs.tracing import close_tracing, open_tracing, traced
from jobs.webhook_queue import WebhookQueue
from jobs.webhook_records import Attempt, Due
from jobs.webhook_secrets import Vault
from worker.draining import Flag
from worker.posting import ATTEMPT_SECONDS, post

POLL_SECONDS = 0.5
AWAY_SECONDS = 2.0  # until a database that does not answer is asked again
THREADS = 16  # a lane
ACCEPTED, REFUSED, UNANSWERED = OUTCOMES = ("accepted", "refused", "unanswered")

log = logging.getLogger(__name__)


@dataclass
class Lane:
    """Threads for one kind of endpoint: those that fail, and may take long, do not hold up the others."""

    from_failing: bool
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    busy: set["Future[None]"] = field(default_factory=set)

    def n_free(self) -> int:
        """Put the finished ones aside, and count the idle threads."""
        done = {one for one in self.busy if one.done()}
        self.busy -= done
        for one in done:
            if error := one.exception():
                log.error("a delivery is left to the end of its lease", exc_info=error)
        return THREADS - len(self.busy)


class Deliverer:
    """Takes what is due and posts it, each endpoint on its own."""

    def __init__(
        self,
        queue: WebhookQueue,
        vault: Vault,
        rules: Rules,
        attempts: Counter | None = None,
        seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._queue = queue
        self._vault = vault
        self._rules = rules
        self._attempts = attempts or make_counter(CollectorRegistry())
        self._seconds = seconds
        self._lanes = (Lane(from_failing=False), Lane(from_failing=True))
        self._freed = threading.Event()

    def run(self, is_ending: Callable[[], bool]) -> None:
        """Deliver until `is_ending`; then finish what is under way."""
        while not is_ending():
            try:
                self.deliver_due()
            except DBAPIError as error:
                log.warning("the database does not say what is due: %s", error)
                self._freed.clear()
                self._freed.wait(AWAY_SECONDS)
            self._freed.wait(POLL_SECONDS)
            self._freed.clear()
        for lane in self._lanes:
            lane.pool.shutdown()

    def deliver_due(self) -> int:
        """Begin what is due, as far as threads are free; answer how many deliveries that are."""
        n_begun = 0
        for lane in self._lanes:
            n_free = lane.n_free()
            due = self._queue.take(n_free, from_failing=lane.from_failing) if n_free else []
            for one in due:
                future = lane.pool.submit(self._deliver, one)
                lane.busy.add(future)
                future.add_done_callback(lambda _: self._freed.set())
            n_begun += len(due)
        return n_begun

    def _deliver(self, due: Due) -> None:
        """Make one attempt; log, count and trace it."""
        attributes: dict[str, str | int] = {
            "ddoq.message_id": due.message_id,
            "ddoq.endpoint_id": due.endpoint_id,
            "ddoq.attempt": due.n_attempts + 1,
        }
        with traced(f"deliver {due.type}", "client", due.traceparent, attributes) as step:
            attempt, retry_after = post(due, self._vault, self._rules, self._seconds)
            outcome = _outcome(attempt)
            step.tell(None, {"ddoq.outcome": outcome})
            if outcome != "accepted":
                step.fail(outcome)
        said = attempt.status or attempt.error
        log.info("%s to %s: %s in %.1f s", due.message_id, due.endpoint_id, said, attempt.seconds)
        self._attempts.labels(outcome).inc()
        if not self._queue.close(due, attempt, retry_after):
            log.warning("%s was no longer held when its attempt ended; it may come twice", due.endpoint_id)


def make_counter(registry: CollectorRegistry) -> Counter:
    """Count attempts by their outcome, each from zero on: the first of a series is no increase to Prometheus."""
    attempts = Counter("ddoq_webhook_attempts", "POSTs of webhooks.", ["outcome"], registry=registry)
    for outcome in OUTCOMES:
        attempts.labels(outcome)
    return attempts


def _outcome(attempt: Attempt) -> str:
    if attempt.status is None:
        return UNANSWERED
    return ACCEPTED if 200 <= attempt.status < 300 else REFUSED


def make_deliverer(settings: Settings, registry: CollectorRegistry) -> Deliverer:
    """Make a deliverer; it connects to nothing before it runs."""
    engine = make_engine(settings.database_url)
    queue = WebhookQueue(engine, timedelta(days=settings.webhook_failing_days))
    rules = Rules(settings.private_networks)
    return Deliverer(queue, Vault(settings.key_pepper), rules, make_counter(registry))


def main() -> None:
    settings, registry, ending = load_settings(), CollectorRegistry(), Flag()
    start_logs(settings, "deliveries")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    open_tracing("ddoq-deliveries")
    serve_metrics(settings, registry)
    make_deliverer(settings, registry).run(ending.is_set)
    close_tracing()


if __name__ == "__main__":
    main()
