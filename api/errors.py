"""What the HTTP layer itself refuses, each with a stable code.

    DdoqError
    └── RequestError
        ├── NotJsonError               request.not_json         400
        ├── MissingKeyError            auth.missing_key         401
        ├── PathNotFoundError          request.path             404
        ├── ArtifactNotFoundError      artifact.not_found       404
        ├── MethodNotAllowedError      request.method           405
        ├── BodyBrokenOffError         request.broken_off       408
        ├── BodyTooLargeError          request.too_large        413
        ├── ContentTypeError           request.content_type     415
        ├── RangeNotSatisfiableError   request.range            416
        ├── InvalidRequestError        request.invalid          422
        ├── CursorError                request.cursor           422
        ├── TooManyBodiesError         request.too_many_bodies  503
        ├── DatabaseUnavailableError   database.unavailable     503
        └── NotReadyError              service.not_ready        503

`docs/errors.md` lists them beside those of the algorithm and of the service.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

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


class BodyBrokenOffError(RequestError):
    """The bytes of the body stopped coming."""

    code = "request.broken_off"
    hint: ClassVar[str] = "Send what is missing again: GET /v1/uploads/{id} tells which parts are there."


class TooManyBodiesError(RequestError):
    """As many large bodies are being received as may be at a time."""

    code = "request.too_many_bodies"
    hint: ClassVar[str] = "Try again after Retry-After."


class BodyTooLargeError(RequestError):
    """The body is larger than is read here."""

    code = "request.too_large"


class ContentTypeError(RequestError):
    """The body is not declared as JSON."""

    code = "request.content_type"


class RangeNotSatisfiableError(RequestError):
    """The Range header asks for bytes that the artifact does not have, or is malformed."""

    code = "request.range"


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
