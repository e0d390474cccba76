"""The children of `ddoq up`: servers, whose end is the end of everything, and services, which are started again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cli.servers import Guard, Running, StartError, kill_group
from cli.watchdog import Watchdog

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
YOUNG_SECONDS = 60.0

Start = Callable[[Guard], Running]


@dataclass
class Service:
    """A child that is started again when it ends, after a pause that doubles while it keeps ending young."""

    start: Start
    running: Running
    started_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    due_at: float | None = None

    def has_ended(self) -> bool:
        return self.due_at is None and self.running.process.poll() is not None

    def plan_restart(self, now: float) -> None:
        """Choose when it is started again."""
        is_young = now - self.started_at < YOUNG_SECONDS
        self.pause_seconds = min(2 * self.pause_seconds, LONGEST_PAUSE_SECONDS) if is_young else FIRST_PAUSE_SECONDS
        self.due_at = now + self.pause_seconds


class Family:
    """All children, in the order in which they were started."""

    def __init__(self, watchdog: Watchdog) -> None:
        self.watchdog = watchdog
        self._servers: list[Running] = []
        self._services: list[Service] = []

    def add(self, server: Running) -> Running:
        """Take a server, which must not end."""
        self._servers.append(server)
        return server

    def keep(self, start: Start) -> Running:
        """Start a service, which is started again when it ends."""
        running = start(self.watchdog.guard)
        self._services.append(Service(start, running))
        return running

    def tend(self, now: float) -> Iterator[str]:
        """Start ended services again when it is time; answer a sentence on each that has just ended.

        Raises:
            StartError: a server ended.
        """
        for server in self._servers:
            if server.process.poll() is not None:
                raise StartError(server.last_words())
        for service in self._services:
            if service.has_ended():
                kill_group(service.running.process.pid)  # what it leaves behind would work beside its successor
                self.watchdog.release(service.running)
                service.plan_restart(now)
                yield f"{service.running.last_words()}\nit is started again in {service.pause_seconds:.0f} s"
            elif service.due_at is not None and now >= service.due_at:
                service.running, service.started_at, service.due_at = service.start(self.watchdog.guard), now, None

    def stop(self) -> None:
        """Stop the services, all at once so that their graces do not add up, then the servers, the last one first."""
        for service in self._services:
            service.running.ask_to_stop()
        for running in (*(service.running for service in self._services), *reversed(self._servers)):
            running.stop()
            self.watchdog.release(running)
