"""Records of webhooks to views. Pure."""

from api.webhook_views import AttemptView, DeliveryView, EndpointView
from jobs.webhook_records import Delivery, Endpoint


def show_endpoint(endpoint: Endpoint) -> EndpointView:
    """Show an endpoint without its secrets, which nobody but the deliverer reads."""
    return EndpointView(
        id=endpoint.id,
        url=endpoint.url,
        events=list(endpoint.events),
        description=endpoint.description,
        created_at=endpoint.created_at,
        disabled=endpoint.disabled_at is not None,
        disabled_at=endpoint.disabled_at,
        disabled_reason=endpoint.disabled_reason,
        failing_since=endpoint.failing_since,
        next_attempt_at=endpoint.rests_until,
        old_secret_expires_at=endpoint.old_secret_expires_at,
    )


def show_delivery(delivery: Delivery) -> DeliveryView:
    """Show a message and what became of it."""
    return DeliveryView(
        id=delivery.message_id,
        type=delivery.type,
        job_id=delivery.job_id,
        state=delivery.state,
        created_at=delivery.created_at,
        data=dict(delivery.data),
        attempts=[AttemptView(**vars(attempt)) for attempt in delivery.attempts],
    )
