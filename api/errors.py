"""What the HTTP layer itself refuses, each with a stable code.

    DdoqError
    └── RequestError
        ├── NotJsonError               request.not_json         400
        ├── MissingKeyError            auth.missing_key         401
        ├── NoSessionError             session.missing          401
        ├── ForeignFormError           session.foreign_form     403
        ├── PathNotFoundError          request.path             404
        ├── ArtifactNotFoundError      artifact.not_found       404
        ├── MethodNotAllowedError      request.method           405
        ├── BodyBrokenOffError         request.broken_off       408
        ├── BodyTimeoutError           request.timeout          408
        ├── BodyTooLargeError          request.too_large        413
        ├── ContentTypeError           request.content_type     415
        ├── RangeNotSatisfiableError   request.range            416
        ├── HostRefusedError           request.host             421
        ├── InvalidRequestError        request.invalid          422
        ├── CursorError                request.cursor           422
        ├── TooManyStreamsError        events.too_many_streams  429
        ├── TooManyBodiesError         request.too_many_bodies  503
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
    hint = "Change the request as the message says."

    def __init__(self, message: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.faults = tuple(faults)
        self.headers = dict(headers or {})


class NotJsonError(RequestError):
    """The body is not JSON."""

    code = "request.not_json"
    hint = "Send one JSON object in UTF-8."


class MissingKeyError(RequestError):
    """The request carries no API key."""

    code = "auth.missing_key"
    hint = "Send `Authorization: Bearer ddoq_…`."


class NoSessionError(RequestError):
    """The browser has no session, or one that has ended."""

    code = "session.missing"
    hint = "Sign in with an API key."


class ForeignFormError(RequestError):
    """The form was not sent from a page of this session."""

    code = "session.foreign_form"
    hint = "Open the page again, and send the form from there."


class PathNotFoundError(RequestError):
    """There is nothing at this path."""

    code = "request.path"
    hint = "Look the path up in `/openapi.json`."


class ArtifactNotFoundError(RequestError):
    """The job has no artifact of this name."""

    code = "artifact.not_found"
    hint = "List the names with `GET /v1/jobs/{id}/artifacts`."


class MethodNotAllowedError(RequestError):
    """The path is known, but not with this method."""

    code = "request.method"
    hint = "Use a method of the header `Allow`."


class BodyBrokenOffError(RequestError):
    """The bytes of the body stopped coming."""

    code = "request.broken_off"
    hint = "Send what is missing again: GET /v1/uploads/{id} tells which parts are there."


class TooManyBodiesError(RequestError):
    """As many large bodies are being received as may be at a time."""

    code = "request.too_many_bodies"
    hint = "Try again after Retry-After."


class BodyTimeoutError(RequestError):
    """The body did not come in time."""

    code = "request.timeout"
    hint = "Send the body without a pause, in parts if it is large."


class BodyTooLargeError(RequestError):
    """The body is larger than is read here."""

    code = "request.too_large"
    hint = "Send less than 1 MiB: data goes into the dataset, not into the body."


class ContentTypeError(RequestError):
    """The body is not declared as JSON."""

    code = "request.content_type"
    hint = "Send `Content-Type: application/json`."


class RangeNotSatisfiableError(RequestError):
    """The Range header asks for bytes that the artifact does not have, or is malformed."""

    code = "request.range"
    hint = "Ask for `bytes=FIRST-LAST` within the size that `Content-Range` names."


class HostRefusedError(RequestError):
    """The request is addressed to a host that this service is not."""

    code = "request.host"
    hint = "Use the name under which the operator serves this API."


class InvalidRequestError(RequestError):
    """Fields of the body or parameters of the query are missing, unknown or out of bounds."""

    code = "request.invalid"
    hint = "Correct each field that `errors` names by its pointer, within the bounds that it says."


class CursorError(RequestError):
    """The cursor was not given out for this list."""

    code = "request.cursor"
    hint = "Send `next_cursor` as it came, with the same filters, or begin without one."


class TooManyStreamsError(RequestError):
    """The API key has as many streams of events open as it may."""

    code = "events.too_many_streams"
    hint = "Close streams that nobody reads, or ask for lists of events instead."


class DatabaseUnavailableError(RequestError):
    """The database does not answer."""

    code = "database.unavailable"
    hint = "Try again after `Retry-After`."


class NotReadyError(RequestError):
    """Something that the service needs is missing or does not answer."""

    code = "service.not_ready"
    hint = "Start or repair what `errors` names: `database`, `schema`, `storage` or `broker`."
