"""How many jobs may be queued, and what is said to whoever comes when there is no room."""

import math
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, or_, select, text, true

from jobs.columns import fixed
from jobs.errors import QueueFullError
from jobs.records import JobState
from jobs.rows import now_once
from jobs.tables import jobs

RATE_SECONDS = 3600  # over which the rate of ended jobs is measured
QUEUED = jobs.c.state == fixed(JobState.QUEUED)
LEAST_WAIT_SECONDS, MOST_WAIT_SECONDS = 5, 600


@dataclass(frozen=True)
class QueueLimits:
    """How many jobs may be queued at a time: of one owner, and in all. None is any number."""

    of_owner: int | None = None
    in_all: int | None = None


UNLIMITED = QueueLimits()
AMPLE = 64  # more jobs than are let in at the same moment


def has_ample_room(n: ColumnElement[int], limit: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the queue is so far from full that nobody need wait for others who come at the same moment."""
    return or_(limit.is_(None), n + AMPLE < limit)


def require_room(connection: Connection, owner: str, limits: QueueLimits) -> None:
    """Refuse another job of `owner` when the queue is full. Exact where the caller lets one in at a time.

    Raises:
        QueueFullError: as many jobs are queued as may be.
    """
    if limits.of_owner is not None:
        _require(connection, jobs.c.owner == owner, limits.of_owner, f"jobs of {owner!r}")
    if limits.in_all is not None:
        _require(connection, true(), limits.in_all, "jobs of all owners together")


def _require(connection: Connection, whose: ColumnElement[bool], limit: int, words: str) -> None:
    queued = select(func.count()).where(QUEUED, whose)
    n_queued = connection.execute(queued).scalar_one()
    if n_queued >= limit:
        wait = _wait_seconds(connection, whose, n_queued - limit + 1)
        message = f"{n_queued} {words} are queued, and {limit} may be; try again in about {wait} seconds"
        raise QueueFullError(message, wait)


def _wait_seconds(connection: Connection, whose: ColumnElement[bool], n_jobs: int) -> int:
    """Guess how long it takes until `n_jobs` have left the queue, by how many have ended lately."""
    since = now_once() - text(f"interval '{RATE_SECONDS} seconds'")
    ended = select(func.count()).where(jobs.c.finished_at > since, whose)
    n_ended = connection.execute(ended).scalar_one()
    wait = math.ceil(RATE_SECONDS * n_jobs / n_ended) if n_ended else MOST_WAIT_SECONDS
    return min(max(wait, LEAST_WAIT_SECONDS), MOST_WAIT_SECONDS)
