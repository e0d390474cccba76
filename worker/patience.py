"""A database that restarts is waited for, as long as a lease can last."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

A = TypeVar("A")

PAUSE_SECONDS = 1.0

log = logging.getLogger(__name__)


def patiently(call: Callable[[], A], seconds: float) -> A:
    """Call again while the connection fails, for up to `seconds`.

    What was done although the answer was lost is refused the second time: every write names its lease.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (InterfaceError, OperationalError) as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the database does not answer: %s", error.orig)
            time.sleep(PAUSE_SECONDS)
