"""Every way the service can refuse or fail, each with a stable code. Torch-free.

    DdoqError
    └── ServiceError
        ├── JobNotFoundError          job.not_found
        ├── JobEndedError             job.ended
        ├── JobNotEndedError          job.not_ended
        ├── JobDeletedError           job.deleted
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

`jobs.upload_errors` and `jobs.webhook_errors` draw two more branches below `ServiceError`; the algorithm's own errors
are in `ddoq.errors`. `docs/errors.md` lists them all.
"""

from ddoq.errors import DdoqError


class ServiceError(DdoqError):
    """The service, not the algorithm, refused or failed."""

    code = "service.failed"
    hint = "Look in the server's log under the request_id, and report what it says."


class JobNotFoundError(ServiceError):
    """There is no such job, or it is somebody else's."""

    code = "job.not_found"
    hint = "Check the id against `GET /v1/jobs` or `ddoq jobs`, with a key of the job's owner."


class JobEndedError(ServiceError):
    """The job has ended, so it cannot be changed any more."""

    code = "job.ended"
    hint = "Leave it: the job has ended."


class JobNotEndedError(ServiceError):
    """The job has not ended, so it can neither be tried again nor deleted."""

    code = "job.not_ended"
    hint = "Cancel the job, or wait for its end."


class JobDeletedError(ServiceError):
    """The job was deleted by its owner, with all that it made."""

    code = "job.deleted"
    hint = "Submit the config again, if you still need the job: the same seed makes the same archive."


class LeaseLostError(ServiceError):
    """The unit is no longer this worker's: the lease ran out, or the job has ended."""

    code = "job.lease_lost"
    hint = "Leave it: another attempt goes on."


class AttemptsExhaustedError(ServiceError):
    """The attempts at a unit broke off as often as is allowed."""

    code = "job.attempts_exhausted"
    hint = "Read in the message why each attempt broke off, and in the workers' log what led there."


class MemoryExhaustedError(ServiceError):
    """A unit ran out of memory twice, though less was tried at once where that is possible."""

    code = "job.out_of_memory"
    hint = "Give the workers more memory, or lower the resolution, the batch size or the students' width."


class JobTimeoutError(ServiceError):
    """The job ran for longer than its own `timeout_s`."""

    code = "job.timeout"
    hint = "Submit it again with a longer `job.timeout_s`, or ask for less."


class QueueDeadlineError(ServiceError):
    """No worker began the job before its queue deadline, so it has expired."""

    code = "job.queue_deadline"
    hint = "Submit it again with a later `job.queue_deadline_s` or a higher priority."


class IdempotencyMismatchError(ServiceError):
    """The idempotency key came before, with another body."""

    code = "request.idempotency_mismatch"
    hint = "Use a new `Idempotency-Key` for a new request."


class TryLaterError(ServiceError):
    """Too much was asked for by now; `retry_after_seconds` says when more may be."""

    code = "service.try_later"
    hint = "Try again after `Retry-After`."

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(TryLaterError):
    """As many jobs are queued as may be; `retry_after_seconds` is a guess."""

    code = "queue.full"
    hint = "Try again after `Retry-After`."


class QuotaExceededError(TryLaterError):
    """The owner has used up what it may have of the service in these days."""

    code = "quota.exceeded"
    hint = "Wait until `Retry-After`, or ask the operator for a larger quota."


class RateLimitedError(TryLaterError):
    """More requests came within a minute than may."""

    code = "rate.limited"
    hint = "Wait for as long as `Retry-After` says, and ask less often."


class ArtifactExpiredError(ServiceError):
    """The job's artifacts were kept as long as this installation keeps them, and are deleted."""

    code = "artifact.expired"
    hint = "Submit the config again: the same seed makes the same archive."


class KeyRejectedError(ServiceError):
    """The API key is malformed, unknown, revoked or expired."""

    code = "auth.invalid_key"
    hint = "Copy the key again, or create another."


class MissingScopeError(ServiceError):
    """The API key does not allow this call."""

    code = "auth.scope"
    hint = "Use a key with the scope that the message names."


class KeyNotFoundError(ServiceError):
    """There is no such API key, or it is somebody else's."""

    code = "key.not_found"
    hint = "Check the id against `GET /v1/api-keys`."


class ObjectNotFoundError(ServiceError):
    """The object store has nothing at this key, or only part of a folder."""

    code = "storage.not_found"
    hint = "Tell the operator, and submit the job again."


class StorageUnavailableError(ServiceError):
    """The object store does not answer, or fails."""

    code = "storage.unavailable"
    hint = "Try again after `Retry-After`."


class StorageFullError(StorageUnavailableError):
    """The object store has no room for more."""

    code = "storage.full"
    hint = "Make room in the object store, or shorten `DDOQ_RETENTION_DAYS`; then submit the job again."


class StorageRefusedError(StorageUnavailableError):
    """The object store does not allow what was asked of it."""

    code = "storage.refused"
    hint = "Check the bucket's rights, the access key and its secret."


class DiskFullError(ServiceError):
    """A worker's disk has no room for the work."""

    code = "worker.disk_full"
    hint = "Give the disk of `DDOQ_SCRATCH` more room, or lower `DDOQ_SCRATCH_BYTES`; then submit the job again."


class QueueUnavailableError(ServiceError):
    """The broker did not take the wake-up call."""

    code = "queue.unavailable"
    hint = "Leave it: the sweep calls again within seconds."
