"""Which codes an operation can answer with, and how each looks: for the description of the API."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.errors import (
    ArtifactNotFoundError,
    BodyTooLargeError,
    ContentTypeError,
    CursorError,
    DatabaseUnavailableError,
    HostRefusedError,
    InvalidRequestError,
    MethodNotAllowedError,
    MissingKeyError,
    NotJsonError,
    PathNotFoundError,
    RangeNotSatisfiableError,
)
from api.problems import STATUSES, status_of, title_of, write_problem
from ddoq.errors import (
    AddressRefusedError,
    BucketNotAllowedError,
    ConfigError,
    DatasetError,
    DatasetNotFoundError,
    DatasetUriError,
    DdoqError,
    HostNotAllowedError,
    HubNotAllowedError,
    LabelsTooLargeError,
    OutsideRootsError,
    PriorNotAllowedError,
    PriorNotFoundError,
    TeacherError,
    TeacherNotAllowedError,
    TeacherNotFoundError,
    UnknownSchemeError,
    kinds_of_error,
)
from jobs.errors import (
    IdempotencyMismatchError,
    JobDeletedError,
    JobNotFoundError,
    KeyNotFoundError,
    KeyRejectedError,
    MissingScopeError,
    ObjectNotFoundError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
)
from jobs.upload_errors import InspectionBusyError, InspectionFailedError, InspectionLimitError, UploadNotFoundError
from jobs.webhook_errors import DeliveryNotFoundError, WebhookNotFoundError

_USUAL: Mapping[int, tuple[type[DdoqError], ...]] = {
    400: (NotJsonError,),
    401: (MissingKeyError, KeyRejectedError),
    403: (MissingScopeError,),
    415: (ContentTypeError,),
    422: (InvalidRequestError,),
}
"""What every operation that describes a status means by it, beside the kinds of error that it names itself."""

_OF_PARAMETERS: Mapping[str, tuple[type[DdoqError], ...]] = {
    "job_id": (JobNotFoundError, JobDeletedError),
    "key_id": (KeyNotFoundError,),
    "upload_id": (UploadNotFoundError,),
    "endpoint_id": (WebhookNotFoundError,),
    "message_id": (DeliveryNotFoundError,),
    "name": (ArtifactNotFoundError,),
    "cursor": (CursorError,),
    "Idempotency-Key": (IdempotencyMismatchError,),
    "Range": (RangeNotSatisfiableError,),
}
"""What an operation with a parameter of this name can refuse it with."""

_ANYWHERE: tuple[type[DdoqError], ...] = (
    BodyTooLargeError,
    DatabaseUnavailableError,
    DdoqError,
    HostRefusedError,
    MethodNotAllowedError,
    ObjectNotFoundError,
    PathNotFoundError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
)
"""What no operation describes on its own."""

REFUSALS: tuple[type[DdoqError], ...] = (
    AddressRefusedError,
    BucketNotAllowedError,
    ConfigError,
    DatasetNotFoundError,
    DatasetUriError,
    HostNotAllowedError,
    HubNotAllowedError,
    LabelsTooLargeError,
    OutsideRootsError,
    PriorNotAllowedError,
    PriorNotFoundError,
    TeacherError,
    TeacherNotAllowedError,
    TeacherNotFoundError,
    UnknownSchemeError,
)
"""What a config can be refused with before it is run."""

UNPLANNED: tuple[type[DdoqError], ...] = (
    *(kind for kind in kinds_of_error() if issubclass(kind, DatasetError) and kind not in {DatasetError, *REFUSALS}),
    InspectionBusyError,
    InspectionFailedError,
    InspectionLimitError,
)
"""What looking at a dataset can end with beside those."""


def kinds_by_code() -> dict[str, type[DdoqError]]:
    return {kind.code: kind for kind in kinds_of_error()}


def codes_of(status: str, parameters: Iterable[str], named: Iterable[str]) -> list[str]:
    """Tell the codes of an operation's answer.

    Args:
        status: Its HTTP status, or `default`.
        parameters: Names of the operation's parameters.
        named: Codes that the operation itself names for this status.
    """
    if status == "default":
        return [kind.code for kind in _ANYWHERE]
    of_parameters = [kind for name in parameters for kind in _OF_PARAMETERS.get(name, ())]
    known = [kind for kind in of_parameters if status_of(kind) == int(status)]
    codes = {*named, *(kind.code for kind in (*known, *_USUAL.get(int(status), ())))}
    return sorted(codes) or sorted(kind.code for kind, answered in STATUSES.items() if answered == int(status))


def example_of(kind: type[DdoqError]) -> dict[str, Any]:
    """Show what a problem of this kind looks like."""
    problem = write_problem(kind, "What went wrong this time, and what to change.", "req_5f0c1a9e7d3b2c4a6e8f0b1d", ())
    return {"summary": title_of(kind), "value": problem.model_dump(mode="json")}


def describe_codes() -> str:
    """List every code as a table in Markdown."""
    rows = [f"| `{kind.code}` | {title_of(kind)} | {kind.hint} |" for _, kind in sorted(kinds_by_code().items())]
    return "\n".join(("| code | meaning | what to do |", "|---|---|---|", *rows))
