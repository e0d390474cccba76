"""What is known of webhooks: who wants to hear of what, and what became of each message."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

PING = "ping"  # sent when asked for, whatever else the endpoint wants to hear


class JobEventType(StrEnum):
    """What an endpoint can hear of a job."""

    STARTED = "job.started"
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    EXPIRED = "job.expired"


class DeliveryState(StrEnum):
    """`pending`: not yet answered with 2xx; `failed`: given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DisabledReason(StrEnum):
    """`owner`: it was asked for; `gone`: the receiver answered 410; `failing`: for days nothing could be delivered."""

    OWNER = "owner"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True)
class Endpoint:
    """Where somebody wants to hear of their jobs: never with its secrets."""

    id: str
    owner: str
    url: str
    events: tuple[JobEventType, ...]
    description: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None
    failing_since: datetime | None
    rests_until: datetime | None
    old_secret_expires_at: datetime | None


@dataclass(frozen=True)
class Attempt:
    """One POST: the status that it was answered with, or why there was no answer."""

    at: datetime
    status: int | None
    error: str | None
    seconds: float
    excerpt: str


@dataclass(frozen=True)
class Delivery:
    """One message for one endpoint; `message_id` is its `webhook-id`. `attempts` are the latest, oldest first."""

    endpoint_id: str
    message_id: str
    type: str
    job_id: str | None
    data: Mapping[str, Any]
    state: DeliveryState
    created_at: datetime
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Due:
    """The right to deliver the first message of an endpoint's queue until the lease ends; `token` proves it.

    `n_attempts` is how many there were since it was queued. `secrets` are encrypted: the present one, then the one
    before while it lives. `traceparent` is the trace context of the request that asked for the job it tells of.
    """

    endpoint_id: str
    token: str
    url: str
    secrets: tuple[bytes, ...]
    message_id: str
    type: str
    data: Mapping[str, Any]
    created_at: datetime
    n_attempts: int
    traceparent: str | None = None
