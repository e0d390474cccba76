"""What the HTTP layer itself refuses, each with a stable code.

    DdoqError
    └── RequestError
        ├── NotJsonError               request.not_json         400
        ├── MissingKeyError            auth.missing_key         401
        ├── PathNotFoundError          request.path             404
        ├── ArtifactNotFoundError      artifact.not_found       404
        ├── MethodNotAllowedError      request.method           405
        ├── BodyTimeoutError           request.timeout          408
        ├── BodyTooLargeError          request.too_large        413
        ├── ContentTypeError           request.content_type     415
        ├── RangeNotSatisfiableError   request.range            416
        ├── HostRefusedError           request.host             421
        ├── InvalidRequestError        request.invalid          422
        ├── CursorError                request.cursor           422
        ├── DatabaseUnavailableError   database.unavailable     503
        └── NotReadyError              service.not_ready        503

`docs/errors.md` lists them beside those of the algorithm and of the service.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddoq.errors import DdoqError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `pointer`: JSON pointer into the body, or `?name` of the query, `name:` of a header."""

    pointer: str
    code: str
    message: str


class RequestError(DdoqError):
    """The request cannot be answered as it is."""

    code = "request.refused"

    def __init__(self, message: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.faults = tuple(faults)
        self.headers = dict(headers or {})


class NotJsonError(RequestError):
    """The body is not JSON."""

    code = "request.not_json"


class MissingKeyError(RequestError):
    """The request carries no API key."""

    code = "auth.missing_key"


class PathNotFoundError(RequestError):
    """There is nothing at this path."""

    code = "request.path"


class ArtifactNotFoundError(RequestError):
    """The job has no artifact of this name."""

    code = "artifact.not_found"


class MethodNotAllowedError(RequestError):
    """The path is known, but not with this method."""

    code = "request.method"


class BodyTimeoutError(RequestError):
    """The body did not come in time."""

    code = "request.timeout"


class BodyTooLargeError(RequestError):
    """The body is larger than is read here."""

    code = "request.too_large"


class ContentTypeError(RequestError):
    """The body is not declared as JSON."""

    code = "request.content_type"


class RangeNotSatisfiableError(RequestError):
    """The Range header asks for bytes that the artifact does not have, or is malformed."""

    code = "request.range"


class HostRefusedError(RequestError):
    """The request is addressed to a host that this service is not."""

    code = "request.host"


class InvalidRequestError(RequestError):
    """Fields of the body or parameters of the query are missing, unknown or out of bounds."""

    code = "request.invalid"


class CursorError(RequestError):
    """The cursor was not given out for this list."""

    code = "request.cursor"


class DatabaseUnavailableError(RequestError):
    """The database does not answer."""

    code = "database.unavailable"


class NotReadyError(RequestError):
    """Something that the service needs is missing or does not answer."""

    code = "service.not_ready"
