"""How webhook endpoints and deliveries are refused or fail, each with a stable code.

    ServiceError
    ├── WebhookNotFoundError      webhook.not_found
    ├── DeliveryNotFoundError     webhook.delivery_not_found
    ├── TooManyWebhooksError      webhook.too_many
    ├── WebhookDisabledError      webhook.disabled
    ├── WebhookUrlError           webhook.url
    └── WebhookSecretError        webhook.secret

`jobs.errors` draws the rest of the tree.
"""

from jobs.errors import ServiceError


class WebhookNotFoundError(ServiceError):
    """There is no such webhook endpoint, or it is somebody else's."""

    code = "webhook.not_found"
    hint = "List the endpoints with `GET /v1/webhook-endpoints`."


class DeliveryNotFoundError(ServiceError):
    """The webhook endpoint has no such delivery, or has it no longer."""

    code = "webhook.delivery_not_found"
    hint = "List the endpoint's deliveries; they are kept for 30 days."


class TooManyWebhooksError(ServiceError):
    """The owner has as many webhook endpoints as may be."""

    code = "webhook.too_many"
    hint = "Delete an endpoint, or ask the operator to raise `DDOQ_MAX_WEBHOOK_ENDPOINTS`."


class WebhookDisabledError(ServiceError):
    """The webhook endpoint is disabled, so nothing is sent to it."""

    code = "webhook.disabled"
    hint = "Enable the endpoint first: PATCH it with `disabled` false."


class WebhookUrlError(ServiceError):
    """Webhooks are not sent to this URL."""

    code = "webhook.url"
    hint = "Give an `https://` URL of a server with a public address."


class WebhookSecretError(ServiceError):
    """The secret of a webhook endpoint cannot be decrypted, since the server's pepper is another now."""

    code = "webhook.secret"
    hint = "Rotate the endpoint's secret."
