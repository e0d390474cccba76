"""Webhook endpoints: add, look, change, remove; and what was delivered to them."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import WebhookManager
from api.bodies import json_body
from api.openapi import body_of, problems
from api.paging import Cursor
from api.paths import EndpointId, MessageId
from api.services import Using
from api.webhook_shapes import show_delivery, show_endpoint
from api.webhook_views import (
    DeliveryPage,
    DeliveryView,
    EndpointList,
    EndpointPatch,
    EndpointView,
    EndpointWithSecret,
    NewEndpoint,
    Rotation,
)
from ddoq.errors import AddressRefusedError
from jobs.webhook_errors import TooManyWebhooksError, WebhookDisabledError, WebhookUrlError
from jobs.webhook_records import DeliveryState, Endpoint
from jobs.webhooks import EndpointChange

_UNSENDABLE = (AddressRefusedError, WebhookUrlError)
router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])


class DeliveryPaging(BaseModel):
    """Which deliveries to list."""

    model_config = ConfigDict(extra="forbid")

    state: DeliveryState | None = Field(None, description="Only deliveries in this state.")
    limit: int = Field(20, ge=1, le=100, description="Deliveries a page.")
    cursor: Cursor = None


@router.post(
    "",
    operation_id="create_webhook_endpoint",
    summary="Add a webhook endpoint",
    status_code=201,
    response_description="The endpoint, with its secret, which is shown this once.",
    responses=problems(400, 401, 403, 413, 415, 422, *_UNSENDABLE, TooManyWebhooksError),
    openapi_extra=body_of(
        NewEndpoint, {"url": "https://example.com/hooks/ddoq", "events": ["job.succeeded", "job.failed"]}
    ),
)
def create_webhook_endpoint(
    caller: WebhookManager, new: Annotated[NewEndpoint, Depends(json_body(NewEndpoint))], using: Using, answer: Response
) -> EndpointWithSecret:
    """Tell this URL of the owner's jobs from now on, in messages that are signed with the secret."""
    endpoint, secret = using.webhooks.add(caller.owner, new.url, new.events, new.description)
    answer.headers["Location"] = f"{router.prefix}/{endpoint.id}"
    return _with_secret(endpoint, secret, answer)


@router.get(
    "",
    operation_id="list_webhook_endpoints",
    summary="List webhook endpoints",
    responses=problems(401, 403),
)
def list_webhook_endpoints(caller: WebhookManager, using: Using) -> EndpointList:
    """List the owner's endpoints, without their secrets."""
    return EndpointList(data=[show_endpoint(endpoint) for endpoint in using.webhooks.list(caller.owner)])


@router.get(
    "/{endpoint_id}",
    operation_id="get_webhook_endpoint",
    summary="Look at a webhook endpoint",
    responses=problems(401, 403, 404),
)
def get_webhook_endpoint(caller: WebhookManager, endpoint_id: EndpointId, using: Using) -> EndpointView:
    """Tell whether it is disabled or failing, and what it hears."""
    return show_endpoint(using.webhooks.get(caller.owner, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    operation_id="change_webhook_endpoint",
    summary="Change a webhook endpoint",
    responses=problems(400, 401, 403, 404, 413, 415, 422, *_UNSENDABLE),
    openapi_extra=body_of(EndpointPatch, {"disabled": False}),
)
def change_webhook_endpoint(
    caller: WebhookManager,
    endpoint_id: EndpointId,
    patch: Annotated[EndpointPatch, Depends(json_body(EndpointPatch))],
    using: Using,
) -> EndpointView:
    """Change what is given. Enabled again, it goes on with the messages that waited when it was disabled."""
    change = EndpointChange(patch.url, patch.events, patch.description, patch.disabled)
    return show_endpoint(using.webhooks.change(caller.owner, endpoint_id, change))


@router.delete(
    "/{endpoint_id}",
    operation_id="delete_webhook_endpoint",
    summary="Remove a webhook endpoint",
    status_code=204,
    responses=problems(401, 403, 404),
)
def delete_webhook_endpoint(caller: WebhookManager, endpoint_id: EndpointId, using: Using) -> None:
    """Send it nothing any more, and forget its deliveries. One that is under way may still arrive."""
    using.webhooks.remove(caller.owner, endpoint_id)


@router.post(
    "/{endpoint_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Draw a new secret",
    response_description="The endpoint, with its new secret, which is shown this once.",
    responses=problems(400, 401, 403, 404, 413, 415, 422),
    openapi_extra=body_of(Rotation, {"overlap_s": 24 * 3600}),
)
def rotate_webhook_secret(
    caller: WebhookManager,
    endpoint_id: EndpointId,
    rotation: Annotated[Rotation, Depends(json_body(Rotation))],
    using: Using,
    answer: Response,
) -> EndpointWithSecret:
    """Sign with a new secret, and for a while with the one before too. One that is older than both ends at once."""
    overlap = timedelta(seconds=rotation.overlap_s)
    return _with_secret(*using.webhooks.rotate(caller.owner, endpoint_id, overlap), answer)


@router.post(
    "/{endpoint_id}/test",
    operation_id="test_webhook_endpoint",
    summary="Send a ping",
    status_code=202,
    response_description="The ping is queued behind what waits; its delivery is in the list.",
    responses=problems(401, 403, 404, WebhookDisabledError),
)
def test_webhook_endpoint(caller: WebhookManager, endpoint_id: EndpointId, using: Using) -> DeliveryView:
    """Send a message of the type `ping`, whatever the endpoint wants to hear."""
    return show_delivery(using.deliveries.ping(caller.owner, endpoint_id))


@router.get(
    "/{endpoint_id}/deliveries",
    operation_id="list_webhook_deliveries",
    summary="List deliveries, newest first",
    responses=problems(401, 403, 404, 422),
)
def list_webhook_deliveries(
    caller: WebhookManager, endpoint_id: EndpointId, paging: Annotated[DeliveryPaging, Query()], using: Using
) -> DeliveryPage:
    """List what was sent in the past 30 days, and what waits, page by page, with every attempt."""
    listing = ("deliveries", caller.owner, endpoint_id, paging.state or "")
    after = using.cursors.unseal(paging.cursor, *listing) if paging.cursor else None
    found, last = using.deliveries.page(caller.owner, endpoint_id, paging.state, after, paging.limit)
    return DeliveryPage(
        data=[show_delivery(delivery) for delivery in found],
        next_cursor=using.cursors.seal(last, *listing) if last else None,
    )


@router.post(
    "/{endpoint_id}/deliveries/{message_id}/redeliver",
    operation_id="redeliver_webhook",
    summary="Send a message again",
    status_code=202,
    response_description="The message is queued again, at the end.",
    responses=problems(401, 403, 404, WebhookDisabledError),
)
def redeliver_webhook(
    caller: WebhookManager, endpoint_id: EndpointId, message_id: MessageId, using: Using
) -> DeliveryView:
    """Send it under the same `webhook-id`. One that still waits keeps its place, and its queue is tried at once."""
    return show_delivery(using.deliveries.redeliver(caller.owner, endpoint_id, message_id))


def _with_secret(endpoint: Endpoint, secret: str, answer: Response) -> EndpointWithSecret:
    answer.headers["Cache-Control"] = "no-store"
    return EndpointWithSecret(**show_endpoint(endpoint).model_dump(), secret=secret)
