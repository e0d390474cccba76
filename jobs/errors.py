"""Every way the service can refuse or fail, each with a stable code. Torch-free.

    DdoqError
    └── ServiceError
        ├── JobNotFoundError          job.not_found
        ├── JobEndedError             job.ended
        ├── LeaseLostError            job.lease_lost
        ├── AttemptsExhaustedError    job.attempts_exhausted
        ├── MemoryExhaustedError      job.out_of_memory
        ├── JobTimeoutError           job.timeout
        ├── QueueDeadlineError        job.queue_deadline
        ├── IdempotencyMismatchError  request.idempotency_mismatch
        ├── QueueFullError            queue.full
        ├── ArtifactExpiredError      artifact.expired
        ├── KeyRejectedError          auth.invalid_key
        ├── MissingScopeError         auth.scope
        ├── KeyNotFoundError          key.not_found
        ├── ObjectNotFoundError       storage.not_found
        ├── StorageUnavailableError   storage.unavailable
        │   ├── StorageFullError      storage.full
        │   └── StorageRefusedError   storage.refused
        ├── DiskFullError             worker.disk_full
        ├── QueueUnavailableError     queue.unavailable
        ├── WebhookNotFoundError      webhook.not_found
        ├── DeliveryNotFoundError     webhook.delivery_not_found
        ├── TooManyWebhooksError      webhook.too_many
        ├── WebhookDisabledError      webhook.disabled
        ├── WebhookUrlError           webhook.url
        └── WebhookSecretError        webhook.secret

The algorithm's own errors are in `ddoq.errors`; `docs/errors.md` lists them all.
"""

from typing import ClassVar

from ddoq.errors import DdoqError


class ServiceError(DdoqError):
    """The service, not the algorithm, refused or failed."""

    code = "service.failed"


class JobNotFoundError(ServiceError):
    """There is no such job, or it is somebody else's."""

    code = "job.not_found"


class JobEndedError(ServiceError):
    """The job has ended, so it cannot be changed any more."""

    code = "job.ended"


class LeaseLostError(ServiceError):
    """The unit is no longer this worker's: the lease ran out, or the job has ended."""

    code = "job.lease_lost"


class AttemptsExhaustedError(ServiceError):
    """The attempts at a unit broke off as often as is allowed."""

    code = "job.attempts_exhausted"


class MemoryExhaustedError(ServiceError):
    """A unit ran out of memory twice, though less was tried at once where that is possible."""

    code = "job.out_of_memory"


class JobTimeoutError(ServiceError):
    """The job ran for longer than its own `timeout_s`."""

    code = "job.timeout"


class QueueDeadlineError(ServiceError):
    """No worker began the job before its queue deadline, so it has expired."""

    code = "job.queue_deadline"


class IdempotencyMismatchError(ServiceError):
    """The idempotency key came before, with another body."""

    code = "request.idempotency_mismatch"


class QueueFullError(ServiceError):
    """As many jobs are queued as may be; `retry_after_seconds` says when another may be taken, as a guess."""

    code = "queue.full"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ArtifactExpiredError(ServiceError):
    """The job's artifacts were kept as long as this installation keeps them, and are deleted."""

    code = "artifact.expired"


class KeyRejectedError(ServiceError):
    """The API key is malformed, unknown or revoked."""

    code = "auth.invalid_key"


class MissingScopeError(ServiceError):
    """The API key does not allow this call."""

    code = "auth.scope"


class KeyNotFoundError(ServiceError):
    """There is no such API key, or it is somebody else's."""

    code = "key.not_found"


class ObjectNotFoundError(ServiceError):
    """The object store has nothing at this key, or only part of a folder."""

    code = "storage.not_found"


class StorageUnavailableError(ServiceError):
    """The object store does not answer, or fails."""

    code = "storage.unavailable"


class StorageFullError(StorageUnavailableError):
    """The object store has no room for more."""

    code = "storage.full"


class StorageRefusedError(StorageUnavailableError):
    """The object store does not allow what was asked of it."""

    code = "storage.refused"


class DiskFullError(ServiceError):
    """A worker's disk has no room for the work."""

    code = "worker.disk_full"


class QueueUnavailableError(ServiceError):
    """The broker did not take the wake-up call."""

    code = "queue.unavailable"


class WebhookNotFoundError(ServiceError):
    """There is no such webhook endpoint, or it is somebody else's."""

    code = "webhook.not_found"
    hint: ClassVar[str] = "List the endpoints with `GET /v1/webhook-endpoints`."


class DeliveryNotFoundError(ServiceError):
    """The webhook endpoint has no such delivery, or has it no longer."""

    code = "webhook.delivery_not_found"
    hint: ClassVar[str] = "List the endpoint's deliveries; they are kept for 30 days."


class TooManyWebhooksError(ServiceError):
    """The owner has as many webhook endpoints as may be."""

    code = "webhook.too_many"
    hint: ClassVar[str] = "Delete an endpoint, or ask the operator to raise `DDOQ_MAX_WEBHOOK_ENDPOINTS`."


class WebhookDisabledError(ServiceError):
    """The webhook endpoint is disabled, so nothing is sent to it."""

    code = "webhook.disabled"
    hint: ClassVar[str] = "Enable the endpoint first: PATCH it with `disabled` false."


class WebhookUrlError(ServiceError):
    """Webhooks are not sent to this URL."""

    code = "webhook.url"
    hint: ClassVar[str] = "Give an `https://` URL of a server with a public address."


class WebhookSecretError(ServiceError):
    """The secret of a webhook endpoint cannot be decrypted, since the server's pepper is another now."""

    code = "webhook.secret"
    hint: ClassVar[str] = "Rotate the endpoint's secret."
