"""The broker carries wake-up calls only: the database row is the job. The one place that knows Celery's options."""

from celery import Celery
from kombu.exceptions import OperationalError

from jobs.errors import QueueUnavailableError
from jobs.settings import Settings

QUEUE = "ddoq"
TASK = "worker.run_units"
EXPIRES_SECONDS = 30  # the sweep calls again; an unheard call must not pile up

# A broker that is down is told to the caller at once, who has the sweep call again; a connection that was kept may be
# gone, so that it is tried once more.
_AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
_TRANSPORT = {"socket_connect_timeout": 5, "socket_timeout": 30, **_AT_ONCE}


def make_celery(settings: Settings) -> Celery:
    """Make the Celery app that both sides share. The worker adds the task; the API only sends to it."""
    app = Celery("ddoq", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=False,  # redelivery is the lease's business, not the broker's
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # a call that a busy worker sets aside would be lost to an idle one
        broker_pool_limit=2,  # kept: to connect costs ten times what a call costs
        broker_transport_options=_TRANSPORT,
        broker_connection_retry_on_startup=True,
        enable_utc=True,
    )
    return app


class Queue:
    """Calls workers to look into the database. Safe to share between threads."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def wake(self, n: int = 1) -> None:
        """Call up to `n` idle workers, if there are any.

        Raises:
            QueueUnavailableError: the broker did not take the calls; no job is lost, the next sweep calls again.
        """
        options = {"queue": QUEUE, "expires": EXPIRES_SECONDS, "ignore_result": True, "retry_policy": _AT_ONCE}
        try:
            for _ in range(n):
                self._app.send_task(TASK, **options)
        except OperationalError as error:
            raise QueueUnavailableError(f"the broker did not take the wake-up call: {error}") from error

    def is_ready(self) -> bool:
        """Whether the broker answers."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        except OperationalError:
            return False
        return True
