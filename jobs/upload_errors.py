"""How uploads, and looking at a dataset before there is a job, are refused or fail, each with a stable code.

    ServiceError
    ├── UploadNotFoundError       upload.not_found
    ├── UploadFinishedError       upload.finished
    ├── UploadInUseError          upload.in_use
    ├── UploadTooLargeError       upload.too_large
    ├── TooManyUploadsError       upload.too_many
    ├── UploadQuotaError          upload.quota
    ├── SizeNeededError           upload.size_needed
    ├── PartError                 upload.part
    ├── PartConflictError         upload.part_conflict
    ├── UploadIncompleteError     upload.incomplete
    ├── ChecksumError             upload.checksum
    ├── NoUploadUrlsError         upload.no_urls
    ├── InspectionLimitError      inspection.limit
    ├── InspectionBusyError       inspection.busy
    └── InspectionFailedError     inspection.failed

`jobs.errors` draws the rest of the tree.
"""

from jobs.errors import ServiceError


class UploadNotFoundError(ServiceError):
    """There is no such upload, or it is somebody else's."""

    code = "upload.not_found"
    hint = "List the uploads by GET /v1/uploads, or begin another."


class UploadFinishedError(ServiceError):
    """The upload is ready, so no more bytes are taken for it."""

    code = "upload.finished"
    hint = "Use it as a dataset, or begin another upload for other bytes."


class UploadInUseError(ServiceError):
    """A job that has not ended uses the upload, so it cannot be deleted."""

    code = "upload.in_use"
    hint = "Wait until the jobs that use it have ended, or cancel them; then delete it."


class UploadTooLargeError(ServiceError):
    """The file is larger than this installation takes."""

    code = "upload.too_large"
    hint = "Send a smaller file, or put it into a bucket that the service may read."


class TooManyUploadsError(ServiceError):
    """The owner has as many unfinished uploads as may be."""

    code = "upload.too_many"
    hint = "Complete or delete one of the unfinished uploads, then begin this one."


class UploadQuotaError(ServiceError):
    """The uploads of the owner would take more bytes than they may."""

    code = "upload.quota"
    hint = "Delete uploads that no job needs any more, then begin this one."


class SizeNeededError(ServiceError):
    """The size of the file is not known, which is needed before its bytes."""

    code = "upload.size_needed"
    hint = "Give size_bytes when you begin the upload, or send the header Content-Length."


class PartError(ServiceError):
    """The part is none of this upload, or not of the size that it has to be."""

    code = "upload.part"
    hint = "Send each part with the number and the size that GET /v1/uploads/{id} tells."


class PartConflictError(ServiceError):
    """The object store has the part with other bytes and cannot replace it."""

    code = "upload.part_conflict"
    hint = "Send the bytes that the part had before, or delete the upload and begin another."


class UploadIncompleteError(ServiceError):
    """Bytes of the upload are missing, or there are too many."""

    code = "upload.incomplete"
    hint = "Send the parts that GET /v1/uploads/{id} does not list, then complete it again."


class ChecksumError(ServiceError):
    """The bytes are not those of which a checksum was given."""

    code = "upload.checksum"
    hint = "Send the bytes again, or correct the checksum."


class NoUploadUrlsError(ServiceError):
    """No URLs of the object store are handed out here."""

    code = "upload.no_urls"
    hint = "Send the bytes to this API by PUT instead."


class InspectionLimitError(ServiceError):
    """The dataset takes more bytes, memory or time to look at than `validate_only` may spend; a job may spend more."""

    code = "inspection.limit"
    hint = "Submit the job without validate_only."


class InspectionBusyError(ServiceError):
    """As many datasets are being looked at as may be at a time."""

    code = "inspection.busy"
    hint = "Try again after Retry-After."


class InspectionFailedError(ServiceError):
    """Looking at the dataset broke off, for no reason that is known."""

    code = "inspection.failed"
    hint = "Submit the job without validate_only, and report this with its request_id."
