"""What goes over the wire of webhook endpoints and deliveries."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.paging import NextCursor
from api.views import View
from jobs.webhook_records import DeliveryState, DisabledReason, JobEventType

Url = Annotated[str, Field(min_length=1, max_length=2000)]
Events = Annotated[tuple[JobEventType, ...], Field(min_length=1, max_length=len(JobEventType))]
Description = Annotated[str, Field(max_length=500)]


class NewEndpoint(BaseModel):
    """What a new webhook endpoint is to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Url = Field(
        description="`https://` and a host with a public address; `http://` only in networks that the operator allows."
    )
    events: Events = Field(tuple(JobEventType), description="What it hears of jobs; default: all.")
    description: Description = Field("", description="For people: who or what listens.")


class EndpointPatch(BaseModel):
    """What is to change of a webhook endpoint; what is null or left out stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Url | None = Field(None, description="As for a new one; its failures are forgotten.")
    events: Events | None = Field(None, description="What it hears of jobs from now on.")
    description: Description | None = None
    disabled: bool | None = Field(
        None, description="Nothing is sent while it is true, nor kept for later; false ends that, whoever disabled it."
    )


class Rotation(BaseModel):
    """How a secret is followed by another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overlap_s: int = Field(
        24 * 3600, ge=0, le=7 * 24 * 3600, description="Seconds for which messages are signed with the old one too."
    )


class EndpointView(View):
    """Where somebody wants to hear of their jobs."""

    id: str = Field(description="`whe_` and 26 characters; sorts by age.")
    url: str
    events: list[JobEventType]
    description: str
    created_at: datetime
    disabled: bool
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None = Field(
        description="owner: by a call; gone: the receiver answered 410; failing: for days nothing could be delivered."
    )
    failing_since: datetime | None = Field(description="The first of the attempts that failed since one succeeded.")
    next_attempt_at: datetime | None = Field(description="Null unless the first message of its queue waits for that.")
    old_secret_expires_at: datetime | None = Field(
        description="Until then messages are signed with the secret before the last rotation too."
    )


class EndpointWithSecret(EndpointView):
    """A webhook endpoint with its secret, just drawn."""

    secret: str = Field(description="`whsec_` and base64, for whoever verifies. It is shown this once.")


class EndpointList(View):
    """Webhook endpoints, oldest first."""

    data: list[EndpointView]


class AttemptView(View):
    """One POST to the endpoint."""

    at: datetime
    status: int | None = Field(description="Of the answer; null when there was none.")
    error: str | None = Field(description="Why there was no answer.")
    seconds: float
    excerpt: str = Field(description="The beginning of the answer's body.")


class DeliveryView(View):
    """One message for one endpoint."""

    id: str = Field(description="The `webhook-id`: `msg_` and 26 characters; sorts by age.")
    type: str = Field(description="An event of a job, or `ping`.")
    job_id: str | None
    state: DeliveryState = Field(description="pending: not yet delivered; failed: given up.")
    created_at: datetime
    data: dict[str, Any] = Field(description="As in the payload.")
    attempts: list[AttemptView] = Field(description="Oldest first, the latest 20.")


class DeliveryPage(View):
    """Deliveries, newest first; those of the past 30 days."""

    data: list[DeliveryView]
    next_cursor: NextCursor
