"""Every error becomes one RFC 9457 document: ours, the framework's, and what nobody foresaw."""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.errors import (
    ArtifactNotFoundError,
    BodyBrokenOffError,
    BodyTimeoutError,
    BodyTooLargeError,
    ContentTypeError,
    CursorError,
    DatabaseUnavailableError,
    Fault,
    ForeignFormError,
    HostRefusedError,
    InvalidRequestError,
    MethodNotAllowedError,
    MissingKeyError,
    NoSessionError,
    NotJsonError,
    NotReadyError,
    PathNotFoundError,
    RangeNotSatisfiableError,
    RequestError,
    TooManyBodiesError,
    TooManyStreamsError,
)
from api.headers import SECURE
from api.pages.refusals import is_page, show_refusal
from api.problem_shapes import FaultView, Problem
from ddoq.errors import (
    AddressRefusedError,
    ConfigError,
    DatasetError,
    DatasetUnavailableError,
    DdoqError,
    PriorError,
    TeacherError,
)
from jobs.errors import (
    ArtifactExpiredError,
    IdempotencyMismatchError,
    JobDeletedError,
    JobEndedError,
    JobNotEndedError,
    JobNotFoundError,
    KeyNotFoundError,
    KeyRejectedError,
    MissingScopeError,
    QueueFullError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
    TryLaterError,
)
from jobs.redaction import redact
from jobs.upload_errors import (
    ChecksumError,
    InspectionBusyError,
    InspectionFailedError,
    InspectionLimitError,
    NoUploadUrlsError,
    PartConflictError,
    PartError,
    SizeNeededError,
    TooManyUploadsError,
    UploadFinishedError,
    UploadIncompleteError,
    UploadInUseError,
    UploadNotFoundError,
    UploadQuotaError,
    UploadTooLargeError,
)
from jobs.webhook_errors import (
    DeliveryNotFoundError,
    TooManyWebhooksError,
    WebhookDisabledError,
    WebhookNotFoundError,
    WebhookUrlError,
)

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[type[DdoqError], int] = {
    NotJsonError: 400,
    KeyRejectedError: 401,
    MissingKeyError: 401,
    NoSessionError: 401,
    ForeignFormError: 403,
    MissingScopeError: 403,
    ArtifactNotFoundError: 404,
    DeliveryNotFoundError: 404,
    JobNotFoundError: 404,
    KeyNotFoundError: 404,
    PathNotFoundError: 404,
    UploadNotFoundError: 404,
    WebhookNotFoundError: 404,
    MethodNotAllowedError: 405,
    BodyBrokenOffError: 408,
    BodyTimeoutError: 408,
    JobEndedError: 409,
    JobNotEndedError: 409,
    NoUploadUrlsError: 409,
    PartConflictError: 409,
    UploadFinishedError: 409,
    UploadInUseError: 409,
    TooManyWebhooksError: 409,
    WebhookDisabledError: 409,
    ArtifactExpiredError: 410,
    JobDeletedError: 410,
    SizeNeededError: 411,
    BodyTooLargeError: 413,
    UploadTooLargeError: 413,
    ContentTypeError: 415,
    RangeNotSatisfiableError: 416,
    AddressRefusedError: 422,
    ChecksumError: 422,
    HostRefusedError: 421,
    ConfigError: 422,
    CursorError: 422,
    DatasetError: 422,
    IdempotencyMismatchError: 422,
    InspectionLimitError: 422,
    InvalidRequestError: 422,
    PartError: 422,
    PriorError: 422,
    TeacherError: 422,
    UploadIncompleteError: 422,
    WebhookUrlError: 422,
    QueueFullError: 429,
    TooManyStreamsError: 429,
    TooManyUploadsError: 429,
    TryLaterError: 429,
    DdoqError: 500,
    InspectionFailedError: 500,
    StorageRefusedError: 500,
    DatabaseUnavailableError: 503,
    DatasetUnavailableError: 503,
    InspectionBusyError: 503,
    NotReadyError: 503,
    StorageUnavailableError: 503,
    TooManyBodiesError: 503,
    StorageFullError: 507,
    UploadQuotaError: 507,
}
"""The status of an error is that of the nearest class above it."""

RETRYABLE = frozenset({429, 503, 507})
_POINTERS: Mapping[type[DdoqError], str] = {
    DatasetError: "/dataset/uri",
    PriorError: "/prior/model",
    TeacherError: "/teacher",
    WebhookUrlError: "/url",
}
_CHALLENGES: Mapping[type[DdoqError], str] = {
    MissingKeyError: 'Bearer realm="ddoq"',
    KeyRejectedError: 'Bearer realm="ddoq", error="invalid_token"',
    MissingScopeError: 'Bearer realm="ddoq", error="insufficient_scope"',
}
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def status_of(kind: type[DdoqError]) -> int:
    """Tell the HTTP status of a kind of error."""
    return next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)


def title_of(kind: type[DdoqError]) -> str:
    """Say in one sentence what a kind of error is."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def write_problem(kind: type[DdoqError], detail: str, request_id: str, faults: Sequence[Fault]) -> Problem:
    """Write an error as a problem document."""
    status = status_of(kind)
    return Problem(
        type=f"urn:ddoq:error:{kind.code}",
        title=title_of(kind),
        status=status,
        detail=redact(detail),
        hint=kind.hint,
        code=kind.code,
        request_id=request_id,
        retryable=status in RETRYABLE,
        errors=[FaultView(pointer=redact(f.pointer), code=f.code, message=redact(f.message)) for f in faults],
    )


def problem_response(request: Request, error: DdoqError) -> Response:
    """Answer with an error's problem document, or its page, and with the headers that its status asks for."""
    problem = write_problem(type(error), str(error), request.state.request_id, faults_of(error))
    request.state.problem = error.code
    headers = _headers(error, problem.status)
    if not is_page(request):
        return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)
    shown = show_refusal(request, problem)
    shown.headers.update(headers)
    return shown


def faults_of(error: DdoqError) -> tuple[Fault, ...]:
    """Say which parts of the request an error is about."""
    if isinstance(error, RequestError):
        return error.faults
    pointers = (pointer for kind, pointer in _POINTERS.items() if isinstance(error, kind))
    return tuple(Fault(pointer, error.code, str(error)) for pointer in pointers)


def _headers(error: DdoqError, status: int) -> dict[str, str]:
    headers = dict(error.headers) if isinstance(error, RequestError) else {}
    if type(error) in _CHALLENGES:
        headers["WWW-Authenticate"] = _CHALLENGES[type(error)]
    if isinstance(error, TryLaterError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif status == 503:
        headers["Retry-After"] = "5"
    return headers


async def _on_ours(request: Request, error: DdoqError) -> Response:
    return problem_response(request, error)


async def _on_framework(request: Request, error: HTTPException) -> Response:
    path = request.url.path
    if error.status_code == 405:
        allowed = _allowed_methods(request)
        message = f"{request.method} is not allowed on {path}; use {' or '.join(allowed)}"
        return problem_response(request, MethodNotAllowedError(message, headers={"Allow": ", ".join(allowed)}))
    if error.status_code == 404:
        return problem_response(request, PathNotFoundError(f"nothing is at {path}; /openapi.json lists every path"))
    return problem_response(request, InvalidRequestError(str(error.detail)))


def _allowed_methods(request: Request) -> list[str]:
    """Ask every route, since the framework names the methods of the first route of a path only."""
    scope = {"type": "http", "path": request.url.path, "root_path": "", "headers": []}
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _on_parameters(request: Request, error: RequestValidationError) -> Response:
    faults = [Fault(_parameter(*fault["loc"]), fault["type"], fault["msg"]) for fault in error.errors()]
    return problem_response(request, InvalidRequestError(summarise(faults), faults))


def _parameter(where: str, *names: str | int) -> str:
    name = next(name for name in reversed(names) if isinstance(name, str))  # behind it, the place in a list of values
    return f"{name}:" if where == "header" else f"?{name}"


async def _on_database(request: Request, _error: OperationalError) -> Response:
    return problem_response(request, DatabaseUnavailableError("the database does not answer; try again later"))


async def _on_unforeseen(request: Request, _error: Exception) -> Response:
    message = "something went wrong on our side; the server's log has it under this request_id"
    response = problem_response(request, DdoqError(message))
    # The framework answers outside of our middleware.
    for name, value in {**SECURE, "X-Request-ID": request.state.request_id}.items():
        response.headers.setdefault(name, value)
    return response


def summarise(faults: list[Fault]) -> str:
    """Say all faults in one sentence."""
    return "; ".join(f"{fault.pointer or 'the body'}: {fault.message}" for fault in faults)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    DdoqError: _on_ours,
    HTTPException: _on_framework,
    RequestValidationError: _on_parameters,
    OperationalError: _on_database,
    Exception: _on_unforeseen,
}
"""What the application registers: the kind of exception, and who answers it."""
