"""Webhook endpoints as their owners see them: where their jobs are told of, and under which secrets."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, delete, func, insert, null, select, update

from ddoq.guard import Rules
from jobs.ids import new_endpoint_id
from jobs.rows import now
from jobs.tables import webhook_endpoints as endpoints
from jobs.webhook_errors import TooManyWebhooksError, WebhookNotFoundError
from jobs.webhook_records import DisabledReason, Endpoint, JobEventType
from jobs.webhook_secrets import Vault, new_secret, shown
from jobs.webhook_urls import require_sendable

REGISTRATION = 0x64646F75  # any number, the same in all processes: one endpoint of an owner is added at a time
AFRESH: Mapping[str, Any] = MappingProxyType({"failing_since": None, "rests_until": None})
"""What an endpoint looks like whose last attempt did not fail."""


@dataclass(frozen=True)
class EndpointChange:
    """What is to be changed of an endpoint; None leaves it as it is."""

    url: str | None = None
    events: Collection[JobEventType] | None = None
    description: str | None = None
    is_disabled: bool | None = None


class Webhooks:
    """Adds, changes and removes endpoints. Somebody else's does not exist. Safe to share between threads."""

    def __init__(self, engine: Engine, vault: Vault, rules: Rules, max_per_owner: int) -> None:
        self._engine = engine
        self._vault = vault
        self._rules = rules
        self._max_per_owner = max_per_owner

    def add(
        self, owner: str, url: str, events: Collection[JobEventType], description: str = ""
    ) -> tuple[Endpoint, str]:
        """Add an endpoint, and answer it with its secret, which cannot be had again.

        Raises:
            WebhookUrlError: webhooks are not sent to this URL.
            TooManyWebhooksError: the owner has as many as may be.
        """
        require_sendable(url, self._rules)
        secret, endpoint_id = new_secret(), new_endpoint_id()
        row = {
            "id": endpoint_id,
            "owner": owner,
            "url": url,
            "events": _listed(events),
            "description": description,
            "secret": self._vault.encrypt(secret, endpoint_id),
        }
        with self._engine.begin() as connection:
            self._require_room(connection, owner)
            added = connection.execute(insert(endpoints).values(row).returning(endpoints)).mappings().one()
        return _endpoint(added), shown(secret)

    def list(self, owner: str) -> tuple[Endpoint, ...]:
        """List the endpoints of an owner, oldest first."""
        query = select(endpoints).where(endpoints.c.owner == owner).order_by(endpoints.c.id)
        with self._engine.connect() as connection:
            return tuple(_endpoint(row) for row in connection.execute(query).mappings())

    def get(self, owner: str, endpoint_id: str) -> Endpoint:
        """Read an endpoint.

        Raises:
            WebhookNotFoundError: unknown, or somebody else's.
        """
        with self._engine.connect() as connection:
            row = connection.execute(select(endpoints).where(is_of(owner, endpoint_id))).mappings().one_or_none()
        return _endpoint(require_found(row, endpoint_id))

    def change(self, owner: str, endpoint_id: str, change: EndpointChange) -> Endpoint:
        """Change an endpoint. With a new URL, or enabled again, it is delivered to at once, as if it had never failed.

        Raises:
            WebhookNotFoundError: unknown, or somebody else's.
            WebhookUrlError: webhooks are not sent to the new URL.
        """
        if change.url is not None:
            require_sendable(change.url, self._rules)
        return self._update(owner, endpoint_id, _columns(change) or {"url": endpoints.c.url})

    def rotate(self, owner: str, endpoint_id: str, overlap: timedelta) -> tuple[Endpoint, str]:
        """Draw a new secret; until the `overlap` is over, messages are signed with the one before too.

        Raises:
            WebhookNotFoundError: unknown, or somebody else's.
        """
        secret = new_secret()
        columns: dict[str, Any] = {
            "secret": self._vault.encrypt(secret, endpoint_id),
            "old_secret": endpoints.c.secret if overlap else null(),
            "old_secret_expires_at": now() + overlap if overlap else null(),
        }
        return self._update(owner, endpoint_id, columns), shown(secret)

    def remove(self, owner: str, endpoint_id: str) -> None:
        """Remove an endpoint with all its deliveries.

        Raises:
            WebhookNotFoundError: unknown, or somebody else's.
        """
        with self._engine.begin() as connection:
            removed = connection.execute(delete(endpoints).where(is_of(owner, endpoint_id)).returning(endpoints))
            require_found(removed.mappings().one_or_none(), endpoint_id)

    def _update(self, owner: str, endpoint_id: str, columns: Mapping[str, Any]) -> Endpoint:
        change = update(endpoints).where(is_of(owner, endpoint_id)).values(columns).returning(endpoints)
        with self._engine.begin() as connection:
            row = connection.execute(change).mappings().one_or_none()
        return _endpoint(require_found(row, endpoint_id))

    def _require_room(self, connection: Connection, owner: str) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(REGISTRATION, func.hashtext(owner))))
        of_owner = select(func.count()).select_from(endpoints).where(endpoints.c.owner == owner)
        n_endpoints = connection.execute(of_owner).scalar_one()
        if n_endpoints >= self._max_per_owner:
            raise TooManyWebhooksError(f"there are {n_endpoints} endpoints, as many as may be; delete one first")


def is_of(owner: str, endpoint_id: str) -> ColumnElement[bool]:
    """Whether an endpoint is the one of this id, and of this owner."""
    return (endpoints.c.owner == owner) & (endpoints.c.id == endpoint_id)


def require_found(row: RowMapping | None, endpoint_id: str) -> RowMapping:
    """Refuse what is not there."""
    if row is None:
        raise WebhookNotFoundError(f"there is no webhook endpoint {endpoint_id}")
    return row


def _listed(events: Collection[JobEventType]) -> list[JobEventType]:
    return [event for event in JobEventType if event in events]


def _columns(change: EndpointChange) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if change.url is not None:
        columns |= {"url": change.url, **AFRESH}
    if change.events is not None:
        columns["events"] = _listed(change.events)
    if change.description is not None:
        columns["description"] = change.description
    if change.is_disabled:
        columns["disabled_at"] = func.coalesce(endpoints.c.disabled_at, now())
        columns["disabled_reason"] = func.coalesce(endpoints.c.disabled_reason, DisabledReason.OWNER)
    elif change.is_disabled is not None:
        columns |= {"disabled_at": None, "disabled_reason": None, **AFRESH}
    return columns


def _endpoint(row: RowMapping) -> Endpoint:
    return Endpoint(
        id=row["id"],
        owner=row["owner"],
        url=row["url"],
        events=tuple(JobEventType(event) for event in row["events"]),
        description=row["description"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        disabled_reason=DisabledReason(row["disabled_reason"]) if row["disabled_reason"] else None,
        failing_since=row["failing_since"],
        rests_until=row["rests_until"],
        old_secret_expires_at=row["old_secret_expires_at"],
    )
