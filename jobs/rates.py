"""How many requests a minute: counted by the broker's server, for all API processes together."""

import logging
import math
import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

WINDOW_SECONDS: Final = 60
ANSWER_SECONDS: Final = 0.05  # that a count is waited for, at most
REST_SECONDS: Final = 5.0  # after a failure nothing is asked for so long
WARN_SECONDS: Final = 60.0
LATE_SECONDS: Final = 1.0  # after which requests that were let through are counted with the next, at most
LATE_SHARE: Final = 20  # the most that a process lets through uncounted is the limit divided by this
MOST_KNOWN: Final = 10_000  # limits; all are forgotten at once, so that none is counted

# A limit refills evenly, so what is kept is one moment: when it will be whole again (the generic cell rate algorithm).
# ARGV: limit, milliseconds of the window, how many were let through before and are counted only now, since when.
TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local limit, window, late, age = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local each = window / limit
local before = tonumber(redis.call('GET', KEYS[1]) or 0)
local whole_at = math.max(math.max(before, now - age) + late * each, now)
local is_allowed = whole_at + each - window <= now
local taken_until = is_allowed and whole_at + each or whole_at
redis.call('SET', KEYS[1], string.format('%.3f', taken_until), 'PX', math.max(1, math.ceil(taken_until - now)))
local remaining = math.max(0, math.floor((now + window - taken_until) * limit / window))
local retry_after = math.max(0, math.ceil(whole_at + each - window - now))
return {is_allowed and 1 or 0, remaining, math.ceil(taken_until - now), retry_after}
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rate:
    """What is left of a limit of `limit` requests in 60 seconds; it is whole again after `reset_seconds`."""

    name: str
    limit: int
    remaining: int
    reset_seconds: int
    is_allowed: bool
    retry_after_seconds: int


@dataclass
class _Known:
    """What the server said at `at`, on the monotonic clock; `n_late` were let through since, and it does not know."""

    rate: Rate
    at: float
    n_late: int = 0


class Rates:
    """Counts requests. While the broker's server is away, nothing is limited. Safe to share between threads.

    Where much of a limit is left the server is not asked for each request: of those that come within a second, up to a
    twentieth of the limit are let through at once, and counted when it is asked next.
    """

    def __init__(self, broker_url: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._redis = Redis.from_url(
            broker_url,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._take = self._redis.register_script(TAKE)
        self._resting_until = 0.0
        self._warned_at = -math.inf
        self._known: dict[tuple[str, str], _Known] = {}
        self._lock = threading.Lock()  # of `_known`

    def take(self, name: str, whose: str, limit: int) -> Rate | None:
        """Count one request against the limit `name` of `whose`; None when nothing is limited."""
        if not limit or time.monotonic() < self._resting_until:
            return None
        return self.take_late(name, whose, limit) or self._ask(name, whose, limit)

    def take_late(self, name: str, whose: str, limit: int) -> Rate | None:
        """Let one request through that the server is told of later; None when it has to be asked. Never waits."""
        most = limit // LATE_SHARE
        with self._lock:
            known = self._known.get((name, whose))
            if known is None or known.rate.limit != limit or time.monotonic() - known.at > LATE_SECONDS:
                return None
            if known.n_late >= min(most, known.rate.remaining - most):
                return None
            known.n_late += 1
            return replace(known.rate, remaining=known.rate.remaining - known.n_late)

    def _ask(self, name: str, whose: str, limit: int) -> Rate | None:
        n_late, since = self._begin_anew((name, whose))
        try:
            found = self._take(
                keys=[f"ddoq:rate:{name}:{whose}"], args=[limit, 1000 * WINDOW_SECONDS, n_late, int(1000 * since)]
            )
        except RedisError as error:
            self._rest(error)
            return None
        is_allowed, remaining, reset, retry_after = (int(number) for number in found)
        rate = Rate(name, limit, remaining, _seconds(reset), bool(is_allowed), _seconds(retry_after))
        with self._lock:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known.setdefault((name, whose), _Known(rate, time.monotonic())).rate = rate
        return rate

    def _begin_anew(self, key: tuple[str, str]) -> tuple[int, float]:
        """Take over what is to be told: how many were let through, in how many seconds; others go on meanwhile."""
        with self._lock:
            if (known := self._known.get(key)) is None:
                return 0, 0.0
            late = known.n_late, time.monotonic() - known.at
            known.n_late, known.at = 0, time.monotonic()
            return late

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _rest(self, error: RedisError) -> None:
        now = time.monotonic()
        self._resting_until = now + REST_SECONDS
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            log.warning("no request is counted, so none is refused, since the broker's server is away: %s", error)


def _seconds(milliseconds: int) -> int:
    return math.ceil(milliseconds / 1000)
