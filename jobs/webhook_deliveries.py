"""Deliveries as the owners of their endpoints see them: what was sent, what became of it, send it again."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, delete, func, insert, select, update

from jobs.outbox import MESSAGE_ID
from jobs.rows import now_once
from jobs.tables import webhook_deliveries as deliveries
from jobs.tables import webhook_endpoints as endpoints
from jobs.webhook_errors import DeliveryNotFoundError, WebhookDisabledError
from jobs.webhook_records import PING, Attempt, Delivery, DeliveryState
from jobs.webhooks import is_of, require_found

KEPT = timedelta(days=30)
AT_ONCE = 10_000  # forgotten a sweep, so that none takes for ever


class Deliveries:
    """Reads deliveries and queues them. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, owner: str, endpoint_id: str, state: DeliveryState | None, after: str | None, limit: int
    ) -> tuple[list[Delivery], str | None]:
        """Read up to `limit` deliveries, newest first, older than `after`; and what to pass as `after` for more.

        Raises:
            WebhookNotFoundError: the endpoint is unknown, or somebody else's.
        """
        query = select(deliveries).where(deliveries.c.endpoint_id == endpoint_id)
        if state is not None:
            query = query.where(deliveries.c.state == state)
        if after is not None:
            query = query.where(deliveries.c.message_id < after)
        with self._engine.connect() as connection:
            _find(connection, select(endpoints).where(is_of(owner, endpoint_id)), endpoint_id)
            rows = connection.execute(query.order_by(deliveries.c.message_id.desc()).limit(limit + 1)).mappings()
            found = [_delivery(row) for row in rows]
        return found[:limit], found[limit - 1].message_id if len(found) > limit else None

    def ping(self, owner: str, endpoint_id: str) -> Delivery:
        """Queue a message that tells of nothing, to see whether it arrives.

        Raises:
            WebhookNotFoundError: the endpoint is unknown, or somebody else's.
            WebhookDisabledError: it is disabled.
        """
        row = {"endpoint_id": endpoint_id, "type": PING, "data": {"endpoint_id": endpoint_id}}
        add = insert(deliveries).values(**row, message_id=MESSAGE_ID).returning(deliveries)
        with self._engine.begin() as connection:
            _hold_enabled(connection, owner, endpoint_id)
            return _delivery(connection.execute(add).mappings().one())

    def redeliver(self, owner: str, endpoint_id: str, message_id: str) -> Delivery:
        """Queue a message again, at the end and under its old id; one that still waits is attempted at once.

        Raises:
            WebhookNotFoundError: the endpoint is unknown, or somebody else's.
            WebhookDisabledError: it is disabled.
            DeliveryNotFoundError: it never had this message, or it is forgotten.
        """
        this = (deliveries.c.endpoint_id == endpoint_id) & (deliveries.c.message_id == message_id)
        last = func.nextval(func.pg_get_serial_sequence(deliveries.name, deliveries.c.position.name))
        again = {"state": DeliveryState.PENDING, "n_attempts": 0, "position": last}
        queue = update(deliveries).where(this, deliveries.c.state != DeliveryState.PENDING).values(again)
        with self._engine.begin() as connection:
            _hold_enabled(connection, owner, endpoint_id)
            connection.execute(queue)
            row = connection.execute(select(deliveries).where(this)).mappings().one_or_none()
            if row is None:
                raise DeliveryNotFoundError(f"endpoint {endpoint_id} has no delivery {message_id}")
            connection.execute(update(endpoints).where(endpoints.c.id == endpoint_id).values(rests_until=None))
        return _delivery(row)


def forget_deliveries(engine: Engine) -> int:
    """Forget the deliveries of long ago, those that were never made too; answer how many."""
    old = select(deliveries.c.endpoint_id, deliveries.c.message_id).where(deliveries.c.created_at <= now_once() - KEPT)
    few = old.limit(AT_ONCE).subquery()
    is_old = (deliveries.c.endpoint_id == few.c.endpoint_id) & (deliveries.c.message_id == few.c.message_id)
    with engine.begin() as connection:
        return connection.execute(delete(deliveries).where(is_old)).rowcount


def _hold_enabled(connection: Connection, owner: str, endpoint_id: str) -> None:
    held = select(endpoints).where(is_of(owner, endpoint_id)).with_for_update(key_share=True)
    if _find(connection, held, endpoint_id)["disabled_at"]:
        raise WebhookDisabledError(f"endpoint {endpoint_id} is disabled; enable it first")


def _find(connection: Connection, query: Select[Any], endpoint_id: str) -> RowMapping:
    return require_found(connection.execute(query).mappings().one_or_none(), endpoint_id)


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(
        endpoint_id=row["endpoint_id"],
        message_id=row["message_id"],
        type=row["type"],
        job_id=row["job_id"],
        data=row["data"],
        state=DeliveryState(row["state"]),
        created_at=row["created_at"],
        attempts=tuple(Attempt(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in row["attempts"]),
    )
