"""The calls about the service itself, keys, webhooks and uploads, as flows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ddoq_client.account_views import (
    CreatedKey,
    Delivery,
    Key,
    Limits,
    Me,
    Models,
    Usage,
    Webhook,
    WebhookWithSecret,
    Worker,
)
from ddoq_client.exchange import ask, get, listed, paged, pairs, path_of, read, remove, send_json
from ddoq_client.steps import Emitting, Flow, Request
from ddoq_client.views import Upload

KEYS, WEBHOOKS, UPLOADS = "api-keys", "webhook-endpoints", "uploads"


def me() -> Flow[Me]:
    """Look at the API key."""
    return get(Me, path_of("me"))


def limits() -> Flow[Limits]:
    """Look at the limits."""
    return get(Limits, path_of("limits"))


def usage() -> Flow[Usage]:
    """Look at what was used."""
    return get(Usage, path_of("usage"))


def models() -> Flow[Models]:
    """Look at what a config may name."""
    return get(Models, path_of("models"))


def workers() -> Flow[tuple[Worker, ...]]:
    """List workers."""
    return listed(Worker, path_of("workers"))


def keys() -> Flow[tuple[Key, ...]]:
    """List keys."""
    return listed(Key, path_of(KEYS))


def create_key(name: str, scopes: Sequence[str], expires_at: datetime | None) -> Flow[CreatedKey]:
    """Create a key."""
    body = {"name": name, "scopes": list(scopes), "expires_at": expires_at}
    return send_json(CreatedKey, Request("POST", path_of(KEYS), is_repeatable=False), body)


def revoke_key(key_id: str) -> Flow[None]:
    """Revoke a key."""
    return remove(path_of(KEYS, key_id))


def uploads() -> Emitting[Upload]:
    """Emit uploads."""
    return paged(Upload, path_of(UPLOADS))


def delete_upload(upload_id: str) -> Flow[None]:
    """Delete an upload."""
    return remove(path_of(UPLOADS, upload_id))


def webhooks() -> Flow[tuple[Webhook, ...]]:
    """List webhook endpoints."""
    return listed(Webhook, path_of(WEBHOOKS))


def create_webhook(url: str, events: Sequence[str] | None, description: str) -> Flow[WebhookWithSecret]:
    """Add a webhook endpoint."""
    body = {"url": url, "description": description, **({} if events is None else {"events": list(events)})}
    return send_json(WebhookWithSecret, Request("POST", path_of(WEBHOOKS), is_repeatable=False), body)


def change_webhook(endpoint_id: str, changes: Mapping[str, Any]) -> Flow[Webhook]:
    """Change what is given of a webhook endpoint."""
    return send_json(Webhook, Request("PATCH", path_of(WEBHOOKS, endpoint_id)), changes)


def delete_webhook(endpoint_id: str) -> Flow[None]:
    """Remove a webhook endpoint."""
    return remove(path_of(WEBHOOKS, endpoint_id))


def rotate_webhook_secret(endpoint_id: str, overlap_s: int | None) -> Flow[WebhookWithSecret]:
    """Draw a new secret."""
    request = Request("POST", path_of(WEBHOOKS, endpoint_id, "rotate-secret"), is_repeatable=False)
    return send_json(WebhookWithSecret, request, {} if overlap_s is None else {"overlap_s": overlap_s})


def ping_webhook(endpoint_id: str) -> Flow[Delivery]:
    """Send a ping."""
    return _delivery(path_of(WEBHOOKS, endpoint_id, "test"))


def deliveries(endpoint_id: str, state: str | None, limit: int | None) -> Emitting[Delivery]:
    """Emit deliveries."""
    query = pairs("state", () if state is None else (state,))
    return paged(Delivery, path_of(WEBHOOKS, endpoint_id, "deliveries"), query, limit)


def redeliver(endpoint_id: str, message_id: str) -> Flow[Delivery]:
    """Send a message again."""
    return _delivery(path_of(WEBHOOKS, endpoint_id, "deliveries", message_id, "redeliver"))


def _delivery(path: str) -> Flow[Delivery]:
    return read(Delivery, (yield from ask(Request("POST", path, is_repeatable=False))))
