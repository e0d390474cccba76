"""What an S3 server's refusals mean: some pass, some are for good."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from botocore.exceptions import BotoCoreError, ClientError

from ddoq.errors import DatasetUnavailableError


@contextmanager
def reaching(bucket: str) -> Iterator[None]:
    """Tell what may pass, as when the store restarts, from what it refuses."""
    try:
        yield
    except ClientError as error:
        if not is_passing(error):
            raise
        raise DatasetUnavailableError(f"bucket {bucket!r} cannot be served: {s3_code(error)}; try again") from error
    except BotoCoreError as error:
        raise DatasetUnavailableError(f"bucket {bucket!r} does not answer: {error}; try again") from error


def is_passing(error: ClientError) -> bool:
    """Whether the same call may be answered later."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS


def s3_code(error: ClientError) -> str:
    """Name an error as S3 does."""
    return error.response.get("Error", {}).get("Code", "unknown")
