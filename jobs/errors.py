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
        ├── TryLaterError             service.try_later
        │   ├── QueueFullError        queue.full
        │   ├── QuotaExceededError    quota.exceeded
        │   └── RateLimitedError      rate.limited
        ├── ArtifactExpiredError      artifact.expired
        ├── KeyRejectedError          auth.invalid_key
        ├── MissingScopeError         auth.scope
        ├── KeyNotFoundError          key.not_found
        ├── ObjectNotFoundError       storage.not_found
        ├── StorageUnavailableError   storage.unavailable
        │   ├── StorageFullError      storage.full
        │   └── StorageRefusedError   storage.refused
        ├── DiskFullError             worker.disk_full
        └── QueueUnavailableError     queue.unavailable

The algorithm's own errors are in `ddoq.errors`; `docs/errors.md` lists them all.
"""

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


class TryLaterError(ServiceError):
    """Too much was asked for by now; `retry_after_seconds` says when more may be."""

    code = "service.try_later"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(TryLaterError):
    """As many jobs are queued as may be; `retry_after_seconds` is a guess."""

    code = "queue.full"


class QuotaExceededError(TryLaterError):
    """The owner has used up what it may have of the service in these days."""

    code = "quota.exceeded"


class RateLimitedError(TryLaterError):
    """More requests came within a minute than may."""

    code = "rate.limited"


class ArtifactExpiredError(ServiceError):
    """The job's artifacts were kept as long as this installation keeps them, and are deleted."""

    code = "artifact.expired"


class KeyRejectedError(ServiceError):
    """The API key is malformed, unknown, revoked or expired."""

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
