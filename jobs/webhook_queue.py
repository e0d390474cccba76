"""The queue of webhooks as the deliverer sees it: the table is the queue, and no broker is asked.

Of each endpoint the first pending message is delivered, one at a time, under a lease on the endpoint: its queue waits
for the retries of its first message, and no other queue does. Each statement is a transaction, so that no round trip
holds a row that a job waits for.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    CTE,
    Engine,
    Interval,
    RowMapping,
    Text,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from jobs.columns import fixed
from jobs.rows import now
from jobs.tables import jobs
from jobs.tables import webhook_deliveries as deliveries
from jobs.tables import webhook_endpoints as endpoints
from jobs.webhook_records import Attempt, DeliveryState, DisabledReason, Due
from jobs.webhooks import AFRESH

RETRY_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""From each failed attempt to the next, as Standard Webhooks suggests; after the last, the message is given up."""
JITTER = 0.1  # of each wait, at most
LONGEST_WAIT_SECONDS = 86_400  # however long a receiver asks for
LEASE = timedelta(seconds=60)  # longer than any attempt
KEPT_ATTEMPTS = 20
DELIVERED = range(200, 300)
GONE = 410

NO_LEASE: Mapping[str, Any] = MappingProxyType({"lease_token": None, "lease_expires_at": None})


class WebhookQueue:
    """Hands out what is due, and hears what became of it. Safe to share between threads."""

    def __init__(self, engine: Engine, failing: timedelta) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._failing = failing

    def take(self, n: int, *, from_failing: bool) -> Sequence[Due]:
        """Take the first messages of up to `n` endpoints, those first to which nothing was sent for longest.

        Args:
            n: Deliveries at most.
            from_failing: Of endpoints whose last attempt failed; else of the others.
        """
        token = uuid4().hex
        with self._engine.connect() as connection:
            leased = set(connection.execute(_leasing(n, from_failing, token)).scalars())
            # A second look: what the first one saw may have been delivered before it held the endpoint.
            due = [_due(row, token) for row in connection.execute(_first_of(token)).mappings()] if leased else []
            idle = leased - {one.endpoint_id for one in due}
            if idle:
                release = update(endpoints).where(endpoints.c.id.in_(idle), endpoints.c.lease_token == token)
                connection.execute(release.values(NO_LEASE))
        return due

    def close(self, due: Due, attempt: Attempt, retry_after_seconds: float | None = None) -> bool:
        """Write down an attempt, and what follows from it; answer whether the endpoint was still held.

        Args:
            due: What was attempted.
            attempt: What became of it.
            retry_after_seconds: Before that the receiver does not want another.
        """
        if attempt.status in DELIVERED:
            state, columns = DeliveryState.DELIVERED, dict(AFRESH)
        else:
            wait = _wait(due.n_attempts, retry_after_seconds)
            is_over = wait is None or attempt.status == GONE
            state = DeliveryState.FAILED if is_over else DeliveryState.PENDING
            columns = {**self._failed(attempt), "rests_until": null() if is_over else now() + literal(wait, Interval)}
        with self._engine.connect() as connection:
            return connection.execute(_closing(due, attempt, state, columns)).one_or_none() is not None

    def _failed(self, attempt: Attempt) -> dict[str, Any]:
        since = func.coalesce(endpoints.c.failing_since, now())
        is_gone = attempt.status == GONE
        is_enough = true() if is_gone else since <= now() - literal(self._failing, Interval)
        is_new = endpoints.c.disabled_at.is_(None) & is_enough
        reason = DisabledReason.GONE if is_gone else DisabledReason.FAILING
        return {
            "failing_since": since,
            "disabled_at": case((is_new, now()), else_=endpoints.c.disabled_at),
            "disabled_reason": case((is_new, literal(reason, Text)), else_=endpoints.c.disabled_reason),
        }


def _wait(n_attempts: int, retry_after_seconds: float | None) -> timedelta | None:
    """Say how long to wait after one more attempt than `n_attempts` has failed; None when it was the last."""
    if n_attempts >= len(RETRY_SECONDS):
        return None
    seconds = RETRY_SECONDS[n_attempts] * random.uniform(1, 1 + JITTER)
    return timedelta(seconds=max(seconds, min(retry_after_seconds or 0, LONGEST_WAIT_SECONDS)))


def _leasing(n: int, from_failing: bool, token: str) -> Any:
    is_pending = (deliveries.c.endpoint_id == endpoints.c.id) & (deliveries.c.state == fixed(DeliveryState.PENDING))
    is_failing = endpoints.c.failing_since.is_not(None)
    free = (
        select(endpoints.c.id)
        .where(endpoints.c.disabled_at.is_(None), is_failing if from_failing else ~is_failing)
        .where(or_(endpoints.c.lease_expires_at.is_(None), endpoints.c.lease_expires_at <= now()))
        .where(or_(endpoints.c.rests_until.is_(None), endpoints.c.rests_until <= now()))
        .where(exists().where(is_pending))
        .order_by(endpoints.c.attempted_at.asc().nulls_first(), endpoints.c.id)
        .limit(n)
        .with_for_update(key_share=True, skip_locked=True)
        .cte("free")
    )
    lease = {"lease_token": token, "lease_expires_at": now() + literal(LEASE, Interval), "attempted_at": now()}
    return update(endpoints).where(endpoints.c.id == free.c.id).values(lease).returning(endpoints.c.id)


def _first_of(token: str) -> Any:
    first = (
        select(deliveries)
        .where(deliveries.c.endpoint_id == endpoints.c.id, deliveries.c.state == fixed(DeliveryState.PENDING))
        .order_by(deliveries.c.position)
        .limit(1)
        .lateral("first")
    )
    old_secret = case((endpoints.c.old_secret_expires_at > now(), endpoints.c.old_secret)).label("old_secret")
    told = (endpoints.c.url, endpoints.c.secret, old_secret, jobs.c.traceparent)
    held = endpoints.join(first, true()).outerjoin(jobs, jobs.c.id == first.c.job_id)
    return select(first, *told).select_from(held).where(endpoints.c.lease_token == token)


def _closing(due: Due, attempt: Attempt, state: DeliveryState, columns: Mapping[str, Any]) -> Any:
    is_held = (endpoints.c.id == due.endpoint_id) & (endpoints.c.lease_token == due.token)
    change = update(endpoints).where(is_held).values(**columns, **NO_LEASE)
    closed: CTE = change.returning(endpoints.c.id).cte("closed")
    told = {**asdict(attempt), "at": attempt.at.isoformat()}
    attempts = deliveries.c.attempts.op("||")(literal([told], JSONB))
    kept = func.jsonb_path_query_array(attempts, cast(f"$[last - {KEPT_ATTEMPTS - 1} to last]", JSONPATH))
    this = (deliveries.c.endpoint_id == closed.c.id) & (deliveries.c.message_id == due.message_id)
    write = update(deliveries).where(this).values(state=state, n_attempts=deliveries.c.n_attempts + 1, attempts=kept)
    return write.returning(deliveries.c.message_id)


def _due(row: RowMapping, token: str) -> Due:
    return Due(
        endpoint_id=row["endpoint_id"],
        token=token,
        url=row["url"],
        secrets=tuple(secret for secret in (row["secret"], row["old_secret"]) if secret is not None),
        message_id=row["message_id"],
        type=row["type"],
        data=row["data"],
        created_at=row["created_at"],
        n_attempts=row["n_attempts"],
        traceparent=row["traceparent"],
    )
