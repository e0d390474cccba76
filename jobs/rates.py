"""How many requests a minute: counted by the broker's server, for all API processes together."""

import logging
import math
import time
from dataclasses import dataclass
from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

WINDOW_SECONDS: Final = 60
ANSWER_SECONDS: Final = 0.05  # that a count is waited for, at most
REST_SECONDS: Final = 5.0  # after a failure nothing is asked for so long
WARN_SECONDS: Final = 60.0

# A limit refills evenly, so what is kept is one moment: when it will be whole again (the generic cell rate algorithm).
TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local taken_until = whole_at + window / limit
if taken_until - window > now then
  return {0, 0, math.ceil(whole_at - now), math.ceil(taken_until - window - now)}
end
redis.call('SET', KEYS[1], string.format('%.3f', taken_until), 'PX', math.ceil(taken_until - now))
return {1, math.floor((now + window - taken_until) * limit / window), math.ceil(taken_until - now), 0}
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


class Rates:
    """Counts requests. While the broker's server is away, nothing is limited. Safe to share between threads."""

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

    def take(self, name: str, whose: str, limit: int) -> Rate | None:
        """Count one request against the limit `name` of `whose`; None when nothing is limited."""
        if not limit or time.monotonic() < self._resting_until:
            return None
        try:
            found = self._take(keys=[f"ddoq:rate:{name}:{whose}"], args=[limit, 1000 * WINDOW_SECONDS])
        except RedisError as error:
            self._rest(error)
            return None
        is_allowed, remaining, reset, retry_after = (int(number) for number in found)
        return Rate(name, limit, remaining, _seconds(reset), bool(is_allowed), _seconds(retry_after))

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
