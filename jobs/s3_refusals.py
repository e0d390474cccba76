"""Errors of an object store -> what they mean to the service."""

from http import HTTPStatus

from botocore.exceptions import ClientError

from jobs.errors import (
    ObjectNotFoundError,
    ServiceError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
)

NO_ROOM = ("quota", "storagefull", "no space left", "insufficient storage")  # in the errors of several servers


def refusal(key: str, error: ClientError) -> ServiceError:
    """Tell what is not there, what has no room, what may be there later, and what is refused for good."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    if status == HTTPStatus.NOT_FOUND:
        return ObjectNotFoundError(f"the object store has no {key!r}")
    if status == HTTPStatus.INSUFFICIENT_STORAGE or any(word in str(error).lower() for word in NO_ROOM):
        return StorageFullError(f"the object store has no room for {key!r}: {error}; make room or raise its quota")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return StorageUnavailableError(f"the object store could not serve {key!r}: {error}")
    return StorageRefusedError(f"the object store refused {key!r}: {error}; see the bucket's rights and the keys")
