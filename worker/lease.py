"""Holding a unit: the heartbeat that keeps it, and the orders that end it."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Self

from sqlalchemy.exc import DBAPIError

from ddoq.events import Event
from jobs.errors import LeaseLostError
from jobs.leases import Leases
from jobs.records import Claim, Order
from jobs.settings import Settings
from worker.draining import Flag

TELL_SECONDS = 0.2  # between two events that the database hears of: each is a commit
LOOK_SECONDS = 2.0  # between two looks at whether this worker is to stop
DRAIN_SECONDS = 15.0  # after which a unit goes back without waiting for its stage

log = logging.getLogger(__name__)


class CancelOrdered(Exception):  # noqa: N818  an order, not an error
    """The job is to be cancelled: stop at this batch."""


class DrainOrdered(Exception):  # noqa: N818  an order, not an error
    """The worker is shutting down: give the unit back at this batch."""


class Deaf:
    """Measures for how long an order has gone unheard."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._since: float | None = None

    def is_over(self, *, is_ordered: bool) -> bool:
        """Whether the grace has passed since the order was first seen."""
        if is_ordered and self._since is None:
            self._since = time.monotonic()
        return self._since is not None and time.monotonic() - self._since > self._grace_seconds


class Lease:
    """Keeps a claim alive from a thread while its stage runs, and carries orders to the stage with each event."""

    def __init__(self, leases: Leases, claim: Claim, settings: Settings, draining: Flag) -> None:
        self._leases = leases
        self._claim = claim
        self._settings = settings
        self._draining = draining
        self._ended = threading.Event()
        self._parent = os.getppid()
        self._told_at = 0.0
        beat = partial(copy_context().run, self._beat)  # its lines in the log name the unit, too
        self._thread = threading.Thread(target=beat, name=f"lease-{claim.unit_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def on_event(self, event: Event) -> None:
        """Report progress, now and then, which the database may miss; raise what has been ordered meanwhile.

        Raises:
            CancelOrdered: the job is being cancelled.
            DrainOrdered: this worker is shutting down.
            LeaseLostError: somebody else has the unit by now.
        """
        if "batch_size" in event.values:
            size = event.values["batch_size"]
            log.warning("unit %s: the device's memory is short; batches of %d from here on", self._claim.unit_id, size)
        if event.done >= event.total or time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            if self._report(event) is Order.CANCEL:
                raise CancelOrdered
        if self._draining.is_set():
            raise DrainOrdered

    def _report(self, event: Event) -> Order:
        try:
            return self._leases.report(self._claim, event.done, event.total)
        except DBAPIError as error:
            log.warning("no progress told of unit %s: %s", self._claim.unit_id, error.orig)
            return Order.CONTINUE

    def _beat(self) -> None:
        """Extend the lease until it is over; end this process when its stage goes on in spite of an order to end."""
        cancel, drain = Deaf(self._settings.cancel_grace_seconds), Deaf(DRAIN_SECONDS)
        beat_at, look_seconds = time.monotonic(), min(LOOK_SECONDS, self._settings.heartbeat_seconds)
        while not self._ended.wait(look_seconds):
            if os.getppid() != self._parent:
                log.error("the worker of unit %s is gone; so goes its process", self._claim.unit_id)
                os._exit(1)
            if drain.is_over(is_ordered=self._draining.is_set()):
                self._end_process(self._leases.give_back)
            if time.monotonic() - beat_at >= self._settings.heartbeat_seconds:
                beat_at = time.monotonic()
                if cancel.is_over(is_ordered=self._has_to_end()):
                    self._end_process(self._leases.stop_cancelled)

    def _has_to_end(self) -> bool:
        """Extend the lease; True when the stage is to stop, which it learns at its next event."""
        try:
            return self._leases.heartbeat(self._claim) is Order.CANCEL
        except LeaseLostError:
            return True
        except DBAPIError as error:
            log.warning("no heartbeat for unit %s: %s", self._claim.unit_id, error.orig)
            return False

    def _end_process(self, say: Callable[[Claim], None]) -> None:
        """End this process, which the parent may replace, and say so."""
        log.error("unit %s went on when it had to end; its process ends", self._claim.unit_id)
        try:
            say(self._claim)
        except (LeaseLostError, ValueError, DBAPIError) as error:
            log.warning("unit %s: %s", self._claim.unit_id, error)
        os._exit(1)
