"""What the service answers about itself, its keys and its webhooks."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from pydantic import Field

from ddoq_client.views import View


class Key(View):
    """An API key without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class CreatedKey(Key):
    """A new API key; its secret is shown this once."""

    secret: str


class Me(View):
    """The API key that the client calls with."""

    key_id: str
    name: str
    owner: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None


class Worker(View):
    """A worker that was seen lately, and the stage that it works on, if any."""

    name: str
    since: datetime
    seen_at: datetime
    stage: str | None = None


class Method(View):
    """A method and its parts."""

    name: str
    reducer: str
    canvas: str
    weights: str


class Kind(View):
    """A kind of prior or teacher."""

    kind: str
    description: str = ""


class Network(View):
    """A network that students and teachers can be."""

    name: str
    least_side: int


class Models(View):
    """What a config may name at this service."""

    models: tuple[str, ...]
    methods: tuple[Method, ...]
    priors: tuple[Kind, ...]
    teachers: tuple[Kind, ...]
    networks: tuple[Network, ...]
    protocols: tuple[str, ...]


class Use(View):
    """How much of a limit is used."""

    used: int
    limit: int


class Limits(View):
    """What this installation allows, and how much of it is used."""

    queued_jobs: Use
    queued_jobs_of_all: int
    event_streams: Use
    reads_per_minute: int
    writes_per_minute: int
    body_bytes: int
    upload_bytes: int
    upload_bytes_of_owner: int
    open_uploads: int
    webhook_endpoints: int
    page_jobs: int
    page_events: int
    wait_seconds: int
    labels: int
    retention_days: float
    tombstone_days: int


class Day(View):
    """The jobs that were sent on one day of UTC."""

    day: date
    jobs: int
    worker_seconds: float


class Quota(View):
    """What the owner may use; null is any amount."""

    jobs_per_day: int | None = None
    worker_seconds_per_month: int | None = None


class Usage(View):
    """What the jobs of 30 days add up to."""

    since: datetime
    jobs: dict[str, int]
    jobs_in_24_hours: int
    worker_seconds: float
    worker_seconds_by_stage: dict[str, float]
    artifact_bytes: int
    days: tuple[Day, ...]
    quota: Quota


class Webhook(View):
    """A webhook endpoint without its secret."""

    id: str
    url: str
    events: tuple[str, ...]
    description: str = ""
    created_at: datetime
    disabled: bool = False
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    next_attempt_at: datetime | None = None
    old_secret_expires_at: datetime | None = None


class WebhookWithSecret(Webhook):
    """A webhook endpoint with its secret, just drawn; it is shown this once."""

    secret: str


class DeliveryAttempt(View):
    """One POST to a webhook endpoint."""

    at: datetime
    status: int | None = None
    error: str | None = None
    seconds: float
    excerpt: str = ""


class Delivery(View):
    """One message for one webhook endpoint, and what became of it."""

    id: str
    type: str
    job_id: str | None = None
    state: str
    created_at: datetime
    data: Mapping[str, Any] = Field(default_factory=dict)
    attempts: tuple[DeliveryAttempt, ...] = ()
