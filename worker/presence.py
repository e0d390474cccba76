"""The worker's parent says every few seconds that it is there, so that work is cut for as many as there are."""

import logging
import os
import socket
import threading

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from jobs.leases import Leases
from jobs.settings import Settings

SECONDS = 15

log = logging.getLogger(__name__)


class Presence:
    """A thread that keeps a row of the table of workers fresh until `leave`."""

    def __init__(self, settings: Settings) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        arguments = {"connect_timeout": 10}
        engine = create_engine(settings.database_url, poolclass=NullPool, connect_args=arguments)  # none open at a fork
        self._leases = Leases(engine, settings.lease_seconds)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._show, name="presence", daemon=True)

    def enter(self) -> None:
        """Begin."""
        self._thread.start()

    def leave(self) -> None:
        """Take the row away; the worker ends."""
        self._left.set()
        self._thread.join()
        try:
            self._leases.gone(self.name)
        except DBAPIError as error:
            log.warning("the database does not hear that this worker leaves: %s", error)

    def _show(self) -> None:
        while True:
            try:
                self._leases.present(self.name)
            except DBAPIError as error:
                log.warning("the database does not hear that this worker is here: %s", error)
            if self._left.wait(SECONDS):
                return
